"""The site: carries out tasks on its own scans."""

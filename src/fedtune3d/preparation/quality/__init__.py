"""Quality control: measures of each scan, suspicious scans within a site, and a page to inspect them."""

"""How good a scan is: what is measured of it, which scans stand out in their site, and a page to look at them."""

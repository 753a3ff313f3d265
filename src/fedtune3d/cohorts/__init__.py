"""From a site's BIDS folder to prepared scans and splits."""

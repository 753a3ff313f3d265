"""From a site's tables and folders to people, labels and splits."""

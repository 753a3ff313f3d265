"""Classification heads, one file each."""

"""Everything that a user can do, one file each. The only room that combines the others."""

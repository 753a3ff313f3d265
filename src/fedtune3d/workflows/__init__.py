"""Everything a user can do, one file each. The only room that puts the others together."""

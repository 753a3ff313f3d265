"""`python -m fedtune3d`: the same as the console script."""

from fedtune3d.cli import main

main()

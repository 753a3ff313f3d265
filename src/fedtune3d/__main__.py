"""`python -m fedtune3d`: the same as the console script."""

from fedtune3d.cli.app import main

main()

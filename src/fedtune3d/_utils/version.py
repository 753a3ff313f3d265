"""The version of the package; the build and the citation follow it."""

__version__ = "0.2.0"

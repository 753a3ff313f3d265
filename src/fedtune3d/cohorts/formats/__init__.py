"""Formats of a site's data, one file per format."""

from fedtune3d.cohorts.formats._registry import AUTO, Format, format_names, load_format, recognise

__all__ = ["AUTO", "Format", "load_format", "format_names", "recognise"]

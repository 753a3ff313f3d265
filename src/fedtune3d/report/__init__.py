"""From a run folder to figures, tables and one HTML page."""

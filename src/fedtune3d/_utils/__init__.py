"""Files, folders, seeds, state dicts, errors and progress: what every room uses."""

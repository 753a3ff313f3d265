"""One figure a file: each takes what was read from a run folder and gives a drawing with the data behind it."""

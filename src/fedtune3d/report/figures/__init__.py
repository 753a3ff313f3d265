"""Figures, one per file: each turns the contents of a run or study folder into a drawing and its data."""

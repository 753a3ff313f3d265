"""Classification heads, one file each."""

from fedtune3d.models.heads._registry import build_head, head_names, head_title, min_positions

__all__ = ["build_head", "head_names", "head_title", "min_positions"]

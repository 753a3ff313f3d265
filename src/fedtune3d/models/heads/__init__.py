"""Classification heads, one file each."""

from fedtune3d.models.heads._registry import build_head, head_names

__all__ = ["build_head", "head_names"]

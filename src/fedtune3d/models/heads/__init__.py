"""Classification heads, one file each."""

from fedtune3d.models.heads._registry import build_head, head_names, head_title

__all__ = ["build_head", "head_names", "head_title"]

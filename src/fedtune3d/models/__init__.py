"""The encoder, the heads, the references, and what of them trains."""

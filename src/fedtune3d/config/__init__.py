"""The YAML, typed and validated once."""

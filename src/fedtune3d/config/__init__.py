"""The YAML configuration, typed and validated once."""

"""A case on one page: as YAML, at a prompt, and as HTML."""

"""The API families of Anthropic."""

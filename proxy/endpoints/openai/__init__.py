"""OpenAI's API families."""

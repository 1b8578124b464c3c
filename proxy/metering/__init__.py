"""What is counted: meters, usage, and the tokens of a text, a prompt or an image."""

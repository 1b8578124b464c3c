"""The API of pictures: drawn from a prompt, edited, and varied."""

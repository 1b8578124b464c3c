"""How replies are watched: streams and whole bodies, what they produced, and the usage they report."""

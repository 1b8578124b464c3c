"""Configuration: YAML and the environment as frozen values. Every fault is found at start."""

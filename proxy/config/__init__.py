"""Configuration: YAML and the environment become frozen values; every fault is found at start."""

"""The JSON APIs: admin, billing, models and health, made of operations."""

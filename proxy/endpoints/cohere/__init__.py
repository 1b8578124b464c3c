"""The API families that Cohere was the first to have."""

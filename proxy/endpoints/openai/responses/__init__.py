"""OpenAI's Responses: requests, their items and tools, and what is answered."""

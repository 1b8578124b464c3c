"""How request bodies are read: only what is needed is decoded, and no size is trusted."""

"""How request bodies are read: without decoding what nobody asks for, and without trusting their size."""

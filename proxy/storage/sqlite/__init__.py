"""The storage engine on one SQLite file."""

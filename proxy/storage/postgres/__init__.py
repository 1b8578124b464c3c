"""The storage engine on PostgreSQL."""

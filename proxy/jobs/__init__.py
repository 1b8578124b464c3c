"""Calls that outlive their request: the poller sees to it that each of them ends."""

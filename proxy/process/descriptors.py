"""File descriptors: as many as the system gives, and how many of them are for clients."""

import contextlib
import resource
from typing import Final

RESERVED: Final = 64
"""Descriptors for files, the database, and what else is not a connection of a call."""


def raise_limit() -> None:
    """Allow this process, and those it starts, as many open files as it may allow itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def allowed_files() -> int | None:
    """How many files this process may have open; None for any number."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def most_connections(wanted: int, files: int | None) -> int:
    """How many clients may be connected: each call takes a second connection, to its upstream."""
    return wanted if files is None else max(1, min(wanted, (files - RESERVED) // 2))

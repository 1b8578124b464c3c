"""What the system tells of a connection beyond its transport."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final

_TCP_INFO_BYTES: Final = 128
_BYTES_ACKED: Final = struct.Struct("=120xQ")
"""Where Linux tells in `TCP_INFO` how many bytes the other side has taken."""


def taken_by(transport: asyncio.Transport) -> int:
    """A figure that grows by what the client takes; where the system does not tell, by what it takes."""
    with suppress(OSError, AttributeError, struct.error):
        info = transport.get_extra_info("socket").getsockopt(
            socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES
        )
        (taken,) = _BYTES_ACKED.unpack(info)
        return int(taken)
    return -transport.get_write_buffer_size()


def probe_when_silent(transport: asyncio.Transport) -> None:
    """Let the system find out when the other side has vanished without a word."""
    with suppress(OSError, AttributeError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

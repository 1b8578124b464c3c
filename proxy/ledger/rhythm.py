"""The rhythm of batches: when it pays to let the next one gather for a moment."""

from collections import deque
from typing import Final

GATHER_SECONDS: Final = 0.001
"""How long a batch gathers. A longer time delays its callers, and saves the processor little more."""
GATHER_ABOVE: Final = 8
"""How many commands each of the last batches must exceed; so many callers at once never wait."""

_LAST: Final = 2


class Rhythm:
    """The sizes of the last batches that followed one another without a pause.

    A batch costs its statements, its pages of the log, a sync and a thread's turn, however few commands it
    has. Where large batches follow one another, callers wait for the processor, so that a batch which gathers
    a little longer delays them no further on the whole.
    """

    def __init__(self) -> None:
        self._sizes: deque[int] = deque(maxlen=_LAST)

    @property
    def is_dense(self) -> bool:
        """Whether the next batch is likely to grow a lot if it begins a little later."""
        return len(self._sizes) == _LAST and min(self._sizes) > GATHER_ABOVE

    def beat(self, size: int) -> None:
        """Count a batch of so many commands."""
        self._sizes.append(size)

    def pause(self) -> None:
        """Begin anew: a batch left nothing waiting, so that the next command is not part of a crowd."""
        self._sizes.clear()

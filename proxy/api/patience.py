"""Patience: how often an account may do something that costs more than a call, at each process."""

from collections import OrderedDict
from typing import Final

from proxy.errors import Refusal

WINDOW_US: Final = 60_000_000
MOST_ACCOUNTS: Final = 10_000


class Patience:
    """Who has done something, and when. It forgets who did so longest ago when many do."""

    def __init__(self, most: int, message: str) -> None:
        """At most so many times a minute; `message` says what there was too much of."""
        self._most = most
        self._message = message
        self._done: OrderedDict[str, list[int]] = OrderedDict()

    def expect(self, account_id: str, now_us: int) -> None:
        """Raises Refusal `rate_limit_exceeded` for an account that has done it too often."""
        recent = [at_us for at_us in self._done.get(account_id, ()) if at_us > now_us - WINDOW_US]
        if len(recent) >= self._most:
            wait_us = recent[0] + WINDOW_US - now_us
            headers = {"Retry-After": str(-(-wait_us // 1_000_000))}
            raise Refusal("rate_limit_exceeded", self._message, headers=headers)
        if recent:
            self._done[account_id] = recent
        else:
            self._done.pop(account_id, None)

    def note(self, account_id: str, now_us: int) -> None:
        """Note that an account has done it."""
        self._done.setdefault(account_id, []).append(now_us)
        self._done.move_to_end(account_id)
        if len(self._done) > MOST_ACCOUNTS:
            self._done.popitem(last=False)

"""The rows of counters as an audit takes them."""

import msgspec


class CounterRow(msgspec.Struct, frozen=True, gc=False):
    """All of a counter, with its seal."""

    account_id: str
    name: str
    window: str
    start_day: int
    quantity: int
    volume: str
    seal: int

"""What an audit reads of end users."""

import msgspec


class EndUserRow(msgspec.Struct, frozen=True, gc=False):
    """All of an end user, with its seal; JSON still as text."""

    account_id: str
    id: str
    limits: str
    open_holds: int
    kept_until_us: int
    sums: str
    levels: str
    seal: int

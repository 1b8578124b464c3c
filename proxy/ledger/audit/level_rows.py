"""The rows of levels as an audit takes them."""

import msgspec


class LevelRow(msgspec.Struct, frozen=True, gc=False):
    """All of a level, with its seal."""

    account_id: str
    type: str
    thing: str
    key_id: str
    began_us: int
    since_us: int
    charged_us: int
    carry: int
    told: str
    state: str
    seal: int

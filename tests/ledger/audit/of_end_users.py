"""Calls that count to an end user, and what is changed of its row, each with the difference that it makes."""

from msgspec.structs import replace

from proxy.ledger.end_user_rows import EndUserLimits
from proxy.ledger.end_users import LimitEndUser
from proxy.ledger.windows import DAY_US
from tests.ledger.desk import ACCOUNT, NOON_US, Desk

USER = "ann"
_ID = f"{ACCOUNT}/{USER}"
_TODAY = NOON_US // DAY_US


def call_for_a_user(desk: Desk) -> None:
    """One that is settled and one in flight, both counted."""
    desk.do(LimitEndUser(ACCOUNT, USER, EndUserLimits(day_nano=900, rpm=10), desk.now_us))
    for call_id in ("call_u", "call_v"):
        command = desk.ask(5, call_id=call_id)
        desk.calls[call_id] = replace(command.call, end_user=USER, counts_user=True)
        desk.do(replace(command, call=desk.calls[call_id], group=desk.account.group))
    desk.settle("call_u", 4)


def _sums(spent_nano: int, held_nano: int) -> str:
    first_days = (("month", _TODAY - 3), ("week", _TODAY - 4), ("day", _TODAY))
    rows = sorted((first, window) for window, first in first_days)
    return "[" + ",".join(f'["{window}",{first},{spent_nano},{held_nano}]' for first, window in rows) + "]"


OF_END_USERS = (
    ("end_users", USER, "id", "bob", ("end_users", _ID, "row")),
    *(
        ("end_users", USER, name, value, ("end_users", _ID, column))
        for name, value, column in (
            *(("limits", "{}", "seal"), ("open_holds", 1, "open_holds"), ("kept_until_us", 1, "seal")),
            *(("sums", "nothing", "sums"), ("levels", "[]", "seal"), ("seal", 1, "seal")),
        )
    ),
    ("end_users", USER, "sums", _sums(5, 5), ("end_users", f"{_ID}/day/{_TODAY}", "spent_nano")),
    ("end_users", USER, "sums", _sums(4, 4), ("end_users", f"{_ID}/day/{_TODAY}", "held_nano")),
    ("holds", "call_v", "end_user", "bob", ("end_users", f"{ACCOUNT}/bob", "row")),
)

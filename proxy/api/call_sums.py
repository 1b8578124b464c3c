"""What calls used within a stretch of time, summed from their receipts, some calls at a time."""

from typing import Final

from msgspec import Struct

from proxy.api.reader import CallSum, Reader
from proxy.endpoints.event_plan import EVENT_PREFIX
from proxy.errors import Refusal
from proxy.ids import first_id, made_at_us
from proxy.ledger.windows import DAY_US

MAX_SUMS: Final = 10_000
"""How many sums one answer is made of."""
LATEST_START_US: Final = 600_000_000
"""How long after its id, which is made with its first byte, a call may begin: its body may be slow."""
CALL_PREFIX: Final = "req"
"""What the ids of calls begin with."""


class Pace(Struct, frozen=True):
    """How many calls one read sums up, and how many reads an answer may take."""

    calls: int = 20_000
    reads: int = 25

    @property
    def most(self) -> int:
        """How many calls an answer may sum up."""
        return self.calls * self.reads


PACE: Final = Pace()
"""A read takes some tens of milliseconds of a thread."""


class Stretch(Struct, frozen=True, kw_only=True):
    """From when to when, how wide each sum is, and what is told apart; of one `end_user` or of all.

    With a `metadata_key` the label of a sum is what that member of the metadata says, and `by_end_user` it is
    the end user.
    """

    start_us: int
    end_us: int
    width_seconds: int
    by_key: bool = False
    by_model: bool = False
    by_end_user: bool = False
    metadata_key: str = ""
    end_user: str = ""


class _Ids(Struct, frozen=True):
    """The ids to look at: from `start` on and before `end`. Those before `first` are few."""

    start: str
    first: str
    end: str


async def summed(
    reader: Reader, stretch: Stretch, *, account_id: str, pace: Pace = PACE
) -> tuple[list[CallSum], int]:
    """The sums of an account's calls, or of all if its id is empty; and until when they are whole.

    That is the end of the stretch unless it has more calls than the pace allows. Raises Refusal
    `invalid_value` for more than `MAX_SUMS`.
    """
    start, first, end = (
        first_id(CALL_PREFIX, at_us)
        for at_us in (max(0, stretch.start_us - LATEST_START_US), stretch.start_us, stretch.end_us)
    )
    sums, stopped = await _walked(reader, stretch, _Ids(start, first, end), account_id, pace)
    # A call begins after its id is made, so that all calls that began before are summed up.
    return sums, stretch.end_us if stopped is None else made_at_us(stopped)


async def events_summed(
    reader: Reader, stretch: Stretch, *, account_id: str, pace: Pace = PACE
) -> tuple[list[CallSum], bool]:
    """The sums of usage from outside, as `summed` makes those of calls; and whether they are whole.

    It may have been told of at any time after it happened, so that all ids from then on are looked at.
    """
    start = first_id(EVENT_PREFIX, max(0, stretch.start_us - DAY_US))
    sums, stopped = await _walked(reader, stretch, _Ids(start, start, f"{EVENT_PREFIX}_~"), account_id, pace)
    return sums, stopped is None


async def _walked(
    reader: Reader, stretch: Stretch, ids: _Ids, account_id: str, pace: Pace
) -> tuple[list[CallSum], str | None]:
    """The sums of the calls of some ids, and the first id that the pace did not allow to read."""
    place: str | None = ids.start
    sums: list[CallSum] = []
    reads = 0
    while place is not None and reads < pace.reads:
        reads += place >= ids.first  # Those of before are few, and an answer must get beyond them.
        following = await reader.call_place(account_id, place, ids.end, pace.calls)
        sums += await reader.call_sums(
            account_id,
            first_id=place,
            end_id=following or ids.end,
            start_us=stretch.start_us,
            end_us=stretch.end_us,
            width_seconds=stretch.width_seconds,
            by_key=int(stretch.by_key),
            by_model=int(stretch.by_model),
            by_end_user=int(stretch.by_end_user),
            metadata_key=stretch.metadata_key,
            end_user=stretch.end_user,
            results=MAX_SUMS + 1,
        )
        if len(sums) > MAX_SUMS:
            raise Refusal("invalid_value", f"Ask for less: this has more than {MAX_SUMS} results.")
        place = following
    return sums, place

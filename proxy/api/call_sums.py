"""What calls used within a stretch of time, summed from their receipts, some calls at a time."""

from typing import Final

from msgspec import Struct

from proxy.api.reader import CallSum, Reader
from proxy.errors import Refusal
from proxy.ids import first_id, made_at_us

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


async def summed(
    reader: Reader, stretch: Stretch, *, account_id: str, pace: Pace = PACE
) -> tuple[list[CallSum], int]:
    """The sums of an account's calls, or of all if its id is empty; and until when they are whole.

    That is the end of the stretch unless it has more calls than the pace allows. Raises Refusal
    `invalid_value` for more than `MAX_SUMS`.
    """
    first = first_id(CALL_PREFIX, stretch.start_us)
    place = first_id(CALL_PREFIX, max(0, stretch.start_us - LATEST_START_US))
    end_id = first_id(CALL_PREFIX, stretch.end_us)
    sums: list[CallSum] = []
    reads = 0
    while reads < pace.reads:
        reads += place >= first  # Those of before are few, and an answer must get beyond them.
        following = await reader.call_place(account_id, place, end_id, pace.calls)
        sums += await reader.call_sums(
            account_id,
            first_id=place,
            end_id=following or end_id,
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
        if following is None:
            return sums, stretch.end_us
        place = following
    # A call begins after its id is made, so that all calls that began before are summed up.
    return sums, made_at_us(place)

"""What usage days sum to over all accounts, in an engine that stores these sums."""

from collections.abc import Iterator
from operator import add, attrgetter
from typing import Final

from msgspec.structs import astuple

from proxy.ledger.audit.feed import Feed, keys_of
from proxy.ledger.audit.rows import Difference, TotalRow, Totals, compare

_FIGURES: Final = TotalRow.__struct_fields__[1:]


def total_faults(totals: Totals) -> Iterator[Difference]:
    """Where totals are not the sums of their parts, are missing, or have no part.

    Each is compared by itself. Raises OutOfOrder when rows do not come in order.
    """
    by_id = attrgetter("id")
    sums, parts = Feed(totals.sums, by_id), Feed(totals.parts, by_id)
    for id_ in keys_of(sums, parts):
        found = list(sums.of(id_))
        expected: list[int] = []
        for part in parts.of(id_):
            figures = astuple(part)[1:]
            expected = list(map(add, expected, figures)) if expected else list(figures)
        if not found:
            yield Difference("usage_totals", id_, "row", "one, as there are usage days of it", "none")
        elif not expected:
            yield Difference("usage_totals", id_, "row", "none, as there is no usage day of it", "one")
        else:
            for name, figure in zip(_FIGURES, expected, strict=True):
                yield from compare("usage_totals", id_, name, figure, getattr(found[0], name))

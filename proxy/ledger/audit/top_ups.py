"""What must hold of top-ups: those that were paid, and no others, have put their credit in, once."""

from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import astuple

from proxy.ledger.audit.rows import Difference, compare
from proxy.ledger.audit.top_up_rows import AutoRow, ReferenceRow, TopUpRow
from proxy.ledger.seals import newer_values, seal_of
from proxy.ledger.top_ups import bonus_id, is_owing, purchase_id


def top_up_faults(
    rows: Iterable[TopUpRow], references: Iterable[ReferenceRow], posted: Mapping[str, int]
) -> Iterator[Difference]:
    """Where the top-ups of one account differ from what its commands have posted, by their ids."""
    named: dict[str, set[str]] = {}
    for reference in references:
        named.setdefault(reference.top_up_id, set()).add(reference.reference)
        id_ = f"{reference.provider}/{reference.reference}"
        *fixed, seal = astuple(reference)
        yield from compare("top_up_references", id_, "seal", seal_of(*fixed), seal)
    owed: dict[str, int] = {}
    for command_id, amount_nano in posted.items():
        if is_owing(command_id):
            top_up_id = command_id.split(" ")[1]
            owed[top_up_id] = owed.get(top_up_id, 0) - amount_nano
    unknown = {command_id.split(" ")[1] for command_id in posted} | named.keys()
    for row in rows:
        unknown.discard(row.top_up.id)
        yield from _faults(row, named.get(row.top_up.id, set()), posted, owed.get(row.top_up.id, 0))
    for top_up_id in sorted(unknown):
        yield Difference("top_ups", top_up_id, "row", "one, as there is what follows from it", "none")


def _faults(
    row: TopUpRow, names: set[str], posted: Mapping[str, int], owed_nano: int
) -> Iterator[Difference]:
    top_up, is_paid = row.top_up, row.top_up.state == "succeeded"
    *older, method = astuple(top_up)
    yield from compare("top_ups", top_up.id, "seal", seal_of(*older, *newer_values(method)), row.seal)
    for name, command_id, nano in (
        ("credit_nano", purchase_id(top_up.id), top_up.credit_nano),
        ("bonus_nano", bonus_id(top_up.id), top_up.bonus_nano),
    ):
        yield from compare("top_ups", top_up.id, name, posted.get(command_id, 0), nano if is_paid else 0)
    yield from compare("top_ups", top_up.id, "owed_nano", owed_nano, top_up.owed_nano)
    if top_up.reference and top_up.reference not in names:
        yield Difference(
            "top_up_references",
            f"{top_up.provider}/{top_up.reference}",
            "row",
            "one, as a top-up has it",
            "none",
        )


def auto_faults(rows: Iterable[AutoRow]) -> Iterator[Difference]:
    """Where it is not as it was set how an account is topped up by itself."""
    for row in rows:
        yield from compare("auto_top_ups", row.account_id, "seal", seal_of(*astuple(row.auto)), row.seal)

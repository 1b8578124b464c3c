"""The cases of a rate card: other rates, and flags that multiply them, by parameters of a call.

Flags are cases as well: one for all that hold together, before those for fewer, so that the first case that
holds is of every flag that does.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final

from msgspec.structs import replace

from proxy.config.card_schema import CaseSchema, FlagSchema, TermsSchema
from proxy.config.faults import Findings
from proxy.config.rates import case_rates, checked_meters, rates_of
from proxy.config.tiers import with_own_counters
from proxy.money import Unit
from proxy.pricing.cards import Case, RateCard
from proxy.pricing.multipliers import Flag
from proxy.validation import Path

FLAGS_MAX: Final = 5
"""A card has a case for each of them and for all that can hold together, beside each of its own cases."""
When = Mapping[str, str]


def cases_of(
    card: RateCard, schema: TermsSchema, like: RateCard, *, unit: Unit, path: Path, findings: Findings
) -> tuple[Case, ...]:
    """The cases of a card, or those of the one that it is like where it has no cases or flags of its own."""
    if not schema.cases and not schema.flags:
        return tuple(_taken_over(card, case, like) for case in like.cases)
    places: list[Path] = [(*path, "cases", index) for index in range(len(schema.cases))]
    said = [_case(card, case, unit, at, findings) for case, at in zip(schema.cases, places, strict=True)]
    flags = [_flag(name, flag, (*path, "flags", name), findings) for name, flag in schema.flags.items()]
    if len(flags) > FLAGS_MAX:
        findings.fault((*path, "flags"), f"must be {FLAGS_MAX} at most")
    plain = Case((), card)
    flags = flags[:FLAGS_MAX]
    together = (held for size in range(len(flags), 0, -1) for held in combinations(flags, size))
    flagged = (case for held in together for case in _with_flags(card, (*said, plain), held))
    return (*flagged, *said)


def _case(card: RateCard, schema: CaseSchema, unit: Unit, path: Path, findings: Findings) -> Case:
    """A case of a card: its own rates take the place of the card's."""
    if not schema.rates and schema.max_output_tokens is None:
        findings.fault(path, "changes nothing; it needs `rates` or `max_output_tokens`")
    said = rates_of(schema.rates, unit, (*path, "rates"), findings)
    bound = schema.max_output_tokens or card.default_bound
    return _made(card, Case(_when(schema.when), replace(card, default_bound=bound), said))


def _flag(name: str, schema: FlagSchema, path: Path, findings: Findings) -> tuple[Flag, When]:
    spares = tuple(checked_meters(schema.spares, (*path, "spares"), findings))
    return Flag(name, schema.multiplier, spares), dict(_when(schema.when))


def _with_flags(card: RateCard, cases: Sequence[Case], held: Sequence[tuple[Flag, When]]) -> Iterator[Case]:
    """Cases of calls for which all these flags hold beside. Without two values for one parameter."""
    for case in cases:
        conditions = [dict(case.when), *(when for _, when in held)]
        merged = {name: value for when in conditions for name, value in when.items()}
        if all(merged.items() >= when.items() for when in conditions):
            flags = tuple(flag for flag, _ in held)
            yield _made(card, replace(case, when=tuple(sorted(merged.items())), flags=flags))


def _taken_over(card: RateCard, case: Case, like: RateCard) -> Case:
    """A case of the card that a card is like. What the case itself says is kept, the rest is the card's."""
    bound = case.card.default_bound
    bound = card.default_bound if bound == like.default_bound else bound
    return _made(card, replace(case, card=replace(card, default_bound=bound)))


def _made(card: RateCard, case: Case) -> Case:
    """A case, whose card has its bound alone, with the rates of a card."""
    rates = with_own_counters(case_rates(card.rates, case), card.id)
    return replace(case, card=replace(case.card, id=_case_id(card, case.when), rates=rates))


def _when(conditions: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value.casefold()) for name, value in conditions.items()))


def _case_id(card: RateCard, when: Sequence[tuple[str, str]]) -> str:
    return f"{card.id}+{','.join(f'{name}={value}' for name, value in when)}"

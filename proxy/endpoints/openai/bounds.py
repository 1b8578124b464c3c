"""What bounds the output of a request: the bounds that it names, and what may come beside them."""

from typing import Annotated, Final

import msgspec

from proxy.endpoints.generation import NO_BOUND, NamedBound
from proxy.endpoints.members import refuse_other_cases
from proxy.endpoints.openai.members import BUDGET_OBJECTS, BUDGETS, OUTPUT_BOUNDS
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody, beginning, members_of, patched

BUDGET_NAMES: Final = BUDGETS | BUDGET_OBJECTS.keys()
"""The members that say how much a model may think."""
_WANTED: Final = f"a whole number up to {fields.TOKENS_MAX}"

OutputBound = Annotated[int, msgspec.Meta(description="at most so many tokens of output")]


def named_bound(body: JsonBody) -> NamedBound:
    """The bound on the output that a body names. Raises Refusal `invalid_value`."""
    names = tuple(OUTPUT_BOUNDS.intersection(body.members))
    if not names:
        return NO_BOUND
    least: int | None = None
    is_given = False
    for name in names:
        tokens = _tokens(body, name, body.members[name])
        if tokens is not None:
            is_given = True
            if tokens >= 0 and (least is None or tokens < least):
                least = tokens
    return NamedBound(names, least, is_given)


def thinking_budget(body: JsonBody) -> int:
    """How many tokens a choice may think with beside its output, for upstreams that count so; 0 without one.

    An object with a budget is put back as it was read. Raises Refusal `invalid_value`.
    """
    budget = 0
    for name in BUDGET_NAMES.intersection(body.members):
        raw: msgspec.Raw | None = body.members[name]
        if (inner := BUDGET_OBJECTS.get(name)) is not None:
            members = members_of(body.members[name])
            if members is None:
                continue
            refuse_other_cases(members, (inner,), name)
            body.put(name, patched(members, {}))
            raw = members.get(inner)
        if raw is not None:
            budget += max(0, _tokens(body, name, raw) or 0)
    return budget


def _tokens(body: JsonBody, name: str, raw: msgspec.Raw) -> int | None:
    """A number of tokens, below zero for as many as there are; None for null."""
    value = fields.whole_number(raw)
    if value is None and beginning(raw) == b"null":
        return None
    if value is None or value > fields.TOKENS_MAX:
        raise fields.wrong(body, name, _WANTED)
    return value

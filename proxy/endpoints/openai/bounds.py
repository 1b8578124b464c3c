"""What bounds the output of a request: the bounds that it names, and what may come beside them."""

from typing import Annotated, Final

import msgspec

from proxy.endpoints.members import refuse_other_cases
from proxy.endpoints.openai.members import BUDGET_OBJECTS, BUDGETS, OUTPUT_BOUNDS
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody, beginning, members_of, patched

BUDGET_NAMES: Final = BUDGETS | BUDGET_OBJECTS.keys()
"""The members that say how much a model may think."""
_WANTED: Final = f"a whole number up to {fields.TOKENS_MAX}"

OutputBound = Annotated[int, msgspec.Meta(description="at most so many tokens of output")]


class NamedBound(msgspec.Struct, frozen=True, gc=False):
    """The bound on each choice's output that a request names, and the names it uses for that.

    The smallest of several stands, so that none of them is passed. `tokens` is None where there is no bound:
    a number below zero says so (`is_given`), null and absence leave it to the API.
    """

    names: tuple[str, ...] = ()
    tokens: int | None = None
    is_given: bool = False

    def lowered(self, most: int | None) -> int | None:
        """What goes up when each choice may have no more than `most`; None for no bound at all."""
        if most is None or self.tokens is None:
            return self.tokens if most is None else most
        return max(1, min(self.tokens, most))


NO_BOUND: Final = NamedBound()


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

"""The tables of members of OpenAI's Responses."""

from collections.abc import Iterator
from typing import Final

from proxy.endpoints.features import Feature, ObjectName, hidden_input, rated
from proxy.endpoints.kept import id_text
from proxy.endpoints.members import Member, MemberTable, is_on
from proxy.endpoints.openai.members import (
    BUDGET_OBJECTS,
    BUDGETS,
    EVERYWHERE,
    OUTPUT_BOUNDS,
    RESPONSES,
    conversation,
    earlier,
    kept_prompt,
    refused,
    rows,
)
from proxy.endpoints.openai.responses.tools import tools
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import LARGE_BYTES, JsonBody
from proxy.endpoints.reading.repeats import has_repeats, repeats_within

_BOUNDED: Final = Member("bounded")
_SHORT_LIVED: Final = frozenset({None, "30m"})


def _cache(body: JsonBody, name: str) -> Iterator[Feature]:
    """What is kept longer may be dearer to write; a response that it is compared with is the account's."""
    options = body[name] if body.bytes_of(name) <= LARGE_BYTES else None
    if options is None or has_repeats(memoryview(body.members[name]), options):
        raise repeats_within(name)
    if not isinstance(options, dict):
        raise fields.wrong(body, name, "an object")
    if options.get("ttl") not in _SHORT_LIVED:
        yield rated(f"{name}.ttl", name, "cache_write_12h_tokens")
    if (id_ := options.get("comparison_response_id")) is not None:
        where = f"{name}.comparison_response_id"
        yield Feature(where, name, optional=True, refers=ObjectName(RESPONSES, id_text(id_)))


def _summaries(body: JsonBody, name: str) -> Iterator[Feature]:
    """A summary that is written on the way reads everything once more."""
    if is_on(body.members[name]):
        yield hidden_input(name, name)


RESPONSE: Final = MemberTable(
    {
        **EVERYWHERE,
        **dict.fromkeys((*OUTPUT_BOUNDS, *BUDGETS, *BUDGET_OBJECTS), _BOUNDED),
        **rows("input instructions stream text max_tool_calls background", _BOUNDED),
        **rows(
            """
            stream_options tool_choice parallel_tool_calls temperature top_p top_k min_p top_logprobs
            presence_penalty frequency_penalty seed include truncation moderation prompt_cache_key
            prompt_cache_retention image verbosity personality
            """,
            Member("passed"),
        ),
        **rows("prompt", Member("refused", kept_prompt)),
        **rows("previous_response_id", Member("priced", earlier)),
        **rows("conversation", Member("priced", conversation)),
        **rows("context_management", Member("priced", _summaries)),
        **rows("prompt_cache_options", Member("priced", _cache)),
        **rows("tools", Member("priced", tools)),
        **rows("background_options access_programs", Member("refused", refused)),
    }
)
"""The members of a response."""

COMPACTION: Final = MemberTable(
    {
        name: row
        for name, row in RESPONSE.rows.items()
        if name not in {"stream", "stream_options", "tools", "max_tool_calls", "background"}
    }
    | rows("conversation", Member("refused", refused))
)
"""The members of a request that makes a conversation shorter."""

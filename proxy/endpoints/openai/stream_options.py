"""The number of choices, and the options of a stream, as OpenAI's API takes them."""

from typing import Annotated, Final

import msgspec

from proxy.endpoints.members import refuse_other_cases
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody, beginning

ChoiceCount = Annotated[int, msgspec.Meta(ge=0)]

_STREAM_OPTIONS: Final = frozenset({"include_usage", "include_obfuscation", "continuous_usage_stats"})


def shows_usage(body: JsonBody) -> bool:
    """Whether a stream's usage was asked for; its options are put back as they were read.

    Raises Refusal `invalid_value`.
    """
    options = fields.stream_options(body)
    if not options:
        return False
    refuse_other_cases(options, _STREAM_OPTIONS, "stream_options")
    body.put("stream_options", msgspec.json.encode(options))
    asked = options.get("include_usage")
    if asked is None or beginning(asked) in {b"null", b"false"}:
        return False
    if beginning(asked) != b"true":
        raise fields.wrong(body, "stream_options", "an object whose `include_usage` is true or false")
    return True

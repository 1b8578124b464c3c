"""Queries and documents of a call for a ranking: texts, or objects with texts in them.

What is no text is hidden input: the body does not tell what a picture amounts to.
"""

from collections.abc import Iterator
from typing import Final

from proxy.endpoints.features import Feature, hidden_input
from proxy.endpoints.members import refuse_other_cases
from proxy.endpoints.reading.body import JsonBody, beginning
from proxy.endpoints.reading.repeats import has_repeats, names_in_value, repeats_within
from proxy.endpoints.reading.steps import count_names, items

DATA: Final = frozenset(
    {
        *("image", "image_url", "input_image", "images", "video", "video_url", "audio", "input_audio"),
        *("file", "file_id", "file_url"),
    }
)
"""Members of a document that hold something else than text, or tell where that is. So does each that is an
object or an array."""


def hidden_in_query(body: JsonBody, name: str) -> Iterator[Feature]:
    """What of a query is no text. Raises Refusal `invalid_value` for a name that can be read in two ways."""
    if beginning(body.members[name]).startswith(b"{"):
        query = body[name]
        if has_repeats(memoryview(body.members[name]), query):
            raise repeats_within(name)
        if holds_data(query, name):
            yield hidden_input(name, name)


def hidden_in_documents(body: JsonBody, name: str) -> Iterator[Feature]:
    """What of all documents is no text, each document once. Raises Refusal as `hidden_in_query` does."""
    view = memoryview(body.members[name])
    if all(bytes(document[:1]) == b'"' for document in items(view)):
        return
    names = hidden = 0
    for document in body.items_of(name):
        names += names_in_value(document)
        hidden += holds_data(document, f"{name}[]")
    if names != count_names(view):
        raise repeats_within(name)
    if hidden:
        yield hidden_input(f"{name}[]", name, hidden)


def holds_data(document: object, where: str) -> bool:
    """Whether something in a document is no text. Raises Refusal `invalid_value`."""
    if not isinstance(document, dict):
        return document is not None and not isinstance(document, str)
    refuse_other_cases(document, DATA, where)
    return any(isinstance(value, dict | list) or (value and name in DATA) for name, value in document.items())

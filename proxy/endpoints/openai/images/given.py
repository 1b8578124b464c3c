"""The pictures that a request gives a model to work from: their sizes where these can be told, else hidden.

Nothing is fetched, and of a file only the head is read.
"""

from collections.abc import Iterator
from typing import Final

from proxy.endpoints.features import Feature, hidden_input, kept
from proxy.endpoints.kept import kept_in
from proxy.endpoints.members import is_on, refuse_other_cases
from proxy.endpoints.reading.body import JsonBody, beginning
from proxy.endpoints.reading.form import FILES_MAX, FormBody, Kinds
from proxy.endpoints.reading.repeats import has_repeats, repeats_within
from proxy.metering.dimensions import Size
from proxy.metering.images import image_data
from proxy.metering.pictures import encoded_size, file_size

PICTURES: Final = ("image", "images", "mask", "markup")
"""The members of a request that are pictures, or lists of them."""

PICTURES_MAX: Final = FILES_MAX
"""How many pictures one member may have."""

FILES: Final[Kinds] = {"image": "files", "images": "files", "mask": "file", "markup": "file"}
"""How they are given in a form."""

_REFERENCE: Final = frozenset({"image_url", "file_id", "type", "detail"})


def hidden_pictures(body: JsonBody, name: str) -> Iterator[Feature]:
    """What a member refers to whose size cannot be told. In a form, a file stands as its length.

    Raises Refusal `invalid_value` for too many pictures, and for what could be read in two ways.
    """
    sizes = _sizes(body, name)
    if has_repeats(memoryview(body.members[name]), _value(body, name)):
        raise repeats_within(name)
    # A picture may stand as its address alone.
    for found, _ in kept_in(_value(body, name), "image_url"):
        yield kept(f"{name}.{found}", found)
    hidden = sizes.count(None)
    if hidden:
        yield hidden_input(name, name, hidden)


def sizes_in_body(body: JsonBody) -> list[Size]:
    """The sizes of all pictures that a body holds, where they can be told. Raises Refusal as above."""
    return [size for name in PICTURES if name in body for size in _sizes(body, name) if size is not None]


def sizes_in_form(form: FormBody) -> list[tuple[str, Size | None]]:
    """The sizes of all pictures that a form holds, each with its field; None where it cannot be told."""
    return [(name, file_size(form.content(file))) for name in PICTURES for file in form.files(name)]


def _value(body: JsonBody, name: str) -> object:
    return list(body.items_of(name)) if _is_list(body, name) else body[name]


def _is_list(body: JsonBody, name: str) -> bool:
    return beginning(body.members[name]).startswith(b"[")


def _sizes(body: JsonBody, name: str) -> list[Size | None]:
    """One size for each picture of a member, none for what is turned off or is a file of a form."""
    body.bound_items(name, PICTURES_MAX)
    body.bound_values(name)
    if not is_on(body.members[name]):
        return []
    value = _value(body, name)
    items = value if isinstance(value, list) else [value]
    return [_size(item, name) for item in items if type(item) is not int]


def _size(item: object, name: str) -> Size | None:
    """The size of a picture that comes as a data URL, by itself or within an object."""
    if isinstance(item, dict):
        refuse_other_cases(item, _REFERENCE, name)
        if not item.keys() <= _REFERENCE - {"file_id"}:
            return None
        inner = item.get("image_url")
        if isinstance(inner, dict):
            refuse_other_cases(inner, ("url", "detail"), f"{name}.image_url")
            if not inner.keys() <= {"url", "detail"}:
                return None
    else:
        item = {"image_url": item}
    return encoded_size(image_data(item).base64_head)

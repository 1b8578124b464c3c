"""Names that a JSON object has twice: readers differ in which of the two they take."""

from proxy.endpoints.reading.steps import Text, count_names
from proxy.errors import Refusal


def repeats_within(name: str) -> Refusal:
    """The refusal of a member that holds an object with a name twice."""
    return Refusal(
        "invalid_value",
        f"An object within `{name}` has one name twice; upstreams differ in which they read.",
        param=name,
    )


def has_repeats(text: Text, value: object) -> bool:
    """Whether an object in a JSON text has a name twice, at any depth; `value` is what was read of it."""
    return count_names(text) != names_in_value(value)


def names_in_value(value: object) -> int:
    """How many names the objects of a decoded value have."""
    count, rest = 0, [value]
    while rest:
        item = rest.pop()
        if type(item) is dict:
            count += len(item)
            rest.extend(item.values())
        elif type(item) is list:
            rest.extend(item)
    return count

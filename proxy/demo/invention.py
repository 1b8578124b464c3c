"""What the demo upstream says: prose, tool arguments and vectors, all made from the prompt alone.

Nothing here is clever. It is deterministic, so that equal requests have equal answers, and shaped like what a
model would send, so that everything between can be seen at work.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b, shake_256
from itertools import count, islice
from typing import Final

_WORD: Final = re.compile(r"[^\W\d_]{4,}")
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")
_WANTED_LENGTH: Final = re.compile(r"\b(\d{1,4}) (words|sentences)\b", re.IGNORECASE)
_PROPER_NAME: Final = re.compile(r"(?<=[^.?!\s] )[^\W\d_a-z][\w-]+")
_NAME_PARTS: Final = re.compile(r"[a-z]+|[A-Z][a-z]*")

_STOCK_WORDS: Final = ("question", "answer", "detail")
_SENTENCES: Final = (
    "Let us begin with {a}, because {b} follows from it.",
    "Most of what matters about {a} shows when {b} changes.",
    "In practice, {a} and {b} are weighed against {c}.",
    "A small example of {a} says more than a long account of {b}.",
    "If {a} is clear, then {c} is only a matter of {b}.",
    "There are two views of {a}: one looks at {b}, the other at {c}.",
    "It is easy to take {a} for {b}, and the difference is {c}.",
    "What remains of {a} is best left to {b}.",
    "Consider {a} first, then {b}, and {c} last.",
    "Nothing about {a} is settled before {c} is measured.",
)
_DEFAULT_SENTENCES: Final = 4
_SCHEMA_DEPTH_MAX: Final = 8
_VECTOR_STEP: Final = 1 << 31


def prose(prompt: str, variant: int = 0) -> str:
    """Some sentences on the words of `prompt`; as many as it asks for with `N sentences` or `N words`.

    Each `variant` says something else.
    """
    wanted = _WANTED_LENGTH.search(prompt)
    length = int(wanted[1]) if wanted else _DEFAULT_SENTENCES
    if wanted and wanted[2].lower() == "words":
        words: list[str] = []
        for sentence in _sentences(prompt, variant):
            words += sentence.split(" ")
            if len(words) >= length:
                break
        return " ".join(words[:length])
    return " ".join(islice(_sentences(prompt, variant), length))


def _sentences(prompt: str, variant: int) -> Iterator[str]:
    """Sentences without end."""
    topics = list(dict.fromkeys(word.lower() for word in _WORD.findall(prompt)))
    if len(topics) < len(_STOCK_WORDS):
        topics += _STOCK_WORDS
    key = blake2b(prompt.encode("utf-8", "surrogatepass")).digest()
    for number in count():
        chance = memoryview(blake2b(f"{variant}:{number}".encode(), key=key, digest_size=16).digest()).cast(
            "I"
        )
        first = chance[0] % len(topics)
        second = 1 + chance[1] % (len(topics) - 1)
        third = 1 + chance[2] % (len(topics) - 2)
        third += third >= second
        a, b, c = (topics[(first + step) % len(topics)] for step in (0, second, third))
        yield _SENTENCES[chance[3] % len(_SENTENCES)].format(a=a, b=b, c=c)


def tool_asked_for(prompt: str, names: Sequence[str]) -> str | None:
    """The first tool whose name, or a longer word of it, occurs in `prompt`; None when there is none."""
    said = prompt.lower()
    words = set(re.findall(r"[^\W_]+", said))
    for name in names:
        parts = {part.lower() for part in _NAME_PARTS.findall(name) if len(part) >= 4}
        if name.lower() in said or parts & words:
            return name
    return None


def value_for(schema: object, prompt: str, name: str = "value", depth: int = 0) -> object:
    """A value that fits a JSON schema, taken from `prompt` where something there does.

    Understands `const`, `default`, `enum`, `anyOf`, `oneOf`, `allOf`, `type`, `properties` and `items`. What
    is nested deeper than eight levels is null.
    """
    if not isinstance(schema, Mapping) or depth > _SCHEMA_DEPTH_MAX:
        return None
    match schema:
        case {"const": fixed} | {"default": fixed}:
            return fixed
        case {"enum": [_, *_] as choices}:
            return _mentioned(choices, prompt)
        case {"anyOf": [part, *_]} | {"oneOf": [part, *_]} | {"allOf": [part, *_]}:
            return value_for(part, prompt, name, depth + 1)
        case {"type": [kind, *_]}:
            return value_for({**schema, "type": kind}, prompt, name, depth + 1)
    return _typed(schema, prompt, name, depth)


def _typed(schema: Mapping[str, object], prompt: str, name: str, depth: int) -> object:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if kind == "object":
        properties = schema.get("properties")
        members = properties.items() if isinstance(properties, Mapping) else ()
        return {key: value_for(part, prompt, str(key), depth + 1) for key, part in members}
    if kind == "array":
        return [value_for(schema.get("items", {}), prompt, name, depth + 1)]
    return _scalar(kind, schema, prompt, name)


def _mentioned(choices: Sequence[object], prompt: str) -> object:
    said = set(re.findall(r"\w+", prompt.lower()))
    return next((choice for choice in choices if str(choice).lower() in said), choices[0])


def _scalar(kind: object, schema: Mapping[str, object], prompt: str, name: str) -> object:
    number = _NUMBER.search(prompt)
    match kind:
        case "integer" | "number":
            if number is None:
                return schema.get("minimum", 1)
            return float(number[0]) if kind == "number" and "." in number[0] else int(float(number[0]))
        case "boolean":
            return True
        case "null":
            return None
    proper = _PROPER_NAME.search(prompt)
    return proper[0] if proper else name


def vector(text: str, dimensions: int) -> list[float]:
    """A unit vector for `text`. Texts that share words point in similar directions."""
    words = re.findall(r"\w+", text.lower()) or [text]
    sums = [0.0] * dimensions
    for word in words:
        chance = memoryview(shake_256(word.encode("utf-8", "surrogatepass")).digest(4 * dimensions)).cast("I")
        sums = [total + step / _VECTOR_STEP - 1.0 for total, step in zip(sums, chance, strict=True)]
    length = math.sqrt(math.fsum(value * value for value in sums))
    return [value / length for value in sums]


def findings(query: str, limit: int) -> list[dict[str, str]]:
    """Made-up search results for `query`, on a domain that can never exist."""
    results = []
    for rank in range(limit):
        mark = blake2b(f"{rank}:{query}".encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
        results.append(
            {
                "title": f"{query[:60]} ({rank + 1})",
                "url": f"https://search.invalid/{mark}",
                "snippet": next(_sentences(query, rank)),
            }
        )
    return results

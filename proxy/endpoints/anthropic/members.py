"""The table of members of Anthropic's messages, and the headers that can change what they cost."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from proxy.endpoints.anthropic.tools import tools
from proxy.endpoints.base import Headers
from proxy.endpoints.features import Feature, at_tier, hidden_input, kept, rated, surcharged
from proxy.endpoints.kept import kept_within
from proxy.endpoints.members import Member, MemberTable, is_on, refuse_other_cases
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import LARGE_BYTES, JsonBody, items_of, members_of, patched
from proxy.endpoints.reading.repeats import has_repeats, repeats_within

BETA_HEADER: Final = "anthropic-beta"
_TIERS_BY_BETA: Final[Mapping[str, str]] = {"context-1m": "context-1m"}
"""The betas that bill at other rates, by how their names begin, each with the tier that prices them."""

CONTEXT: Final = "context_management"
_LEFT_OUT: Final = "clear_"
_SUMMARY: Final = "compact_"
"""How the types of edits begin that leave something out, and of the one that sums it up."""
_OF_SUMMARIES: Final = frozenset({"type", "trigger", "pause_after_compaction", "instructions"})

_USUAL_TIERS: Final = frozenset({"auto", "standard_only"})
"""Tiers of Anthropic are commitments that the operator has made: no call is dearer by asking for these."""


_SKILL: Final = frozenset({"type", "skill_id", "version"})


def _names(text: str, row: Member) -> dict[str, Member]:
    return dict.fromkeys(text.split(), row)


def _tier(body: JsonBody, name: str) -> Iterator[Feature]:
    tier = _text(body, name)
    if tier in _USUAL_TIERS:
        yield Feature(name, name, tier=tier, optional=True)
    else:
        yield at_tier(f"{name}: {tier[: fields.SHOWN_CHARS]}", name, tier)


def _speed(body: JsonBody, name: str) -> Iterator[Feature]:
    speed = _text(body, name)
    if speed != "standard":
        yield at_tier(f"{name}: {speed[: fields.SHOWN_CHARS]}", name, speed)


def _place(body: JsonBody, name: str) -> Iterator[Feature]:
    """Where a model runs multiplies every rate, as a tier does; of both, a card prices them together."""
    place = _text(body, name)
    if place != "global":
        yield at_tier(f"{name}: {place[: fields.SHOWN_CHARS]}", name, f"geo-{place}")


def _text(body: JsonBody, name: str) -> str:
    text = fields.text_of(body.members[name])
    if text is None:
        raise fields.wrong(body, name, "a string")
    return text


def _kept(body: JsonBody, name: str) -> Iterator[Feature]:
    """What Anthropic keeps, such as for whom it works."""
    if is_on(body.members[name]):
        yield kept(name, name)


def _thread(body: JsonBody, name: str) -> Iterator[Feature]:
    """A thread goes on with what was said before, in a message that it names."""
    if is_on(body.members[name]):
        yield hidden_input(name, name)
        yield from kept_within(body, name)


def _refused(body: JsonBody, name: str) -> Iterator[Feature]:
    """What makes other models answer as well, or is about the operator's account."""
    if is_on(body.members[name]):
        yield Feature(name, name)


def _servers(body: JsonBody, name: str) -> Iterator[Feature]:
    """What other servers answer is read as input."""
    if is_on(body.members[name]):
        yield surcharged(name, name, "server_tools", max(1, len(items_of(body.members[name]) or ())))
        yield from kept_within(body, name)


def _container(body: JsonBody, name: str) -> Iterator[Feature]:
    """A new one is priced. Of one that is there already, nobody can tell whose it is."""
    if not is_on(body.members[name]):
        return
    container = members_of(body.members[name])
    if container is None:
        yield kept(name, name)
        return
    refuse_other_cases(container, {"id", "skills"}, name)
    body.put(name, patched(container, {}))
    if "id" in container and is_on(container["id"]):
        yield kept(f"{name}.id", name)
    yield surcharged(name, name, "server_tools")
    if "skills" in container and is_on(container["skills"]):
        body.bound_values(name)
        value = body[name]
        if has_repeats(memoryview(body.members[name]), value):
            raise repeats_within(name)
        skills = value["skills"] if isinstance(value, dict) else value
        if not isinstance(skills, list) or not all(map(_is_public, skills)):
            yield kept(f"{name}.skills[].skill_id", "skill_id")


def _is_public(skill: object) -> bool:
    """Whether a skill is Anthropic's own; others have been made for somebody."""
    return isinstance(skill, dict) and skill.keys() <= _SKILL and skill.get("type") == "anthropic"


def _cached(body: JsonBody, name: str) -> Iterator[Feature]:
    control = members_of(body.members[name])
    if control is not None:
        body.put(name, patched(control, {}))
    if is_on(body.members[name]):
        ttl = control.get("ttl") if control is not None else None
        yield cache_write(name, name, None if ttl is None else fields.text_of(ttl) or "odd")


def _edits(body: JsonBody, name: str) -> Iterator[Feature]:
    """What leaves something out costs nothing; what writes a summary reads everything once more for that."""
    value = body[name] if body.bytes_of(name) <= LARGE_BYTES else None
    if value is None or has_repeats(memoryview(body.members[name]), value):
        raise repeats_within(name)
    edits = value.get("edits", []) if isinstance(value, dict) else None
    kinds = [_kind(edit) for edit in edits] if isinstance(edits, list) else [""]
    if not isinstance(value, dict) or not value.keys() <= {"edits"} or not all(kinds):
        yield Feature(f"{name}.edits", name)
    elif summaries := kinds.count(_SUMMARY):
        yield hidden_input(f"{name}.edits", name, summaries)


def _kind(edit: object) -> str:
    """What an edit does, as far as it is known; empty for all others."""
    kind = edit.get("type") if isinstance(edit, dict) else None
    if not isinstance(edit, dict) or not isinstance(kind, str):
        return ""
    if kind.startswith(_SUMMARY):
        return _SUMMARY if edit.keys() <= _OF_SUMMARIES else ""
    return _LEFT_OUT if kind.startswith(_LEFT_OUT) else ""


def sums_up(features: Iterable[Feature]) -> bool:
    """Whether a summary may be written within the call, which is one more answer to all of its input."""
    return any(feature.name == CONTEXT for feature in features)


def cache_write(member: str, name: str, ttl: object) -> Feature:
    """The feature of a `cache_control`: what is written to a cache is dearer, by how long it lives."""
    return rated(member, name, "cache_write_tokens" if ttl in (None, "5m") else "cache_write_1h_tokens")


def features_of(headers: Headers) -> Iterator[Feature]:
    """What the headers of a request turn on."""
    for name, value in headers:
        # A server may take `_` in a name for `-`.
        if name.lower().replace("_", "-") == BETA_HEADER:
            for beta in map(str.strip, value.split(",")):
                for begins, tier in _TIERS_BY_BETA.items():
                    if beta.lower().startswith(begins):
                        yield at_tier(f"{BETA_HEADER}: {beta}", BETA_HEADER, tier)


_BOUNDED: Final = Member("bounded")

MESSAGES: Final = MemberTable(
    {
        **_names("model messages system max_tokens stream thinking", _BOUNDED),
        **_names(
            """
            metadata stop_sequences temperature top_k top_p tool_choice output_config output_format
            """,
            Member("passed"),
        ),
        "diagnostics": Member("passed", kept_within),
        "thread": Member("priced", _thread),
        "user_profile_id": Member("refused", _kept),
        **_names(
            "compaction fallbacks fallback_credit_token billing_policy workspace_id",
            Member("refused", _refused),
        ),
        "tools": Member("priced", tools),
        "service_tier": Member("priced", _tier),
        "speed": Member("priced", _speed),
        "inference_geo": Member("priced", _place),
        "cache_control": Member("priced", _cached),
        "container": Member("priced", _container),
        "mcp_servers": Member("priced", _servers),
        CONTEXT: Member("priced", _edits),
    }
)
"""The members of a message."""

"""The plan of a type of events: what usage that did not pass the proxy is metered by. Sans I/O.

It is read of the event itself, a JSON object with the members `id`, `source`, `type`, `account`, `timestamp`
and `properties`, which pointers in a configuration lead through.
"""

from fractions import Fraction
from typing import Final, Literal, get_args

import msgspec

from proxy.endpoints.formulas import Formula
from proxy.endpoints.reading.body import JsonBody, read_body
from proxy.endpoints.reading.pointer import OddName, value_in
from proxy.endpoints.reading.steps import Text, first_byte
from proxy.endpoints.sources import Source, wrong
from proxy.endpoints.tool_plan import Failure, Measure, Parameter, figure_text, too_much
from proxy.metering.quantities import TEXT_CHARS_MAX, number_of, quantity_of
from proxy.metering.usage import METERS, ONE_CALL
from proxy.money import decimal_string

EVENTS: Final = "events"
"""What stands for an endpoint on the receipts of events."""
EVENT_PREFIX: Final = "call"
"""What the ids of their receipts begin with."""

SESSION_METER: Final = "run_seconds"
"""The meter of sessions, which counts in microseconds."""
Every = Literal["hour", "day", "month"]


class LevelPlan(msgspec.Struct, frozen=True):
    """How events tell how much there is of a thing, which is charged over time by one meter.

    `thing` is where its name is, `source` how much there is, `most` millionths of a unit at most, and `end`
    what says that there is nothing any more. It is charged for each period of the calendar in UTC, `late_us`
    after its end. When funds do not cover that, the rest is owed, or it is let go and the thing stops.
    """

    meter: str
    thing: Source
    source: Source
    most: int
    end: Failure | None = None
    every: Every = "day"
    late_us: int = 0
    when_short: Literal["owe", "stop"] = "owe"


class SessionPlan(msgspec.Struct, frozen=True):
    """How events tell of sessions, which are charged by the second from when they open until they end.

    `session` is where the name of one is, `state` where it is said that it opens, beats or closes, and `key`
    where the id of its key is, if the operator tells. It is held for `hold_us` more at a time, ends `idle_us`
    after it was heard of last, which is charged or not, and is not longer than `longest_us`.
    """

    session: Source
    state: Source
    key: Source | None
    hold_us: int
    idle_us: int
    longest_us: int
    charges_idle: bool = True


class EventPlan(msgspec.Struct, frozen=True):
    """How events of one type are metered and priced: each is one request, and what its measures tell.

    Those with a `level` or a `session` have no measures, and cost nothing by themselves. All sources are of
    place `request`, which stands for the event. One whose `failure` is told costs nothing. With `from_keys`
    the keys of accounts may send it for their own.
    """

    type: str
    rate_card: str
    measures: tuple[Measure, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    failure: Failure | None = None
    from_keys: bool = False
    level: LevelPlan | None = None
    session: SessionPlan | None = None

    @property
    def meters(self) -> tuple[str, ...]:
        """The meters that a price must be there for."""
        if self.level is not None:
            return (self.level.meter,)
        if self.session is not None:
            return (SESSION_METER,)
        return tuple(measure.meter for measure in self.measures) or tuple(ONE_CALL)


class EventPolicy(msgspec.Struct, frozen=True):
    """The types of events that are taken, by name; how old one may be, and how far ahead of the clock.

    `on_shortfall` is what becomes of a charge that funds do not cover.
    """

    plans: dict[str, EventPlan] = {}
    max_age_us: int = 0
    max_ahead_us: int = 0
    on_shortfall: Literal["forgive", "owe"] = "owe"


NO_EVENTS: Final = EventPolicy()


class Told(msgspec.Struct, frozen=True):
    """What an event tells: its usage by meter, the values that a price may depend on, whether it failed."""

    usage: dict[str, int]
    parameters: dict[str, str]
    failed: bool = False


def read_event(plan: EventPlan, content: bytes) -> Told:
    """What an event tells by its plan. Raises Refusal `invalid_value`, which names field and value."""
    body = read_body(content)
    usage = {**ONE_CALL, **{one.meter: _quantity(one, body) for one in plan.measures}}
    failed = False
    if plan.failure is not None:
        value = _value(plan.failure.source, body)
        failed = value is not None and plan.failure.is_told_by(value)
    return Told(usage, _parameters(plan, body), failed)


class ToldLevel(msgspec.Struct, frozen=True):
    """How many millionths of a thing an event tells there are, and what its price may depend on."""

    thing: str
    level: int
    parameters: dict[str, str]


def read_level(plan: EventPlan, level: LevelPlan, content: bytes) -> ToldLevel:
    """How much an event tells there is by its plan. Raises Refusal `invalid_value`."""
    body = read_body(content)
    thing = _text(Parameter("thing", level.thing), body)
    if not thing:
        raise wrong(level.thing, "is missing: it has to name the thing")
    ended = _value(level.end.source, body) if level.end is not None else None
    if level.end is not None and ended is not None and level.end.is_told_by(ended):
        quantity = 0
    else:
        quantity = _quantity(Measure(level.meter, level.source, level.most), body)
    return ToldLevel(thing, quantity, _parameters(plan, body))


SessionState = Literal["open", "beat", "close"]
_STATES: Final[tuple[SessionState, ...]] = get_args(SessionState)


class ToldSession(msgspec.Struct, frozen=True):
    """What an event tells of a session; `key_id` is empty where it names no key."""

    name: str
    state: SessionState
    key_id: str
    parameters: dict[str, str]


def read_session(plan: EventPlan, session: SessionPlan, content: bytes) -> ToldSession:
    """What an event tells of a session by its plan. Raises Refusal `invalid_value`."""
    body = read_body(content)
    name = _text(Parameter("session", session.session), body)
    if not name:
        raise wrong(session.session, "is missing: it has to name the session")
    said = (_text(Parameter("state", session.state), body) or "").casefold()
    state = next((each for each in _STATES if each == said), None)
    if state is None:
        raise wrong(session.state, f"is {said[:TEXT_CHARS_MAX]!r}: it has to be {', '.join(_STATES)}")
    key_id = _text(Parameter("key", session.key), body) if session.key is not None else None
    return ToldSession(name, state, key_id or "", _parameters(plan, body))


def used(from_us: int, until_us: int) -> dict[str, int]:
    """The usage of a session, in microseconds; what has begun has taken some time."""
    return {**ONE_CALL, SESSION_METER: max(1, until_us - from_us)}


def _parameters(plan: EventPlan, body: JsonBody) -> dict[str, str]:
    found = ((one.name, _text(one, body)) for one in plan.parameters)
    return {name: value for name, value in found if value is not None}


def _quantity(measure: Measure, body: JsonBody) -> int:
    if measure.formula is not None:
        return _worked_out(measure, measure.formula, body)
    value = _value(measure.source, body)
    if value is None:
        if measure.otherwise is None:
            raise wrong(measure.source, "is missing: it has to be a decimal number that is not negative")
        return measure.otherwise
    text = figure_text(value)
    quantity = quantity_of(text, measure.meter)
    if quantity is None and number_of(text) is None:
        raise wrong(measure.source, f"is {_shown(value)}: it has to be a decimal number, not negative")
    if quantity is None or quantity > measure.most:
        most = decimal_string(Fraction(measure.most, METERS[measure.meter].scale))
        raise wrong(measure.source, f"is {_shown(value)}: it may be {most} at most")
    return quantity


def _worked_out(measure: Measure, formula: Formula, body: JsonBody) -> int:
    """The quantity of a formula, of which an event tells every part. Nothing of something is nothing."""
    values = []
    for part in formula.parts:
        value = _value(part.source, body)
        plain = None if value is None else figure_text(value)
        values.append(part.value(part.chunks(value) if part.chunk_characters else plain, zero_counts=True))
    quantity = formula.quantity(values, measure.meter)
    if quantity is None or quantity > measure.most:
        raise too_much(measure, formula)
    return quantity


def _text(parameter: Parameter, body: JsonBody) -> str | None:
    value = _value(parameter.source, body)
    if value is None:
        return parameter.otherwise
    text = figure_text(value)
    if len(text) > TEXT_CHARS_MAX:
        raise wrong(parameter.source, f"is longer than {TEXT_CHARS_MAX} characters")
    return text


def _value(source: Source, body: JsonBody) -> Text | None:
    """The value at a source; None where there is none, and for null."""
    try:
        value = value_in(body, source.pointer)
    except OddName as fault:
        raise wrong(source, f"can be read in two ways: {fault.name!r} is there twice") from fault
    return None if value is None or first_byte(value) == b"n" else value


def _shown(value: Text) -> str:
    shown = bytes(value[: TEXT_CHARS_MAX + 1]).decode("utf-8", "replace")
    return shown if len(shown) <= TEXT_CHARS_MAX else f"{shown[:TEXT_CHARS_MAX]}..."

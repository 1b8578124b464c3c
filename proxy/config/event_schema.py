"""The schema of usage that does not pass the proxy: what events are taken, metered by and charged."""

from typing import Annotated, Literal

from msgspec import Meta, field

from proxy.config.values import Count, Name, Quantity, Schema, Text, doc


class EventPartSchema(Schema, frozen=True, kw_only=True):
    """One of several figures that a quantity is worked out of."""

    event: Annotated[Text, doc("A JSON pointer into the event, such as /properties/documents.")]
    chunk_characters: Annotated[
        Count | None, doc("Instead, how many chunks of so many characters the text there has.")
    ] = None
    most: Annotated[Quantity | None, doc("The most that it may be.")] = None
    otherwise: Annotated[
        Quantity | None, doc("Its value where it is not told; without it, such an event is rejected.")
    ] = None


class EventMeasureSchema(Schema, frozen=True, kw_only=True):
    """Where an event tells the quantity of a meter, or of what it is worked out, and its bound."""

    event: Annotated[Text | None, doc("A JSON pointer into the event, such as /properties/seconds.")] = None
    product: Annotated[
        list[EventPartSchema], doc("Figures of the event of which the product is the quantity.")
    ] = field(default_factory=list)
    sum: Annotated[list[EventPartSchema], doc("Figures of the event of which the sum is the quantity.")] = (
        field(default_factory=list)
    )
    per: Annotated[
        Count | None, doc("What the product or the sum is divided by; a unit that has begun counts.")
    ] = None
    most: Annotated[Quantity, doc("The most that an event may tell; one with more is rejected.")] = (
        "100000000"
    )
    otherwise: Annotated[
        Quantity | None, doc("The quantity where it is not told; without it, such an event is rejected.")
    ] = None


class EventParameterSchema(Schema, frozen=True, kw_only=True):
    """Where a value of the event is that prices may depend on."""

    event: Annotated[Text, doc("A JSON pointer into the event, such as /properties/resolved.")]
    otherwise: Annotated[str | None, doc("Its value where the event has none.")] = None


class EventFailureSchema(Schema, frozen=True, kw_only=True):
    """What of an event tells that it is about a failure, so that it is free."""

    event: Annotated[Text, doc("A JSON pointer into the event.")]
    equals: Annotated[
        Text | None,
        doc("The value there, in any case; without it, any but null, false, 0 and what is empty."),
    ] = None


class EventLevelSchema(Schema, frozen=True, kw_only=True):
    """How events tell how much there is of a thing, which is charged over time."""

    meter: Annotated[Name, doc("The meter that it is charged by, such as gib_hours.")]
    thing: Annotated[Text, doc("A JSON pointer to the name of the thing, such as /properties/volume.")]
    event: Annotated[Text, doc("A JSON pointer to how much there is from then on, such as /properties/gib.")]
    most: Annotated[Quantity, doc("The most that an event may tell; one with more is rejected.")] = (
        "100000000"
    )
    ends_when: EventFailureSchema | None = None
    every: Annotated[
        Literal["hour", "day", "month"], doc("The periods that it is charged for, of the calendar in UTC.")
    ] = "day"
    late_minutes: Annotated[
        Annotated[int, Meta(ge=0, le=10_080)],
        doc("How long after the end of a period it is charged; so long, changes within it can be told."),
    ] = 60
    when_short: Annotated[
        Literal["owe", "stop"],
        doc("What funds do not cover: owe makes it debt, stop lets it go and ends the thing."),
    ] = "owe"


class EventSessionSchema(Schema, frozen=True, kw_only=True):
    """How events tell of sessions, which are charged by the second while they last."""

    session: Annotated[Text, doc("A JSON pointer to the name of the session, such as /properties/session.")]
    state: Annotated[Text, doc("A JSON pointer to what happens to it: open, beat or close.")]
    key: Annotated[
        Text | None, doc("A JSON pointer to the id of the key whose it is; needed where no key tells of it.")
    ] = None
    hold_seconds: Annotated[
        Annotated[int, Meta(ge=10, le=86_400)], doc("For how long more it is held for at a time.")
    ] = 300
    idle_seconds: Annotated[
        Annotated[int, Meta(ge=10, le=86_400)], doc("How long after it was heard of last it ends.")
    ] = 120
    longest_seconds: Annotated[
        Annotated[int, Meta(ge=10, le=2_592_000)], doc("How long it lasts at most.")
    ] = 86_400
    charge_idle: Annotated[
        bool, doc("Whether the time after it was heard of last is charged where it ends so.")
    ] = True


class EventTypeSchema(Schema, frozen=True, kw_only=True):
    """How events of one type are metered and charged."""

    rate_card: Annotated[Name, doc("The rate card of its events, each of which is one request.")]
    measures: Annotated[
        dict[str, EventMeasureSchema], doc("What its events are metered by beside `requests`, by meter.")
    ] = field(default_factory=dict)
    parameters: Annotated[
        dict[Name, EventParameterSchema],
        doc("What of its events the cases of their rate card may ask for, by name."),
    ] = field(default_factory=dict)
    free_when: EventFailureSchema | None = None
    level: EventLevelSchema | None = None
    session: EventSessionSchema | None = None
    from_keys: Annotated[
        bool, doc("Whether keys may send its events for their own account; else the admin key alone does.")
    ] = False


class EventsSchema(Schema, frozen=True, kw_only=True):
    """Usage that does not pass the proxy, and is told of by events."""

    max_age_days: Annotated[
        Annotated[int, Meta(ge=1, le=365)], doc("How long ago an event may have happened.")
    ] = 30
    max_ahead_seconds: Annotated[
        Annotated[int, Meta(ge=0, le=86_400)], doc("How far an event may be ahead of the clock.")
    ] = 300
    on_shortfall: Annotated[
        Literal["owe", "forgive"],
        doc("What funds do not cover: owe makes it debt, forgive lets it go."),
    ] = "owe"
    types: Annotated[dict[Name, EventTypeSchema], doc("The types of events that are taken, by name.")] = (
        field(default_factory=dict)
    )

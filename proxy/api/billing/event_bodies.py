"""The bodies that tell of usage from outside: plain JSON, and CloudEvents 1.0 one by one or in a batch."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

from proxy.api import decode
from proxy.api.admin.bodies import Instant, instant_us
from proxy.billing.usage_events import UsageEvent
from proxy.call.runs import check_run_id
from proxy.endpoints.reading.depth import DEPTH_MAX, is_too_deep
from proxy.endpoints.reading.fields import printable
from proxy.errors import Refusal
from proxy.validation import wants

EVENTS_MAX: Final = 100
"""The most events of one request."""
PROPERTIES_MAX: Final = 50
PLAIN: Final = "application/json"
CLOUD_EVENT: Final = "application/cloudevents+json"
CLOUD_EVENTS: Final = "application/cloudevents-batch+json"

_LINE: Final = r"^[^\x00-\x1f\x7f]*$"
EventId = Annotated[
    str, wants("1 to 255 characters of one line", min_length=1, max_length=255, pattern=_LINE)
]
EventType = Annotated[str, wants("the name of a type of events", min_length=1, max_length=100, pattern=_LINE)]
AccountId = Annotated[str, wants("the id of an account", max_length=100, pattern=r"^[A-Za-z0-9_-]*$")]
Source = Annotated[str, wants("1 to 255 characters", min_length=1, max_length=255, pattern=_LINE)]
PropertyName = Annotated[str, wants("1 to 100 characters", min_length=1, max_length=100)]
PropertyText = Annotated[str, wants("at most 1000 characters", max_length=1_000)]
Properties = Annotated[
    dict[PropertyName, PropertyText | int | float | bool | None],
    wants(
        f"at most {PROPERTIES_MAX} members, each text, a number, true, false or null",
        max_length=PROPERTIES_MAX,
    ),
]


RunId = Annotated[str, wants("the id of a run", max_length=128)]


class EventFields(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One event. A key may leave out the account, which is its own; the operator names any.

    With `run_id` it is billed as one call of that run; `end_user` is for whom it was, in the account's words.
    """

    id: EventId
    type: EventType
    account: AccountId = ""
    timestamp: Instant
    properties: Properties = {}
    run_id: RunId = ""
    end_user: str = ""


class EventsFields(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Events, each of which is charged or rejected by itself."""

    events: Annotated[
        list[EventFields], wants(f"1 to {EVENTS_MAX} events", min_length=1, max_length=EVENTS_MAX)
    ]


class CloudEventFields(Struct, frozen=True, kw_only=True):
    """One event as CloudEvents 1.0 has it: the subject is the account, the data its properties.

    Its id is known within its source. With the extension attribute `runid` it is billed as one call of that
    run, and `enduser` is for whom it was. Other attributes are passed over.
    """

    specversion: Literal["1.0"]
    id: EventId
    source: Source
    type: EventType
    subject: AccountId = ""
    time: Instant
    datacontenttype: Annotated[
        str, wants("application/json", pattern=r"^application/([a-z0-9.-]+\+)?json")
    ] = PLAIN
    data: Properties = {}
    runid: RunId = ""
    enduser: str = ""
    data_base64: UnsetType = UNSET


class _Members(Struct, frozen=True):
    """What has to be taken as it was written: no float may come between a figure and its meter."""

    properties: dict[str, msgspec.Raw] = {}
    data: dict[str, msgspec.Raw] = {}


class Fault(NamedTuple):
    """An event that cannot be read: its id, where that can be, and why."""

    id: str
    refusal: Refusal


_decode_members: Final = msgspec.json.Decoder(_Members).decode
_ATTRIBUTES: Final = frozenset(CloudEventFields.__struct_fields__)
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def events_of(body: bytes, content_type: str, own_account_id: str = "") -> list[UsageEvent | Fault]:
    """The events of a body, in order; whoever has an account of its own tells of no other.

    Raises Refusal `invalid_json` or `invalid_value` for what is no list of 1 to 100 events.
    """
    kind = content_type.partition(";")[0].strip().lower() or PLAIN
    if kind not in {PLAIN, CLOUD_EVENT, CLOUD_EVENTS}:
        right = f"send {PLAIN}, {CLOUD_EVENT} or {CLOUD_EVENTS}"
        raise decode.invalid("Content-Type", kind, right)
    if is_too_deep(body):
        raise Refusal("invalid_json", f"The body is nested more than {DEPTH_MAX} deep.")
    read = _plain if kind == PLAIN else _cloud
    events: list[UsageEvent | Fault] = []
    for raw in _items(body, kind):
        try:
            events.append(_made(read(raw), own_account_id))
        except Refusal as fault:
            events.append(Fault(_id_in(raw), fault))
    return events


def _items(body: bytes, kind: str) -> list[bytes]:
    try:
        if kind == CLOUD_EVENT:
            return [body]
        if kind == CLOUD_EVENTS:
            items = msgspec.json.decode(body, type=list[msgspec.Raw])
        else:
            members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
            if "events" not in members:
                return [body]
            if len(members) > 1:
                other = next(name for name in members if name != "events")
                raise decode.invalid(other[:100], "...", "beside `events` there is no other field")
            items = msgspec.json.decode(members["events"], type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise Refusal("invalid_json", f"The body is no list of events: {fault}.") from None
    if not 1 <= len(items) <= EVENTS_MAX:
        raise decode.invalid("events", len(items), f"send 1 to {EVENTS_MAX} events at once")
    return [bytes(item) for item in items]


def _plain(raw: bytes) -> "_Read":
    fields = decode.from_json(raw, EventFields)
    said = ("account", fields.account, "timestamp", fields.timestamp)
    more = ("run_id", fields.run_id, fields.end_user)
    return _Read(fields.id, "", fields.type, *said, _decode_members(raw).properties, *more)


def _cloud(raw: bytes) -> "_Read":
    known = {name: value for name, value in _members_of(raw).items() if name in _ATTRIBUTES}
    fields = decode.from_json(_encode(known), CloudEventFields)
    said = ("subject", fields.subject, "time", fields.time)
    more = ("runid", fields.runid, fields.enduser)
    return _Read(fields.id, fields.source, fields.type, *said, _decode_members(raw).data, *more)


class _Read(NamedTuple):
    """The members of an event of either form, with the names that it has for them."""

    id: str
    source: str
    type: str
    account_field: str
    account_id: str
    time_field: str
    at: datetime
    properties: dict[str, msgspec.Raw]
    run_field: str
    run_id: str
    end_user: str


def _made(read: "_Read", own_account_id: str) -> UsageEvent:
    account_id = read.account_id or own_account_id
    if not account_id:
        right = f"`{read.account_field}` is missing: it has to be the id of an account."
        raise Refusal("invalid_value", right, param=read.account_field)
    if own_account_id and account_id != own_account_id:
        right = "a key tells of its own account alone"
        raise decode.invalid(read.account_field, account_id, right)
    at_us = instant_us(read.at, read.time_field)
    if read.run_id:
        check_run_id(read.run_id, read.run_field)
    content = {
        "id": read.id,
        "source": read.source,
        "type": read.type,
        "account": account_id,
        "timestamp": at_us,
        "properties": dict(_same(read.properties)),
    }
    if read.run_id:
        content["run_id"] = read.run_id
    end_user = printable(read.end_user)
    if end_user:
        content["end_user"] = end_user
    about = (read.source, read.run_id, end_user)
    return UsageEvent(read.id, read.type, account_id, at_us, _encode(content), *about)


def _same(properties: dict[str, msgspec.Raw]) -> Iterator[tuple[str, Any]]:
    """Each property in the same bytes however its text was escaped; numbers stay as they were written."""
    for name, raw in properties.items():
        yield name, msgspec.json.decode(raw, type=str) if bytes(raw).startswith(b'"') else raw


def _members_of(raw: bytes) -> dict[str, msgspec.Raw]:
    """The members of a JSON object. Raises Refusal `invalid_json`."""
    try:
        return msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise Refusal("invalid_json", f"The event is no JSON object: {fault}.") from None


def _id_in(raw: bytes) -> str:
    """The id of an event that cannot be read, as far as it has one."""
    try:
        return msgspec.json.decode(_members_of(raw)["id"], type=str)[:255]
    except (Refusal, msgspec.DecodeError, UnicodeDecodeError, KeyError):
        return ""

"""Objects: what upstreams make and know by ids, and what may be asked of each kind. Sans I/O.

A kind is a value of `ObjectKind`. Its routes are rows of a table, so that a new one needs no code elsewhere.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, Literal, Protocol
from urllib.parse import parse_qsl

import msgspec

from proxy.endpoints.base import Ask, ForwardPlan, Headers
from proxy.endpoints.features import NO_PARAMETERS, Feature
from proxy.endpoints.members import shown_name
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody, beginning, read_body
from proxy.endpoints.tallies.sighted import (
    FreeJsonTally,
    JsonTally,
    PassingTally,
    SightedTally,
    Sighting,
    is_id,
    read_deletion,
)
from proxy.errors import Refusal
from proxy.metering.ceiling import Ceiling
from proxy.metering.usage import Usage

Tells = Literal["object", "content", "deletion", "nothing"]
"""What a 2xx on a route says: it is the object itself, it is something that only a complete object has, it
says that the object is deleted, or it says nothing of how far the object is."""

ITEM: Final = "{item}"
"""Stands in a path for the id of something within an object."""
_MODEL: Final = "model"
_NO_REQUEST: Final[Usage] = {"requests": 0}
_NOTHING: Final = Ceiling(_NO_REQUEST)


class Given(msgspec.Struct, frozen=True):
    """What came with a request about an object: the body that goes up, and what that turns on and names.

    `model` is one that it names for Farebox alone, empty for none.
    """

    body: bytes = b""
    features: tuple[Feature, ...] = ()
    model: str = ""


class ObjectRoute(msgspec.Struct, frozen=True):
    """Something that may be asked of an object, for free: its method, and its path below the object's own.

    The path may end with `ITEM`. With `may_stream` a client can have it as a stream. `takes` are the members
    that its body may have; without any, none goes up. Where they are to be looked into, `turned_on` says what
    they turn on; such bodies are read only of who has funds.
    """

    name: str
    method: str
    summary: str
    below: str = ""
    tells: Tells = "object"
    may_stream: bool = False
    takes: tuple[str, ...] = ()
    turned_on: Callable[[JsonBody], tuple[Feature, ...]] | None = None

    def item_of(self, below: str) -> str | None:
        """The id that a path below an object's own has for `ITEM`; "" without one, None for another route."""
        before, mark, _ = self.below.partition(ITEM)
        if not mark:
            return "" if below == before else None
        item = below[len(before) :]
        return item if below.startswith(before) and is_id(item) else None

    def read(self, body: bytes) -> Given:
        """What goes up of a body, each member once. Raises Refusal `invalid_json` or `invalid_value`."""
        request = read_body(body)
        for name in request.members:
            if name not in self.takes:
                raise Refusal(
                    "invalid_value",
                    f"`{shown_name(name)}` is not taken here; {', '.join(self.takes)} is.",
                    param=shown_name(name),
                )
        features = () if self.turned_on is None else self.turned_on(request)
        if _MODEL not in request:
            return Given(request.patched({}), features)
        is_named = beginning(request.members[_MODEL]) != b"null"
        model = fields.model_of(request) if is_named else ""
        return Given(request.patched({_MODEL: None}), features, model)

    def told(self, query: str) -> Tells:
        """What its answer tells: one that is streamed, as the query asks, is only passed on."""
        asked = dict(parse_qsl(query)).get("stream", "false")
        return "nothing" if self.may_stream and asked.lower() != "false" else self.tells


class Source(msgspec.Struct, frozen=True):
    """The object that another is made from: its model, and what was seen of it last."""

    id: str
    model: str
    seen: str


class Derivation(Protocol):
    """A call that makes an object from another one, whose upstream and model it takes.

    `path` has `{id}` in it where that says which object; otherwise the body does. `upstream_path` is like it.
    """

    name: str
    path: str
    upstream_path: str
    summary: str

    def source_id(self, body: bytes, headers: Headers) -> str:
        """The id in a body. Raises Refusal where it has none. Not asked where the path says it."""
        ...

    def read(self, body: bytes, headers: Headers, source: Source) -> Ask:
        """Read the request. Its tally is a `SightedTally`. Raises Refusal as `Endpoint.read`."""
        ...


def always(_: Ask) -> bool:
    """Every call of the endpoint."""
    return True


def never(_: Ask) -> bool:
    """No call of the endpoint."""
    return False


class ObjectKind(msgspec.Struct, frozen=True):
    """A kind of objects. `endpoint` is the one that makes them, by whose routes and rates all go.

    `path` is that of their list, below which each has its own by its id. With a `creation` calls of that path
    make one for free, where the models of the endpoint `beside` are served. `read` gives what the JSON of one
    says, None for anything else. The first of `routes` is what the poller asks. `made_by` says whether a call
    of the endpoint may make one: then its tally is a `SightedTally`. `begins_job` says of such a call whether
    that goes on after its answer. `is_listed`: their list is answered, from what Farebox knows of them. With
    `tells_usage` the end of a job says what it used; otherwise that follows from its request. `unreported` is
    the meter of what a job has produced that is ended before it tells. `answer_bytes` is the most that is
    read of one.
    """

    name: str
    endpoint: str
    path: str
    upstream_path: str
    meters: tuple[str, ...]
    read: Callable[[bytes], Sighting | None]
    routes: tuple[ObjectRoute, ...]
    derivations: tuple[Derivation, ...] = ()
    is_listed: bool = False
    tells_usage: bool = False
    unreported: str = ""
    answer_bytes: int = 262_144
    creation: ObjectRoute | None = None
    beside: str = ""
    made_by: Callable[[Ask], bool] = always
    begins_job: Callable[[Ask], bool] = always

    def upstream_path_of(self, id_: str, route: ObjectRoute, item: str = "") -> str:
        """Where an upstream is asked something of one object, or of an item within it."""
        return f"{self.upstream_path}/{id_}{route.below.replace(ITEM, item)}"

    def paths(self) -> Iterator[tuple[str, str, str, str]]:
        """Every path but that of the list: its method, itself with `{id}`, its name, and a summary."""
        if (creation := self.creation) is not None:
            yield creation.method, self.path, f"{self.endpoint}.{creation.name}", creation.summary
        for route in self.routes:
            yield (
                route.method,
                f"{self.path}/{{id}}{route.below}",
                f"{self.endpoint}.{route.name}",
                route.summary,
            )
        for each in self.derivations:
            yield "POST", each.path, f"{self.endpoint}.{each.name}", each.summary


class Found(msgspec.Struct, frozen=True):
    """What a path asks for: a route of an object, or a derivation. The id is "" where the body has it.

    It is "" as well where an object is to be made. `item` is that of something within one.
    """

    kind: ObjectKind
    id: str
    route: ObjectRoute | None = None
    derivation: Derivation | None = None
    item: str = ""


class ObjectPaths:
    """The paths of all kinds. They are matched as they came, without any decoding."""

    def __init__(self, kinds: Sequence[ObjectKind]) -> None:
        self._kinds = tuple(kinds)

    def find(self, method: str, path: str) -> Found | None:
        """What is asked for, None where no object is. Raises Refusal `method_not_allowed`."""
        allowed: set[str] = set()
        for kind in self._kinds:
            if (creation := kind.creation) is not None and path == kind.path:
                if creation.method == method:
                    return Found(kind, "", creation)
                allowed.add(creation.method)
            if not path.startswith(f"{kind.path}/"):
                continue
            id_, below, tail = path[len(kind.path) + 1 :].partition("/")
            below += tail
            for route in kind.routes if is_id(id_) else ():
                if (item := route.item_of(below)) is not None:
                    if route.method == method:
                        return Found(kind, id_, route, item=item)
                    allowed.add(route.method)
            for each in kind.derivations:
                named = each.path.replace("{id}", id_) == path
                if named and is_id(id_):
                    if method == "POST":
                        return Found(kind, id_ if "{id}" in each.path else "", derivation=each)
                    allowed.add("POST")
        if allowed:
            methods = ", ".join(sorted(allowed))
            raise Refusal(
                "method_not_allowed", f"{path} takes {methods}, not {method}.", headers={"Allow": methods}
            )
        return None


class ObjectAsk:
    """Something that is asked of an object: it is free, and only its rate is limited."""

    stream = False
    end_user = ""
    labels = ""
    features: tuple[Feature, ...] = ()
    parameters: Mapping[str, str] = NO_PARAMETERS

    def __init__(self, kind: ObjectKind, tells: Tells, id_: str, model: str, body: bytes = b"") -> None:
        self.model = model
        self._body = body
        self._kind = kind
        self._tells = tells
        self._id = id_

    def ceiling(self) -> Ceiling:
        """Nothing."""
        return _NOTHING

    def ceiling_exact(self) -> Ceiling:
        """Nothing."""
        return _NOTHING

    def estimate(self, model: str) -> Usage:  # noqa: ARG002 - it is free with every model.
        """Nothing."""
        return _NO_REQUEST

    def input_text_length(self) -> int:
        """Nothing is counted."""
        return 0

    def forward_body(self, plan: ForwardPlan) -> bytes:  # noqa: ARG002 - it names no model.
        """The body as its route has read it."""
        return self._body

    def tally(self, *, keep_usage: bool = False) -> SightedTally:  # noqa: ARG002 - it has no usage.
        """A fresh tally."""
        match self._tells:
            case "object":
                return JsonTally(self._kind.read, about=self._id)
            case "deletion":
                read = partial(read_deletion, unreported=self._kind.unreported)
                return JsonTally(read, about=self._id)
            case "content":
                return PassingTally(Sighting(self._id, "complete"))
            case "nothing":
                return PassingTally(None)


class CreationAsk(ObjectAsk):
    """A call that makes an object for free."""

    def __init__(self, kind: ObjectKind, model: str, body: bytes) -> None:
        super().__init__(kind, "object", "", model, body)

    def tally(self, *, keep_usage: bool = False) -> SightedTally:  # noqa: ARG002 - it has no usage.
        """A fresh tally of an answer that has to tell of an object."""
        return FreeJsonTally(self._kind.read)


class ObjectEndpoint:
    """One object's path, as an endpoint: its calls are free."""

    meters = ("requests",)

    def __init__(self, name: str, path: str, upstream_path: str, *, repeatable: bool) -> None:
        self.name = name
        self.path = path
        self.upstream_path = upstream_path
        self.repeatable = repeatable

    def read(self, body: bytes, headers: Headers = ()) -> Ask:  # noqa: ARG002  # pragma: no cover
        """Not called: the route of an object reads its body, and a derivation its own."""
        raise AssertionError("an object's route or derivation reads the body")

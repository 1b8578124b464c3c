"""A call on its way in: the request, what it asks for, and its hold."""

from typing import Protocol

import msgspec

from proxy.call.terms import Terms
from proxy.endpoints.base import Ask, Endpoint
from proxy.endpoints.objects import ObjectKind
from proxy.ledger.commands import Granted
from proxy.ledger.groups import QuotaTerms
from proxy.ledger.rows import Call, Limits, Object, Observed
from proxy.metering.ceiling import Ceiling
from proxy.pricing.cards import RateCard
from proxy.upstream.routes import Route


class InboundRequest(Protocol):
    """A client's request. `path` is raw and checked, `secret` the bearer key if there was one.

    `run` is the run that it says it belongs to, unchecked; empty for none. `facts` is what is known of it so
    far, by name, for the log of a refusal.
    """

    id: str
    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    secret: str | None
    wants_cost: bool
    run: str
    facts: dict[str, str]

    async def body_at_hand(self) -> bytes | None:
        """The whole body if nobody has to wait for it, else None. Raises Refusal as `body`."""
        ...

    async def body(self) -> bytes:
        """The whole body, after `body_at_hand` gave None. Raises Refusal when it is too large or too slow."""
        ...


class Job(msgspec.Struct, frozen=True):
    """A call that outlives its request, while its hold is open: what it costs once it is complete."""

    call: Call
    authorized_at_us: int
    deadline_us: int
    observed: Observed | None
    hold_nano: int


class KnownObject(msgspec.Struct, frozen=True):
    """An account's object, and the job that makes it while that runs."""

    row: Object
    job: Job | None = None


class About(msgspec.Struct, frozen=True):
    """What kind of object a call makes or, with `known`, which one it asks for."""

    kind: ObjectKind
    known: KnownObject | None = None


class RoutedCall(msgspec.Struct, frozen=True):
    """What a request asks for, where it goes, and its terms. `about` is None for what makes no object.

    `group` is the one that its account was in when the terms were made, `run_id` the run that it is billed
    with; empty for none. It counts to `quota`, and to its end user where it `counts_user`.
    """

    endpoint: Endpoint
    ask: Ask
    route: Route
    terms: Terms
    body: bytes
    about: About | None = None
    group: str = ""
    run_id: str = ""
    quota: QuotaTerms | None = None
    counts_user: bool = False

    @property
    def quota_name(self) -> str:
        """The quota that it counts to, empty for none."""
        return self.quota.quota.name if self.quota is not None else ""

    @property
    def card(self) -> RateCard:
        """The rate card that prices it."""
        return self.terms.card

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be sent to a second target although the first may have acted on it.

        What begins a job may not: the first one's would go on, and nobody would ever ask about it. Nor may
        what changes an object that it names.
        """
        if not self.endpoint.repeatable or self.begins_job:
            return False
        features = self.ask.features
        return not features or not any(feature.changes for feature in features)

    @property
    def begins_job(self) -> bool:
        """Whether what it makes goes on at the upstream after its answer."""
        about = self.about
        return about is not None and about.known is None and about.kind.begins_job(self.ask)

    def bounded(self, ceiling: Ceiling) -> Ceiling:
        """A ceiling of what is asked for, with all that the rate card and the terms add to it."""
        terms = self.terms
        bounded = ceiling.bounded(terms.card.default_bound)
        if bounded.either:
            bounded = bounded.priced_by(terms.card.worst_weights)
        adds = terms.hidden or terms.allowed or terms.surcharges
        return bounded.allowing(terms.unseen) if adds else bounded


class AdmittedCall(msgspec.Struct, frozen=True):
    """A call with its hold, made at `at_us` for `ceiling` while `defaults` were the limits by default.

    `ceiling_nano` is the price of the ceiling; the hold may be less.
    """

    call: Call
    routed: RoutedCall
    granted: Granted
    at_us: int
    ceiling: Ceiling
    ceiling_nano: int
    defaults: Limits

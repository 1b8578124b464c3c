"""What events tell of sessions, as plans in use: time alone is charged, and each session is one request."""

from typing import Final

from proxy.config.event_schema import EventTypeSchema
from proxy.config.event_sources import source_at
from proxy.config.faults import Findings
from proxy.endpoints.event_plan import SESSION_METER, SessionPlan
from proxy.metering.usage import ONE_CALL
from proxy.pricing.cards import RateCard
from proxy.validation import Path

_SECOND_US: Final = 1_000_000


def session_of(schema: EventTypeSchema, path: Path, findings: Findings) -> SessionPlan | None:
    """The plan of a type's sessions; None where it has none. Faults go to `findings`."""
    said = schema.session
    if said is None:
        return None
    for name in ("measures", "free_when", "level"):
        if getattr(schema, name):
            findings.fault((*path, name), "cannot stand beside a `session`")
    at = (*path, "session")
    if said.key is None and not schema.from_keys:
        findings.fault((*at, "key"), "is missing: no keys tell of these sessions, and each is a key's")
    return SessionPlan(
        source_at(said.session, (*at, "session"), findings),
        source_at(said.state, (*at, "state"), findings),
        None if said.key is None else source_at(said.key, (*at, "key"), findings),
        said.hold_seconds * _SECOND_US,
        said.idle_seconds * _SECOND_US,
        said.longest_seconds * _SECOND_US,
        said.charge_idle,
    )


def check_card(schema: EventTypeSchema, card: RateCard, path: Path, findings: Findings) -> None:
    """A session is charged by the second, and perhaps for being one."""
    rated = {meter for version in card.versions for each in version.variants for meter in each.rated}
    if SESSION_METER not in rated or rated - {SESSION_METER, *ONE_CALL}:
        message = f"has to have a rate for {SESSION_METER}, and for nothing else but requests"
        findings.fault((*path, "rate_card"), message, schema.rate_card)

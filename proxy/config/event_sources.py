"""Where an event tells something, as a configuration says it."""

from typing import Final

from proxy.config.event_schema import EventFailureSchema
from proxy.config.faults import Findings
from proxy.endpoints.reading.pointer import pointer_of
from proxy.endpoints.sources import Source
from proxy.endpoints.tool_plan import Failure
from proxy.metering.quantities import quantity_of
from proxy.validation import Path

_MEMBERS: Final = ("id", "source", "type", "account", "timestamp", "properties")


def source_at(text: str, path: Path, findings: Findings) -> Source:
    """The source that a pointer names. Faults go to `findings`."""
    try:
        pointer = pointer_of(text)
    except ValueError as error:
        findings.fault(path, str(error), text)
        return Source("request", text, ("",))
    if pointer[0] not in _MEMBERS:
        findings.fault(path, f"begins with no member of an event; these are {', '.join(_MEMBERS)}", text)
    return Source("request", text, pointer)


def quantity_at(text: str, meter: str, path: Path, findings: Findings) -> int:
    """What a meter counts for a quantity as it is written. Faults go to `findings`."""
    quantity = quantity_of(text, meter)
    if quantity is None:
        findings.fault(path, "is more than any event may tell", text)
        return 0
    return quantity


def failure_of(schema: EventFailureSchema | None, path: Path, findings: Findings) -> Failure | None:
    """What a value of an event says, where one is named."""
    if schema is None:
        return None
    return Failure(source_at(schema.event, (*path, "event"), findings), schema.equals)

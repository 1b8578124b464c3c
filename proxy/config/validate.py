"""The check of a tree against the schema of a configuration, with a message for every fault."""

import types
from typing import Final

import msgspec

from proxy.config.faults import Findings
from proxy.config.schema import ConfigSchema
from proxy.config.source import Tree
from proxy.validation import Fault, converts, core_of, did_you_mean, faults_of, is_struct

_KINDS: Final = {
    dict: "a mapping",
    list: "a list",
    str: "text",
    bool: "true or false",
    types.NoneType: "empty",
}


def validate(tree: dict[str, Tree], findings: Findings) -> ConfigSchema:
    """The tree as a struct. Raises ConfigError with every fault.

    Text that spells a number, as the environment gives it, is read as one where a number is wanted.
    """
    for fault in faults_of(tree, ConfigSchema, strict=False):
        message, value = _message(fault)
        findings.fault(fault.path, message, value)
    findings.conclude()
    return msgspec.convert(tree, ConfigSchema, strict=False)


def _message(fault: Fault) -> tuple[str, object]:
    """The message of a fault, and the value to show: None for one that may be a misplaced secret."""
    value, wanted = fault.value, fault.wanted
    match fault.kind:
        case "unknown":
            near = did_you_mean(str(fault.path[-1]), fault.known)
            return f"is not a key of this mapping; {near}", None
        case "missing":
            return "is missing", None
        case "key":
            return f"is not {wanted}", None
        case "kind":
            default = "; {} takes every default" if is_struct(core_of(fault.annotation)) else ""
            return f"is {_KINDS.get(type(value), 'a number')}, not {wanted}{default}", None
        case "value":
            return _value_message(fault)


def _value_message(fault: Fault) -> tuple[str, object]:
    value = fault.value
    if isinstance(value, dict | list):
        part = "entry" if isinstance(value, dict) else "item"
        return f"is empty; it needs one {part} at least", None
    if value is None:
        return f"is empty; it must be {fault.wanted}", None
    takes_text = not isinstance(value, str) and converts("text", fault.annotation, strict=False)
    return f"is not {fault.wanted}{'; write it in quotes' if takes_text else ''}", value

"""Amounts of money in a configuration."""

from proxy.config.faults import Findings
from proxy.money import Unit, to_nano
from proxy.validation import Path


def amount_nano(text: str, unit: Unit, path: Path, findings: Findings, *, least_nano: int) -> int:
    """An amount of at least `least_nano`. A text that is not one is a fault, and gives `least_nano`."""
    try:
        nano = to_nano(text, unit)
    except ValueError as error:
        findings.fault(path, str(error))
        return least_nano
    if nano < least_nano:
        findings.fault(path, "must not be negative" if least_nano == 0 else "must be more than 0", text)
    return nano

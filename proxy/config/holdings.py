"""Holdings from a configuration: which group goes with how much an account holds elsewhere."""

import base64
from typing import Final

import msgspec

from proxy.config.faults import Findings
from proxy.config.schema import ConfigSchema
from proxy.validation import Path

LEAST_SECRET_BYTES: Final = 24
MOST_SECRET_BYTES: Final = 64


class Holdings(msgspec.Struct, frozen=True):
    """Which group goes with how much an account holds, the least first; `secret` is the webhook's."""

    secret: str = ""
    tiers: tuple[tuple[int, str], ...] = ()

    def __repr__(self) -> str:
        return "Holdings(secret=...)"

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that holdings decide about."""
        return tuple(group for _, group in self.tiers)

    def group_of(self, held: int) -> str:
        """The group for so much, empty for too little."""
        return max(((least, group) for least, group in self.tiers if held >= least), default=(0, ""))[1]


NO_HOLDINGS: Final = Holdings()


def build_holdings(schema: ConfigSchema, findings: Findings) -> Holdings:
    """What holdings decide. Adds a fault for an unknown group, one that comes twice, and an unfit secret."""
    tiers = schema.holdings.tiers
    for index, tier in enumerate(tiers):
        path: Path = ("holdings", "tiers", index)
        if tier.group not in schema.groups:
            findings.fault((*path, "group"), "names no group", tier.group)
        if any(tier.group == each.group or tier.least == each.least for each in tiers[:index]):
            findings.fault(path, "has the group, or the least, of an earlier one")
    secret = schema.holdings.secret
    if secret and not _is_fit(secret):
        message = (
            "must be whsec_ and the base64 of 24 to 64 random bytes: `openssl rand -base64 32` makes some"
        )
        findings.fault(("holdings", "secret"), message)
    return Holdings(secret, tuple(sorted((tier.least, tier.group) for tier in tiers)))


def _is_fit(secret: str) -> bool:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    return LEAST_SECRET_BYTES <= len(key) <= MOST_SECRET_BYTES

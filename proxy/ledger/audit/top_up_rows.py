"""What an audit reads of top-ups."""

import msgspec

from proxy.ledger.top_up_rows import AutoTopUp, TopUp


class TopUpRow(msgspec.Struct, frozen=True, gc=False):
    """All of a top-up, with its seal."""

    top_up: TopUp
    seal: int

    @property
    def account_id(self) -> str:
        """Whose it is."""
        return self.top_up.account_id


class ReferenceRow(msgspec.Struct, frozen=True, gc=False):
    """All of what a provider calls a top-up, with its seal."""

    provider: str
    reference: str
    account_id: str
    top_up_id: str
    seal: int


class AutoRow(msgspec.Struct, frozen=True, gc=False):
    """How an account is topped up by itself, with its seal."""

    auto: AutoTopUp
    seal: int

    @property
    def account_id(self) -> str:
        """Whose it is."""
        return self.auto.account_id

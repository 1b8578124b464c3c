"""Groups: what the accounts of one have in common, as the configuration says."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from proxy.ledger.dues import NO_DUES, Dues
from proxy.ledger.quotas import Quota
from proxy.ledger.rows import UNLIMITED, Limits


class QuotaTerms(msgspec.Struct, frozen=True):
    """A quota of the calls of some models, by globs. More are refused, or charged as for no group."""

    quota: Quota
    models: tuple[str, ...]
    is_charged_beyond: bool = False


class Group(msgspec.Struct, frozen=True):
    """A group. `limits` are those of its accounts that set none of their own, with the defaults of all.

    `models` are globs of the public models that its accounts may use; empty allows all. All rates are
    multiplied by `multiplier`, an exact decimal number. `dues` is what it gives its accounts, and asks.
    Customers may put their accounts in it, and take them out, where it `is_offered`. `run_share` is what is
    added to all that the calls of a run cost, as an exact decimal share of that.
    """

    name: str = ""
    limits: Limits = UNLIMITED
    models: tuple[str, ...] = ()
    multiplier: str = "1"
    dues: Dues = NO_DUES
    is_offered: bool = False
    run_share: str = "0"
    quotas: tuple[QuotaTerms, ...] = ()

    def quota_of(self, model: str) -> QuotaTerms | None:
        """The first quota that calls of a model count to, or None."""
        found = (terms for terms in self.quotas if any(fnmatchcase(model, glob) for glob in terms.models))
        return next(found, None)

    def may_use(self, model: str) -> bool:
        """Whether accounts of the group may call a model; what is of no model, they may."""
        return not self.models or not model or any(fnmatchcase(model, glob) for glob in self.models)


class Groups:
    """All groups. An account that is in none, or in one that is not there, has the `defaults` alone."""

    def __init__(
        self,
        defaults: Limits = UNLIMITED,
        groups: Mapping[str, Group] | None = None,
        dues: Dues = NO_DUES,
        run_share: str = "0",
    ) -> None:
        """`dues` are those of accounts in no group: how the plan that they may have left is settled.

        `run_share` is theirs as well, as a group has it.
        """
        self.known: Final = dict(groups or {})
        self._none: Final = Group(limits=defaults, dues=dues, run_share=run_share)
        self.has_dues: Final = any(group.dues.is_any for group in self.known.values())

    def of(self, name: str) -> Group:
        """The group of this name; one without a name where there is none."""
        return self.known.get(name, self._none) if name else self._none

"""Runs: which calls are billed together, and at which markup."""

import re
from typing import Final

import msgspec
from msgspec.structs import replace

from proxy.call.base import InboundRequest, RoutedCall
from proxy.errors import Refusal
from proxy.ledger.groups import Groups
from proxy.pricing.runs import in_run

RUN_HEADER: Final = "x-farebox-run"
MEMBER: Final = "run_id"
"""The member of `metadata` that names a run where no header does."""
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:~-]{0,127}")
_labels_of = msgspec.json.Decoder(dict[str, str]).decode


def with_run(routed: RoutedCall, request: InboundRequest, groups: Groups) -> RoutedCall:
    """A call as one of the run that it names, if it names one. Raises Refusal 400 for what is no id.

    What is asked about an object that is there belongs to none.
    """
    if routed.about is not None and routed.about.known is not None:
        return routed
    run_id, param = request.run, RUN_HEADER
    if not run_id and MEMBER in routed.ask.labels:
        run_id, param = _labels_of(routed.ask.labels).get(MEMBER, ""), f"metadata.{MEMBER}"
    if not run_id:
        return routed
    check_run_id(run_id, param)
    share = groups.of(routed.group).run_share
    terms = routed.terms.changed(lambda card: in_run(card, run_id, share))
    return replace(routed, run_id=run_id, terms=terms)


def check_run_id(run_id: str, param: str) -> None:
    """Raises Refusal 400 for what is no id of a run."""
    if not _ID.fullmatch(run_id):
        raise Refusal(
            "invalid_value",
            "The id of a run has at most 128 letters, digits, '.', '_', ':', '~' and '-', no sign first.",
            param=param,
        )

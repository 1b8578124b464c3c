"""How a call can end and what each end costs: the table that closing reads and that the README shows.

A call is in a phase when it comes to an ending; the two name one rule.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from proxy.errors import Refusal
from proxy.metering.usage import Basis
from proxy.upstream.base import UpstreamFailure

Phase = Literal["authorizing", "unanswered", "error", "whole", "stream", "running"]
"""How far a call is: its hold is being made, no target has answered, the answer is no 2xx, it is a 2xx in one
piece, it is a 2xx that streams, or it was answered and its job goes on."""

GOES_ON: Final[frozenset[Phase]] = frozenset({"unanswered", "whole"})
"""The phases in which a call goes on whose client has left: its upstream bills it whoever waits."""

Ending = Literal[
    "complete",
    "client_left",
    "upstream_refused",
    "upstream_denied",
    "upstream_failed",
    "error_reported",
    "outgrown",
    "our_fault",
    "ledger_lost",
    "crash",
    "job_failed",
    "job_deleted",
    "job_overdue",
]
"""How a call ends. A process that stops ends its calls as if their clients had left."""

Charged = Literal["nothing", "used", "delivered", "if_whole", "observed", "if_policy"]
"""What is charged. `used`: what the upstream reports, else what is counted. `delivered`: the same, where
something was produced and the policy charges for it. `if_whole`: the same, where the whole answer came.
`observed`: what was observed before a crash. `if_policy`: what was asked for, where the policy charges it."""

StatusOf = Literal["upstream", "refusal"]
"""Whose status the client gets: the upstream's, or that of the refusal that takes its place."""

CLIENT_LEFT_STATUS: Final = 499
"""The status that logs and receipts have for a client that did not wait, as with nginx."""


class OutcomeRule(msgspec.Struct, frozen=True):
    """What an ending in some phases makes of a call.

    `how` is the README's sentence for it. `bases` are those that its receipts can have. `status` is 0 where
    no process was left to send one.
    """

    how: str
    phases: tuple[Phase, ...]
    ending: Ending
    outcome: str
    status: StatusOf | int
    charged: Charged
    bases: tuple[Basis, ...]


OUR_FAULT: Final = "internal_error"
"""The outcome of a call that a fault of ours has ended, or of one whose usage could not be found out."""

_USED: Final[tuple[Basis, ...]] = ("reported", "counted", "per_call")
_PRICED: Final[tuple[Basis, ...]] = ("counted", "per_call")
_VOID: Final[tuple[Basis, ...]] = ("void",)

OUTCOMES: Final[tuple[OutcomeRule, ...]] = (
    OutcomeRule("Complete", ("whole", "stream"), "complete", "complete", "upstream", "used", _USED),
    OutcomeRule(
        "The client leaves before the call is forwarded, or when the upstream has answered with an error",
        ("authorizing", "unanswered", "error"),
        "client_left",
        "client_left",
        CLIENT_LEFT_STATUS,
        "nothing",
        _VOID,
    ),
    OutcomeRule(
        "The client leaves a stream",
        ("stream",),
        "client_left",
        "client_left",
        CLIENT_LEFT_STATUS,
        "used",
        _USED,
    ),
    OutcomeRule(
        "The client leaves any other call",
        ("whole",),
        "client_left",
        "client_left",
        CLIENT_LEFT_STATUS,
        "if_whole",
        (*_USED, "void"),
    ),
    OutcomeRule(
        "The upstream answers with another status than 2xx",
        ("error",),
        "upstream_refused",
        "upstream_refused",
        "upstream",
        "nothing",
        _VOID,
    ),
    OutcomeRule(
        "The last target refuses Farebox's own credential: 401, 402, 403, or 429 `insufficient_quota`",
        ("error",),
        "upstream_denied",
        "upstream_failed",
        "refusal",
        "nothing",
        _VOID,
    ),
    OutcomeRule(
        "No target can be reached, or none answers in time",
        ("unanswered",),
        "upstream_failed",
        "unreachable",
        "refusal",
        "nothing",
        _VOID,
    ),
    OutcomeRule(
        "The upstream breaks off a stream, or ends it without its end",
        ("stream",),
        "upstream_failed",
        "upstream_failed",
        "refusal",
        "delivered",
        (*_USED, "void"),
    ),
    OutcomeRule(
        "The upstream reports an error within a stream",
        ("stream",),
        "error_reported",
        "upstream_failed",
        "upstream",
        "delivered",
        ("counted", "per_call", "void"),
    ),
    OutcomeRule(
        "The upstream breaks off any other answer, or it cannot be read",
        ("error", "whole"),
        "upstream_failed",
        "upstream_failed",
        "refusal",
        "nothing",
        _VOID,
    ),
    OutcomeRule(
        "Any other answer is an error in spite of its status",
        ("whole",),
        "error_reported",
        "upstream_failed",
        "upstream",
        "nothing",
        _VOID,
    ),
    OutcomeRule(
        "An answer outgrows its hold, and no more can be held",
        ("whole", "stream"),
        "outgrown",
        "cut",
        "refusal",
        "used",
        ("reported", "counted"),
    ),
    OutcomeRule(
        "A fault of Farebox keeps it from finding out what was used",
        ("unanswered", "error", "whole", "stream"),
        "our_fault",
        OUR_FAULT,
        "refusal",
        "nothing",
        _VOID,
    ),
    OutcomeRule(
        "On PostgreSQL, the connection is lost while the call is authorized; the caller is told 503",
        ("authorizing",),
        "ledger_lost",
        "ledger_unavailable",
        503,
        "nothing",
        _VOID,
    ),
    OutcomeRule(
        "Any other answer than a stream is complete, and the ledger cannot be written for 15 seconds; "
        "the caller is told 503",
        ("whole",),
        "ledger_lost",
        "ledger_unavailable",
        503,
        "nothing",
        _VOID,
    ),
    OutcomeRule(
        "Farebox crashes",
        ("unanswered", "error", "whole", "stream"),
        "crash",
        "crashed",
        0,
        "observed",
        ("recovered",),
    ),
    OutcomeRule("A job is complete", ("running",), "complete", "complete", 200, "used", _USED),
    OutcomeRule("A job fails", ("running",), "job_failed", "job_failed", 200, "nothing", _VOID),
    OutcomeRule(
        "A job is deleted before anybody has seen its end",
        ("running",),
        "job_deleted",
        "job_deleted",
        200,
        "used",
        _PRICED,
    ),
    OutcomeRule(
        "Nobody has seen a job's end when its longest life is over",
        ("running",),
        "job_overdue",
        "job_overdue",
        200,
        "if_policy",
        (*_PRICED, "void"),
    ),
)

_RULES: Final[Mapping[tuple[Phase, Ending], OutcomeRule]] = {
    (phase, rule.ending): rule for rule in OUTCOMES for phase in rule.phases
}

_ENDINGS: Final[Mapping[str, Ending]] = {
    "hold_outgrown": "outgrown",
    "internal_error": "our_fault",
    "upstream_denied": "upstream_denied",
}
"""Endings by the code of a refusal or of an upstream's failure; any other code is the upstream's failure."""


def rule_of(phase: Phase, ending: Ending) -> OutcomeRule:
    """The rule for this ending. Raises KeyError for one that a call in this phase cannot come to."""
    return _RULES[phase, ending]


def ending_of(failure: BaseException) -> Ending:
    """What a failure in the life of a call amounts to.

    The client has left when its connection is gone or when the call's task is cancelled. The upstream's
    connections fail with a class of their own.
    """
    if isinstance(failure, Refusal | UpstreamFailure):
        return _ENDINGS.get(failure.code, "upstream_failed")
    if isinstance(failure, ConnectionError) or not isinstance(failure, Exception):
        return "client_left"
    return "our_fault"

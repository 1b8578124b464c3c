"""Every kind of command: how often it is given, how one is made up, and how the auditor's model follows it.

A new command needs a line here, a function that makes one up from a `World`, and one that says in the
auditor's own terms what becomes of it in a `Model`. If it leaves rows of a new kind behind,
`tests.simulation.rows` has to look at these and `tests.simulation.checks` needs the rule that holds of them.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from proxy.ledger.commands import (
    Adjust,
    Authorize,
    ChangeAccount,
    ChangeKey,
    Command,
    CreateKey,
    Detach,
    Extend,
    Forget,
    Grant,
    Observe,
    OpenAccount,
    Recover,
    Reroute,
    Result,
    Settle,
    Sweep,
    Void,
)
from proxy.ledger.credit_notes import IssueCreditNote
from proxy.ledger.deliveries import ForgetEvents, NoteDelivery, RouteEvent, TellExpiry
from proxy.ledger.dues import ChangePlan, Renew, TakeFee
from proxy.ledger.end_users import ForgetEndUsers, LimitEndUser
from proxy.ledger.ended import ForgetWindows
from proxy.ledger.invoices import IssueInvoice
from proxy.ledger.levels import Accrue, ReportLevel
from proxy.ledger.quotas import SetHoldings
from proxy.ledger.receivers import AddReceiver, DropReceiver, RotateReceiver
from proxy.ledger.records import Record
from proxy.ledger.returns import RefundCall, RefundLot, VoidLot
from proxy.ledger.top_ups import (
    ConfirmTopUp,
    FailTopUp,
    NoteTopUp,
    OpenTopUp,
    RefundTopUp,
    ReverseTopUp,
    SaveMethod,
    SetAutoTopUp,
)
from proxy.ledger.vouchers import ClaimVoucher, MakeVoucher
from tests.simulation import (
    auto_top_ups,
    credit_notes,
    deliveries,
    end_users,
    ended,
    follow_accounts,
    follow_calls,
    follow_memberships,
    follow_returns,
    invoices,
    levels,
    make_accounts,
    make_calls,
    make_memberships,
    make_returns,
    quotas,
    receivers,
    records,
    top_ups,
    vouchers,
)
from tests.simulation.model import Model
from tests.simulation.world import World


class Kind(NamedTuple):
    """`weight` is out of the sum of all. `make` returns None when there is nothing to do it to.

    `follow` changes the model and returns the result that the caller must have got, without its message.
    """

    weight: int
    make: Callable[[World], Command | None]
    follow: Callable[[Model, Any], Result]


KINDS: Final[dict[type[Command], Kind]] = {
    OpenAccount: Kind(10, make_accounts.open_account, follow_accounts.open_account),
    ChangeAccount: Kind(40, make_accounts.change_account, follow_accounts.change_account),
    CreateKey: Kind(20, make_accounts.create_key, follow_accounts.create_key),
    ChangeKey: Kind(30, make_accounts.change_key, follow_accounts.change_key),
    Grant: Kind(90, make_accounts.grant, follow_accounts.grant),
    Adjust: Kind(30, make_accounts.adjust, follow_accounts.adjust),
    VoidLot: Kind(15, make_returns.void_lot, follow_returns.void_lot),
    RefundLot: Kind(20, make_returns.refund_lot, follow_returns.refund_lot),
    RefundCall: Kind(50, make_returns.refund_call, follow_returns.refund_call),
    TakeFee: Kind(15, make_memberships.take_fee, follow_memberships.take_fee),
    Renew: Kind(50, make_memberships.renew, follow_memberships.renew),
    ChangePlan: Kind(25, make_memberships.change_plan, follow_memberships.change_plan),
    SetHoldings: Kind(12, quotas.set_holdings, quotas.follow_holdings),
    LimitEndUser: Kind(10, end_users.limit_end_user, end_users.follow_limit),
    ForgetEndUsers: Kind(15, end_users.forget_end_users, end_users.follow_forget),
    MakeVoucher: Kind(7, vouchers.make_voucher, vouchers.follow_make),
    ClaimVoucher: Kind(22, vouchers.claim_voucher, vouchers.follow_claim),
    AddReceiver: Kind(6, receivers.add_receiver, receivers.follow_add),
    RotateReceiver: Kind(4, receivers.rotate_receiver, receivers.follow_rotate),
    DropReceiver: Kind(3, receivers.drop_receiver, receivers.follow_drop),
    IssueCreditNote: Kind(20, credit_notes.issue_credit_note, credit_notes.follow_note),
    ForgetWindows: Kind(6, ended.forget_windows, ended.follow_forget),
    IssueInvoice: Kind(20, invoices.issue_invoice, invoices.follow_issue),
    Record: Kind(60, records.record, records.follow_record),
    ReportLevel: Kind(45, levels.report_level, levels.follow_report),
    Accrue: Kind(40, levels.accrue, levels.follow_accrue),
    OpenTopUp: Kind(30, top_ups.open_top_up, top_ups.follow_open),
    NoteTopUp: Kind(12, top_ups.note_top_up, top_ups.follow_note),
    ConfirmTopUp: Kind(40, top_ups.confirm_top_up, top_ups.follow_confirm),
    FailTopUp: Kind(10, top_ups.fail_top_up, top_ups.follow_fail),
    RefundTopUp: Kind(16, top_ups.refund_top_up, top_ups.follow_refund),
    ReverseTopUp: Kind(16, top_ups.reverse_top_up, top_ups.follow_reverse),
    SetAutoTopUp: Kind(6, auto_top_ups.set_auto, auto_top_ups.follow_set),
    SaveMethod: Kind(4, auto_top_ups.save_method, auto_top_ups.follow_save),
    Authorize: Kind(370, make_calls.authorize, follow_calls.authorize),
    Observe: Kind(60, make_calls.observe, follow_calls.observe),
    Extend: Kind(50, make_calls.extend, follow_calls.extend),
    Reroute: Kind(30, make_calls.reroute, follow_calls.reroute),
    Detach: Kind(80, make_calls.detach, follow_calls.detach),
    Forget: Kind(80, make_calls.forget, follow_calls.forget),
    Settle: Kind(240, make_calls.settle, follow_calls.settle),
    Void: Kind(40, make_calls.void, follow_calls.void),
    Recover: Kind(40, make_calls.recover, follow_calls.recover),
    RouteEvent: Kind(60, deliveries.route_event, deliveries.follow_route),
    NoteDelivery: Kind(60, deliveries.note_delivery, deliveries.follow_note),
    TellExpiry: Kind(25, deliveries.tell_expiry, deliveries.follow_expiry),
    ForgetEvents: Kind(15, deliveries.forget_events, deliveries.follow_forget),
    Sweep: Kind(10, make_accounts.sweep, follow_accounts.sweep),
}

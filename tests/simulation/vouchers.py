"""How commands about vouchers are made up, and how the auditor's model follows them."""

from msgspec.structs import replace

from proxy.ledger.commands import Done, Refused
from proxy.ledger.rows import NEVER_US, Claim, Voucher
from proxy.ledger.vouchers import ClaimVoucher, MakeVoucher
from tests.simulation.follow_accounts import CONFLICT, INVALID
from tests.simulation.model import Model
from tests.simulation.world import World


def make_voucher(world: World) -> MakeVoucher:
    """A voucher for some accounts; now and then under a code that there is, or an impossible one."""
    at_us, known = world.at_us(), list(world.model.vouchers)
    id_ = world.new_id("vch")
    digest = world.one_of(known) if known and world.happens(5) else f"digest of {id_}"
    uses = 0 if world.happens(3) else world.one_of((1, 1, 2, 5))
    expires_at_us = world.expiry_us(at_us) if world.happens(40) else NEVER_US
    return MakeVoucher(
        Voucher(digest, id_, "spring", "voucher", world.up_to(10**7), uses, 30, at_us, expires_at_us)
    )


def claim_voucher(world: World) -> ClaimVoucher:
    """One of the latest vouchers for an account; now and then one that there is not."""
    account_id, known = world.account(), list(world.model.vouchers)[-8:]
    digest = world.one_of(known) if known and not world.happens(5) else "digest of nothing"
    return ClaimVoucher(digest, account_id, world.at_us())


def follow_make(model: Model, command: MakeVoucher) -> Done | Refused:
    """A code is a voucher's once, and good for one use at least."""
    voucher = command.voucher
    if voucher.digest in model.vouchers:
        return CONFLICT
    if not voucher.uses:
        return INVALID
    model.vouchers[voucher.digest] = voucher
    return Done(voucher=voucher)


def follow_claim(model: Model, command: ClaimVoucher) -> Done | Refused:
    """Each account claims a voucher once, while there is one left and it has time."""
    voucher = model.vouchers.get(command.digest)
    if voucher is None:
        return Refused("voucher_unknown", "")
    by = [account_id for digest, account_id in model.claims if digest == command.digest]
    if command.account_id in by:
        claim = model.claims[command.digest, command.account_id]
        return Done(voucher=replace(voucher, used=len(by)), claim=claim, replayed=True)
    if command.at_us >= voucher.expires_at_us:
        return Refused("voucher_expired", "")
    if len(by) == voucher.uses:
        return Refused("voucher_used_up", "")
    claim = model.claims[command.digest, command.account_id] = Claim(
        command.digest, command.account_id, command.at_us
    )
    return Done(voucher=replace(voucher, used=len(by) + 1), claim=claim)

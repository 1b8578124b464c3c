"""The rules of vouchers: one is made once, and claimed by so many accounts, once by each."""

from msgspec.structs import replace

from proxy.ledger.books import Books
from proxy.ledger.commands import Done, Refused
from proxy.ledger.rows import Claim
from proxy.ledger.rules.registry import carries_out
from proxy.ledger.vouchers import ClaimVoucher, MakeVoucher
from proxy.ledger.windows import iso


@carries_out(MakeVoucher)
def make_voucher(books: Books, command: MakeVoucher) -> Done | Refused:
    """Make a voucher; one whose code is taken is a conflict."""
    voucher = command.voucher
    if voucher.digest in books.vouchers:
        return Refused("conflict", "There is a voucher with this code already.")
    if voucher.amount_nano <= 0 or voucher.uses <= 0 or voucher.days < 0 or voucher.used:
        return Refused("invalid_value", "A voucher must be of more than nothing, and for one use at least.")
    books.vouchers.put(voucher)
    return Done(voucher=voucher)


@carries_out(ClaimVoucher)
def claim_voucher(books: Books, command: ClaimVoucher) -> Done | Refused:
    """Use a voucher up by one, unless the account has claimed it before: then nothing changes."""
    voucher = books.vouchers.get(command.digest)
    if voucher is None:
        return Refused("voucher_unknown", "There is no such voucher.")
    claim = books.claims.get((command.digest, command.account_id))
    if claim is not None:
        return Done(voucher=voucher, claim=claim, replayed=True)
    if voucher.expires_at_us <= command.at_us:
        return Refused("voucher_expired", f"The voucher expired at {iso(voucher.expires_at_us)}.")
    if voucher.used >= voucher.uses:
        return Refused("voucher_used_up", "The voucher has been redeemed as often as it may be.")
    voucher = replace(voucher, used=voucher.used + 1)
    claim = Claim(command.digest, command.account_id, command.at_us)
    books.vouchers.put(voucher)
    books.claims.put(claim)
    return Done(voucher=voucher, claim=claim)

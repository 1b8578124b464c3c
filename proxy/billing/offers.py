"""What may be bought, for how much: packages, amounts of the buyer's own, bonuses, discounts and fees.

Money is nano-USD as everywhere, but for what is paid, which is whole cents.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from proxy.errors import Refusal
from proxy.ledger.rows import OnShortfall
from proxy.ledger.top_up_rows import TopUp, TopUpOrigin
from proxy.ledger.windows import DAY_US
from proxy.money import round_half_even, usd_string

NANO_PER_CENT: Final = 10_000_000
NOTHING: Final = Fraction(0)

FreeAmounts = Literal["packages", "plain", "refused"]
"""An amount that is no package's: as the largest package not above it, without anything, or not at all."""


class Extra(msgspec.Struct, frozen=True):
    """A share of an amount, or so much whatever the amount is."""

    share: Fraction = NOTHING
    fixed_nano: int = 0

    def of(self, amount_nano: int) -> int:
        """What it is of an amount, in nano-USD, rounded half to even."""
        exact = amount_nano * self.share
        return round_half_even(exact.numerator, exact.denominator) + self.fixed_nano


class Package(msgspec.Struct, frozen=True):
    """An amount of credit, what comes with it for nothing, and what is taken off its price."""

    name: str
    amount_nano: int
    bonus: Extra = Extra()
    discount: Fraction = NOTHING


class Offer(msgspec.Struct, frozen=True):
    """What a buyer gets, and pays: `price_cents`, of which `fee_cents` buy nothing.

    It is for accounts in `group`, an empty one for those in none; None where it is the same for all.
    """

    package: str
    credit_nano: int
    bonus_nano: int
    price_cents: int
    fee_cents: int
    group: str | None = None

    def top_up(
        self,
        account_id: str,
        id_: str,
        *,
        payments: "Payments",
        at_us: int,
        origin: TopUpOrigin = "request",
        provider: str | None = None,
    ) -> TopUp:
        """The top-up that takes this offer."""
        return TopUp(
            *(account_id, id_, provider or payments.provider, origin, self.package),
            *(self.price_cents, self.fee_cents, self.credit_nano, self.bonus_nano, payments.days),
            *(at_us, at_us + payments.pending_days * DAY_US),
            method=payments.method,
        )


class Method(msgspec.Struct, frozen=True):
    """A way to pay: its fee, and what the provider calls the means of payment that it stands for."""

    fee: Fraction = NOTHING
    least_fee_cents: int = 0
    means: tuple[str, ...] = ()


class StripeAccess(msgspec.Struct, frozen=True):
    """How Stripe is reached, and where a buyer goes after Checkout. It is never shown."""

    secret_key: str
    webhook_secret: str
    success_url: str
    cancel_url: str
    product: str = "Credit"
    base_url: str = "https://api.stripe.com"

    def __repr__(self) -> str:
        return "StripeAccess(...)"


class Payments(msgspec.Struct, frozen=True):
    """How accounts pay in. What was bought lasts `days`; 0 is for ever.

    A fee is a share of the price, and `least_fee_cents` at least: that of `method`, one of `methods`, or of
    who names none. `on_lost` is what becomes of credit that
    was used when its price is paid back or lost. Who lacks funds is sent to `top_up_url`, if there is one.
    Automatic top-ups are `cool_down_us` apart, and `back_off_us` after one that was declined; in a day an
    account that sets no bound of its own buys `daily_nano` by them.

    `in_groups` has all packages as they are for the groups that have any otherwise. Once `group` is one, and
    not None, the packages are its own, see `for_group`.
    """

    provider: str = "manual"
    packages: Mapping[str, Package] = {}
    free_amounts: FreeAmounts = "packages"
    least_nano: int = NANO_PER_CENT
    most_nano: int = 10_000 * 100 * NANO_PER_CENT
    days: int = 0
    fee: Fraction = NOTHING
    least_fee_cents: int = 0
    pending_days: int = 30
    on_lost: OnShortfall = "owe"
    top_up_url: str = ""
    stripe: StripeAccess | None = None
    cool_down_us: int = 600_000_000
    back_off_us: int = 3_600_000_000
    daily_nano: int = 500 * 100 * NANO_PER_CENT
    in_groups: Mapping[str, Mapping[str, Package]] = {}
    group: str | None = None
    methods: Mapping[str, Method] = {}
    method: str = ""

    def for_group(self, group: str) -> "Payments":
        """How accounts in a group pay in; the same for all where no package depends on it."""
        if not self.in_groups:
            return self
        return replace(self, packages=self.in_groups.get(group, self.packages), group=group)

    def paid_by(self, name: str) -> "Payments":
        """How accounts pay in by a method. Raises Refusal `invalid_value` if there is none of this name."""
        method = self.methods.get(name)
        if method is None:
            raise Refusal("invalid_value", _unknown("method", name, self.methods), param="method")
        return replace(self, method=name, fee=method.fee, least_fee_cents=method.least_fee_cents)

    def means_of(self, method: str) -> tuple[str, ...]:
        """What the provider calls the means of payment of a method; nothing for any."""
        return self.methods[method].means if method in self.methods else ()

    def package(self, name: str) -> Offer:
        """The offer of a package. Raises Refusal `invalid_value` if there is none of this name."""
        package = self.packages.get(name)
        if package is None:
            raise Refusal("invalid_value", _unknown("package", name, self.packages), param="package")
        return self._offer(package.amount_nano, package, package.name)

    def amount(self, amount_nano: int) -> Offer:
        """The offer of an amount of the buyer's own. Raises Refusal `invalid_value`."""
        if amount_nano % NANO_PER_CENT:
            raise _refused(f"An amount is paid in whole cents, unlike {usd_string(amount_nano)} USD.")
        if amount_nano < self.least_nano:
            least = usd_string(self.least_nano)
            raise _refused(f"{usd_string(amount_nano)} USD is below the least amount, {least} USD.")
        if amount_nano > self.most_nano:
            most = usd_string(self.most_nano)
            raise _refused(f"{usd_string(amount_nano)} USD is above the largest amount, {most} USD.")
        below = [each for each in self.packages.values() if each.amount_nano <= amount_nano]
        package = max(below, key=lambda each: each.amount_nano, default=None)
        if self.free_amounts == "refused" and (package is None or package.amount_nano != amount_nano):
            raise _refused("Only packages are sold.")
        if self.free_amounts == "plain" and package is not None and package.amount_nano != amount_nano:
            package = None
        return self._offer(amount_nano, package, "")

    def offers(self) -> list[Offer]:
        """The offers of all packages, the smallest first."""
        return [self.package(each.name) for each in sorted(self.packages.values(), key=_by_amount)]

    def _offer(self, amount_nano: int, package: Package | None, name: str) -> Offer:
        package = package or Package("", amount_nano)
        share = (1 - package.discount) / NANO_PER_CENT
        price = amount_nano * share
        bought_cents = max(1, round_half_even(price.numerator, price.denominator))
        fee = bought_cents * self.fee
        fee_cents = max(self.least_fee_cents, round_half_even(fee.numerator, fee.denominator))
        bonus_nano = package.bonus.of(amount_nano)
        return Offer(name, amount_nano, bonus_nano, bought_cents + fee_cents, fee_cents, self.group)


def _by_amount(package: Package) -> int:
    return package.amount_nano


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    there = ", ".join(map(repr, sorted(known)))
    return f"There is no {what} {name!r}; there is {there}." if there else f"There is no {what} {name!r}."


def _refused(message: str) -> Refusal:
    return Refusal("invalid_value", message, param="amount")

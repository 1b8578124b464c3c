"""What a package is worth by the group of who buys it: to the cent and to the nano-dollar."""

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.billing.offers import NANO_PER_CENT, Extra, Offer, Package, Payments
from proxy.errors import Refusal

USD = 10**9
PLUS = Package("plus", 50 * USD, Extra(share=Fraction(5, 100)))
LARGE = Package("large", 500 * USD, discount=Fraction(10, 100))
PAYMENTS = Payments(
    packages={"plus": PLUS, "large": LARGE},
    fee=Fraction(2, 100),
    least_fee_cents=80,
    in_groups={
        "pro": {"plus": Package("plus", 50 * USD, Extra(share=Fraction(15, 100))), "large": LARGE},
        "team": {
            "plus": Package("plus", 40 * USD, Extra(fixed_nano=7 * USD), Fraction(1, 8)),
            "large": Package("large", 500 * USD, discount=Fraction(20, 100)),
        },
    },
)


@pytest.mark.parametrize(
    ("group", "plus", "large", "sixty"),
    [
        ("", (50 * USD, 2_500_000_000, 5_100), (500 * USD, 0, 45_900), (3 * USD, 6_120)),
        ("unheard-of", (50 * USD, 2_500_000_000, 5_100), (500 * USD, 0, 45_900), (3 * USD, 6_120)),
        ("pro", (50 * USD, 7_500_000_000, 5_100), (500 * USD, 0, 45_900), (9 * USD, 6_120)),
        ("team", (40 * USD, 7 * USD, 3_580), (500 * USD, 0, 40_800), (7 * USD, 5_355)),
    ],
)
def test_a_group_has_prices_of_its_own_also_for_free_amounts(
    group: str, plus: tuple[int, ...], large: tuple[int, ...], sixty: tuple[int, ...]
) -> None:
    payments = PAYMENTS.for_group(group)
    for name, expected in (("plus", plus), ("large", large)):
        offer = payments.package(name)
        assert (offer.credit_nano, offer.bonus_nano, offer.price_cents) == expected
        assert offer.group == group
    free = payments.amount(60 * USD)
    assert (free.bonus_nano, free.price_cents, free.group) == (*sixty, group)


def test_where_no_package_depends_on_it_a_group_makes_no_difference() -> None:
    plain = Payments(packages={"plus": PLUS})
    assert plain.for_group("pro") is plain
    assert plain.package("plus").group is None


def test_what_is_offered_is_in_order_of_what_the_group_gets() -> None:
    """Where a group's own amounts are in another order than those of all."""
    own = {"plus": Package("plus", 600 * USD), "large": LARGE}
    payments = Payments(packages=PAYMENTS.packages, in_groups={"pro": own})
    assert [each.package for each in payments.for_group("pro").offers()] == ["large", "plus"]
    assert [each.package for each in payments.for_group("").offers()] == ["plus", "large"]


SHARES = st.integers(0, 4_000).map(lambda share: Fraction(share, 1_000))
PACKAGE = st.builds(
    Package,
    st.just(""),
    st.integers(1, 100_000).map(lambda cents: cents * NANO_PER_CENT),
    st.one_of(st.builds(Extra, share=SHARES), st.builds(Extra, fixed_nano=st.integers(1, 10**12))),
    st.integers(0, 999).map(lambda share: Fraction(share, 1_000)),
)


def named(packages: list[Package]) -> dict[str, Package]:
    names = (f"p{place}" for place in range(len(packages)))
    return {
        name: Package(name, each.amount_nano, each.bonus, each.discount)
        for name, each in zip(names, packages, strict=False)
    }


@st.composite
def payments_of_groups(draw: st.DrawFn) -> Payments:
    count = draw(st.integers(1, 4))
    packages = st.lists(PACKAGE, min_size=count, max_size=count).map(named)
    return Payments(
        packages=draw(packages),
        fee=draw(SHARES),
        least_fee_cents=draw(st.integers(0, 500)),
        in_groups=draw(st.dictionaries(st.sampled_from(["a", "b", "c"]), packages, max_size=3)),
        free_amounts=draw(st.sampled_from(["packages", "plain", "refused"])),
    )


def by_hand(payments: Payments, amount_nano: int, package: Package | None) -> tuple[int, int, int]:
    """Bonus, price and fee as the README has them, in one go; Python rounds fractions half to even."""
    bonus = Fraction(0)
    cents = Fraction(amount_nano, NANO_PER_CENT)
    if package is not None:
        bonus = amount_nano * package.bonus.share + package.bonus.fixed_nano
        cents -= cents * package.discount
    bought = max(1, round(cents))
    fee = max(payments.least_fee_cents, round(bought * payments.fee))
    return round(bonus), bought + fee, fee


def figures(offer: Offer) -> tuple[int, int, int]:
    return offer.bonus_nano, offer.price_cents, offer.fee_cents


@given(payments_of_groups(), st.sampled_from(["", "a", "b", "c", "d"]), st.integers(1, 120_000))
def test_each_group_pays_by_its_own_packages_alone(payments: Payments, group: str, cents: int) -> None:
    """Packages, and amounts of a buyer's own: what other groups get makes no difference."""
    own = payments.in_groups.get(group, payments.packages)
    offered = payments.for_group(group)
    for name, package in own.items():
        offer = offered.package(name)
        assert offer.credit_nano == package.amount_nano
        assert figures(offer) == by_hand(payments, package.amount_nano, package)
    amount_nano = cents * NANO_PER_CENT
    alike = sorted(each.amount_nano for each in own.values() if each.amount_nano <= amount_nano)
    assume(len(set(alike)) == len(alike))
    found = next((each for each in own.values() if alike and each.amount_nano == alike[-1]), None)
    is_exact = found is not None and found.amount_nano == amount_nano
    if payments.free_amounts == "refused" and not is_exact:
        with pytest.raises(Refusal):
            offered.amount(amount_nano)
        return
    found = None if payments.free_amounts == "plain" and not is_exact else found
    assert figures(offered.amount(amount_nano)) == by_hand(payments, amount_nano, found)

"""Packages whose worth depends on the group: what a configuration may say of them, and what it means."""

from fractions import Fraction

import pytest

from proxy.billing.offers import Extra, Package
from tests.config.samples import LoadText, Reported, text_of

USD = 10**9
GROUPS = "groups: {pro: {}, team: {}}"


def sold(packages: str) -> str:
    return text_of(groups=GROUPS, payments=f"payments: {{packages: {{{packages}}}}}")


def test_what_a_group_does_not_say_of_a_package_is_as_for_all(load_text: LoadText) -> None:
    """Packages that it says nothing of are its own as well."""
    payments = load_text(
        sold(
            "small: {amount: '10'}, plus: {amount: '50', bonus: 5%, discount: 10%, groups: {"
            "pro: {bonus: 15%}, team: {amount: '60', bonus: '2.50', discount: 0%}}}"
        )
    ).payments
    assert payments is not None
    small, plus = Package("small", 10 * USD), payments.packages["plus"]
    assert plus == Package("plus", 50 * USD, Extra(share=Fraction(5, 100)), Fraction(10, 100))
    assert payments.in_groups == {
        "pro": {
            "small": small,
            "plus": Package("plus", 50 * USD, Extra(share=Fraction(15, 100)), Fraction(10, 100)),
        },
        "team": {"small": small, "plus": Package("plus", 60 * USD, Extra(fixed_nano=2_500_000_000))},
    }
    assert payments.for_group("none").packages == payments.packages


@pytest.mark.parametrize(
    ("terms", "fault"),
    [
        ("por: {bonus: 5%}", "plus.groups.por: is not a group; did you mean 'pro'?"),
        ("pro: {}", "plus.groups.pro: changes nothing; it needs `amount`, `bonus` or `discount`"),
        (
            "pro: {amount: '0.001'}",
            "plus.groups.pro.amount: '0.001' must be whole cents, as it is paid in them",
        ),
        ("pro: {discount: 100%}", "plus.groups.pro.discount: '100%' must leave a price"),
        ("pro: {bonus: '0'}", "plus.groups.pro.bonus: '0' must be more than 0"),
        ("pro: {price: '5'}", "plus.groups.pro.price: "),
    ],
)
def test_faults_of_what_a_group_is_sold_say_where_they_are(
    terms: str, fault: str, reported: Reported
) -> None:
    (said,) = reported(sold(f"plus: {{amount: '50', groups: {{{terms}}}}}"))
    assert said.startswith(f"payments.packages.{fault}")

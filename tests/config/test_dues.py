"""Groups that give and ask, quotas, and holdings: what a configuration may say, and what it means."""

import pytest

from proxy.ledger.dues import Dues, Fee, Renewal
from proxy.ledger.groups import QuotaTerms
from proxy.ledger.quotas import Quota
from proxy.ledger.rows import NEVER_US
from proxy.ledger.windows import DAY_US
from tests.config.samples import LoadText, Reported, text_of

CALENDAR = "amount: '5', months: calendar"
UNFIT = "must be whsec_ and the base64 of 24 to 64 random bytes: `openssl rand -base64 32` makes some"
SECRET = "whsec_" + "A" * 32


def groups(text: str) -> str:
    return text_of(groups=f"groups: {{{text}}}")


@pytest.mark.parametrize(
    ("text", "dues"),
    [
        ("renewal: {amount: '1', lasts: next}", Dues(Renewal(10**9))),
        (
            "renewal: {amount: '1', lasts: 30, back_fill: 0}",
            Dues(Renewal(10**9, "day", 30 * DAY_US, back_fill=0)),
        ),
        (
            "renewal: {amount: '1', every: month, lasts: ever, kind: gift, priority: 3}",
            Dues(Renewal(10**9, "month", NEVER_US, "gift", 3)),
        ),
        ("fee: {amount: '5'}", Dues(fee=Fee(5 * 10**9, grace_us=3 * DAY_US))),
        (
            f"fee: {{{CALENDAR}, included: '2', included_priority: 9, grace_days: 0, falls_to: b}}",
            Dues(fee=Fee(5 * 10**9, "calendar", 2 * 10**9, 9, 0, "b")),
        ),
        (
            "fee: {amount: '50', every: year, included: '5', included_lasts: 3, included_most: '9'}",
            Dues(
                fee=Fee(
                    50 * 10**9,
                    "joining",
                    5 * 10**9,
                    grace_us=3 * DAY_US,
                    months=12,
                    included_lasts=3,
                    included_most_nano=9 * 10**9,
                )
            ),
        ),
        (
            "renewal: {amount: '1', lasts: 90, most: '3'}",
            Dues(Renewal(10**9, "day", 90 * DAY_US, most_nano=3 * 10**9)),
        ),
        ("minimum: '100'", Dues(minimum_nano=100 * 10**9)),
        ("multiplier: '2'", Dues()),
    ],
)
def test_what_a_group_gives_and_asks_reads_as_it_says(load_text: LoadText, text: str, dues: Dues) -> None:
    found = load_text(groups(f"a: {{{text}}}, b: {{}}")).groups
    assert found.of("a").dues == dues
    assert found.has_dues == dues.is_any


def test_fees_are_for_whole_months_where_it_says_so(load_text: LoadText) -> None:
    """Also for who leaves for no group at all."""
    text = text_of(accounts="accounts: {prorate_fees: false}", groups="groups: {a: {fee: {amount: '5'}}}")
    found = load_text(text).groups
    assert not found.of("a").dues.is_prorated
    assert not found.of("").dues.is_prorated


def test_a_call_counts_to_the_first_quota_that_matches(load_text: LoadText) -> None:
    quotas = "{few: {models: ['big-*'], day: 2, beyond: charge}, many: {models: ['*'], day: 90}}"
    group = load_text(groups(f"a: {{offered: true, quotas: {quotas}}}")).groups.of("a")
    assert group.is_offered
    assert group.quota_of("big-1") == QuotaTerms(Quota("few", 2), ("big-*",), True)
    assert group.quota_of("small") == QuotaTerms(Quota("many", 90), ("*",))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: {renewal: {amount: '0', lasts: next}}", "groups.a.renewal.amount: '0' must be more than 0"),
        ("a: {fee: {amount: '-1'}}", "groups.a.fee.amount: '-1' must not be negative"),
        ("a: {fee: {amount: '1', falls_to: b}}", "groups.a.fee.falls_to: 'b' names no group"),
        (
            "a: {fee: {amount: '1', falls_to: b}}, b: {fee: {amount: '1'}}",
            "groups.a.fee.falls_to: 'b' has a fee as well, which who falls to it could not pay",
        ),
        (
            "a: {minimum: 'x'}",
            "groups.a.minimum: 'x' is not an amount; write a decimal string such as \"0.15\"",
        ),
    ],
)
def test_what_a_group_cannot_give_or_ask_is_a_fault(reported: Reported, text: str, fault: str) -> None:
    assert reported(groups(text)) == [fault]


def test_holdings_choose_the_group_with_the_largest_least(load_text: LoadText) -> None:
    tiers = "[{group: b, least: 900}, {group: a, least: 10}]"
    text = text_of(
        groups="groups: {a: {}, b: {}}", holdings=f"holdings: {{secret: {SECRET}, tiers: {tiers}}}"
    )
    found = load_text(text).holdings
    assert [found.group_of(held) for held in (0, 9, 10, 899, 900, 10**18)] == ["", "", "a", "a", "b", "b"]
    assert (found.groups, SECRET in repr(found)) == (("a", "b"), False)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("tiers: [{group: c, least: 1}]", "holdings.tiers[0].group: 'c' names no group"),
        (
            "tiers: [{group: a, least: 1}, {group: a, least: 2}]",
            "holdings.tiers[1]: has the group, or the least, of an earlier one",
        ),
        (
            "secret: whsec_short",
            f"holdings.secret: {UNFIT}",
        ),
    ],
)
def test_holdings_that_cannot_be_are_a_fault(reported: Reported, text: str, fault: str) -> None:
    assert reported(text_of(groups="groups: {a: {}}", holdings=f"holdings: {{{text}}}")) == [fault]


def test_what_ends_with_a_plan_depends_on_where_an_account_goes(load_text: LoadText) -> None:
    """To a cheaper plan, to a plan by the year that is dearer or cheaper by the month, or to none."""
    text = """
      big: {fee: {amount: '20', ends_on_cancel: [bonus, promo], ends_on_downgrade: [promo]}},
      small: {fee: {amount: '5', ends_on_cancel: [gift]}},
      yearly: {fee: {amount: '239', every: year}},
      dear: {fee: {amount: '240', every: year}},
      free: {}
    """
    found = load_text(groups(text)).groups
    ends = {name: found.of(name).dues.ended_with("big") for name in ("small", "yearly", "dear", "free", "")}
    cheaper, cancelled = ("plan", "promo"), ("plan", "bonus", "promo")
    assert ends == {"small": cheaper, "yearly": cheaper, "dear": ("plan",), "free": cancelled, "": cancelled}
    assert found.of("big").dues.ended_with("small") == ("plan",)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("fee: {amount: '5', included: '3', included_most: '2'}", "fee.included_most"),
        ("renewal: {amount: '5', lasts: next, most: '2'}", "renewal.most"),
    ],
)
def test_what_comes_fits_into_what_an_account_may_have(text: str, fault: str, reported: Reported) -> None:
    said = reported(groups(f"a: {{{text}}}"))
    assert said == [f"groups.a.{fault}: '2' is less than what comes each time"]

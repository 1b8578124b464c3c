"""The pages of price models: each configuration can be served, and each call costs what its row says."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.billing.offers import NANO_PER_CENT
from proxy.config.load import Settings
from proxy.ledger.windows import DAY_US, starts_of_day
from proxy.metering.usage import METERS
from proxy.money import to_nano, usd_string
from proxy.pricing.charge import Charge, price
from proxy.pricing.counting import counted
from proxy.pricing.tiers import Count, CounterKey
from tests.readme import Readme, environments
from tests.sources import ROOT
from tests.test_readme_examples import load_text

FOLDER = ROOT / "docs/pricing"
PAGES = sorted(set(FOLDER.glob("*.md")) - {FOLDER / "README.md"})
CALL = r"`(?P<name>[\w.-]+)`(?: in (?P<group>\w+))?(?: at (?P<at>\S+))?"
PARTS = re.compile(CALL + r"(?P<own> on its own key)?(?: as (?P<tier>\S+))?(?: with (?P<with>.+))?")
QUANTITY = re.compile(r"(\d[\d,]*) ([a-z_]+)")
NOON = "2026-12-01T12:00:00"


def settings_of(page: Readme) -> list[Settings]:
    """What the page's one configuration says, with and without what it can do without."""
    [text] = page.blocks("yaml")
    return [load_text(text, environ) for environ in environments(text)]


class Prices:
    """What calls cost by a configuration, one after the other."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._counts: dict[CounterKey, Count] = {}

    def charge(self, call: str, uses: str) -> Charge:
        """The charge of a call as a row names it: a model, a route or a rate card, and the circumstances."""
        said = PARTS.fullmatch(call)
        assert said is not None, call
        at = datetime.fromisoformat(said["at"] or NOON).replace(tzinfo=UTC)
        at_us, name, group = int(at.timestamp()) * 1_000_000, said["name"], said["group"] or ""
        assert not group or self._settings.groups.of(group).name == group
        book = self._settings.book
        card = book.card_now(None, name, "chat.completions", lambda: at_us, group) or book.card_now(
            name, name, "", lambda: at_us, group
        )
        assert card is not None, f"nothing has the price of {name}"
        card = card.case_of(dict(pair.split("=") for pair in (said["with"] or "").split()))
        card = card.on_own_key if said["own"] else card
        card = card.by_tier[said["tier"]] if said["tier"] else card
        usage = {
            meter: int(units.replace(",", "")) * METERS[meter].scale
            for units, meter in QUANTITY.findall(uses)
        }
        first_days = dict(starts_of_day(at_us // DAY_US))
        charge, counts = counted(price(card, {"requests": 1, **usage}), self._counts_of(), first_days)
        self._counts |= counts
        return charge

    def _counts_of(self) -> dict[CounterKey, Count]:
        return _NothingYet(self._counts)


class _NothingYet(dict[CounterKey, Count]):
    def __missing__(self, key: CounterKey) -> Count:
        return Count(0)


def wrong_rows(page: Readme) -> Iterator[str]:
    """What a call of a page's table really costs, for each that says something else."""
    for settings in settings_of(page):
        prices = Prices(settings)
        for call, uses, costs in page.rows("Call"):
            charge = prices.charge(call, uses)
            if charge.total_nano != to_nano(costs):
                yield f"{call} with {uses} costs {usd_string(charge.total_nano)}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_calls_cost_what_their_page_says(path: Path) -> None:
    """By the configuration on it, which is whole; a figure that is off by the least there is shows."""
    page = Readme(path.read_text("utf-8"))
    assert list(wrong_rows(page)) == []
    if rows := page.rows("Call"):
        dearer = usd_string(to_nano(rows[-1][2]) + 1)
        cell = f"| {rows[-1][2]} |"
        assert cell in page.text
        start = page.text.rindex(cell)
        other = page.text[:start] + f"| {dearer} |" + page.text[start + len(cell) :]
        assert len(list(wrong_rows(Readme(other)))) == len(settings_of(page))


def wrong_offers(page: Readme) -> Iterator[str]:
    """What credit of a page's table really costs, for each row that says something else."""
    for settings in settings_of(page):
        for bought, *figures in page.rows("Bought"):
            assert settings.payments is not None
            what, _, group = bought.partition(" in ")
            assert not group or group in settings.groups.known
            payments = settings.payments.for_group(group)
            is_package = what.startswith("`")
            offer = payments.package(what.strip("`")) if is_package else payments.amount(to_nano(what))
            nanos = (offer.price_cents * NANO_PER_CENT, offer.credit_nano, offer.bonus_nano)
            if list(nanos) != [to_nano(figure) for figure in figures]:
                yield f"{bought} is {' '.join(usd_string(nano) for nano in nanos)}"


def test_credit_costs_what_its_page_says() -> None:
    """By the configuration on it; a figure that is off by the least there is shows."""
    offers = {path: page for path in PAGES if (page := Readme(path.read_text("utf-8"))).rows("Bought")}
    assert [path.stem for path in offers] == ["packages"]
    for page in offers.values():
        assert list(wrong_offers(page)) == []
        for row, gets, more in (("80.00 in pro", "16.00", "16.000000001"), ("`plus`", "51.00", "51.01")):
            line = next(line for line in page.text.splitlines() if line.startswith(f"| {row} |"))
            other = page.text.replace(line, line.replace(f"| {gets} |", f"| {more} |"))
            assert len(list(wrong_offers(Readme(other)))) == len(settings_of(page))


def test_each_price_model_has_its_page_and_its_links_lead_somewhere() -> None:
    """The list of pages names each, and what they link to is there."""
    index = (FOLDER / "README.md").read_text("utf-8")
    assert {*re.findall(r"\]\((\w+\.md)\)", index)} == {path.name for path in PAGES}
    headings = re.findall(r"^#+ (.*)$", (ROOT / "README.md").read_text("utf-8"), flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", each).strip().lower().replace(" ", "-") for each in headings}
    for path in (*PAGES, FOLDER / "README.md"):
        for target in re.findall(r"\]\(([^)]+)\)", path.read_text("utf-8")):
            file, _, anchor = target.partition("#")
            assert (FOLDER / file).is_file(), target
            assert not anchor or anchor in anchors, target


def test_each_way_of_saying_a_price_is_on_a_page() -> None:
    """Those of rate cards, groups and runs."""
    shown = " ".join(block for path in PAGES for block in Readme(path.read_text("utf-8")).blocks("yaml"))
    ways = (
        "cases context_tiers tiers volume_tiers free counter included least block least_charge most_charge "
        "hours changes free_with free_without carried rolls_over flags service_tiers service_tier_terms "
        "spares prices markup multiplier minimum quotas fee level per_month session every included_lasts "
        "included_most ends_on_cancel ends_on_downgrade own_keys own_key packages discounts"
    )
    assert [way for way in ways.split() if not re.search(rf"\b{way}:", shown)] == []

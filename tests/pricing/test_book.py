"""A price book finds the first card that prices a model, or none."""

from fnmatch import fnmatchcase
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.pricing.rates import Rate

# Few characters, so that names and globs meet often.
NAMES = st.text("ab-", max_size=4)
GLOBS = st.one_of(NAMES, st.text("ab-*?[]!", max_size=4))


def book_of(*matches: tuple[str, ...]) -> PriceBook:
    return PriceBook([RateCard(str(index), match, ()) for index, match in enumerate(matches)])


@given(st.lists(st.lists(GLOBS, max_size=3).map(tuple), max_size=6), NAMES)
def test_the_first_card_with_a_matching_glob_prices_a_model(
    matches: list[tuple[str, ...]], model: str
) -> None:
    first = next(
        (str(i) for i, match in enumerate(matches) if any(fnmatchcase(model, g) for g in match)), None
    )
    card = book_of(*matches).card_for(model)
    assert (card.id if card else None) == first


def test_case_matters_and_nothing_is_priced_by_accident() -> None:
    book = book_of(("gpt-4o", "gpt-4o-*"))
    assert book.card_for("gpt-4o-mini") is not None
    assert [book.card_for(model) for model in ("GPT-4o", "gpt-4", "gpt-4o\n", "my-gpt-4o", "")] == [None] * 5


def test_a_name_before_a_glob_wins_and_after_it_is_never_reached() -> None:
    book = book_of(("special",), ("*",), ("late",))
    found = [book.card_for(model) for model in ("special", "late", "other")]
    assert [card and card.id for card in found] == ["0", "1", "1"]


def test_a_card_is_found_by_its_id_with_or_without_globs() -> None:
    book = book_of((), ("x",))
    assert [card and card.id for card in (book.by_id("0"), book.by_id("1"), book.by_id("2"))] == [
        "0",
        "1",
        None,
    ]
    assert book.globs == ("x",)


def test_a_model_that_its_maker_gives_away_is_free_where_no_card_prices_it() -> None:
    """On the endpoint where that is so, and nowhere else; a card of the operator's comes first."""
    cards = [RateCard("0", ("omni-2",), (Rate("input_tokens", Fraction(1), 1),))]
    book = PriceBook(cards, {"moderations": ("omni-*",)})
    asked = [
        ("omni-1", "moderations"),
        ("omni-2", "moderations"),
        ("omni-1", "embeddings"),
        ("x", "moderations"),
    ]
    found = [book.card_of(None, model, endpoint) for model, endpoint in asked]
    assert [card and card.id for card in found] == ["free", "0", None, None]
    assert book.card_of("1", "omni-1", "moderations") is None
    meters = ("input_tokens",)
    assert [book.has_free(meters, endpoint) for endpoint in ("moderations", "embeddings")] == [True, False]

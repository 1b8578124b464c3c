"""What a whole file says becomes the settings, each figure in the unit and the type it is used in."""

from fractions import Fraction
from pathlib import Path

import pytest

from proxy.config.load import Settings
from proxy.config.schema import DemoSchema
from proxy.ledger.rows import NO_LIMIT, Limits
from proxy.money import Unit
from proxy.pricing.rates import Rate
from tests.config.samples import ADMIN_KEY, LoadText

WHOLE = """
server: {port: "${PORT}", payment_status: "${STATUS:-429}"}
storage: sqlite:////var/lib/farebox.db
admin: {key: "${ADMIN_KEY}"}
log: {calls: "${CALLS}"}
unit: {name: credits, per_usd: 10000}
accounts:
  limits: {day: "10", week: none, month: 5000 credits, rpm: 60, tpm: none, concurrency: "${AT_ONCE}"}
  when_short: refuse
  on_shortfall: owe
  min_output_tokens: 32
streams: {on_disconnect: drain}
upstreams:
  openai:
    base_url: https://api.openai.com/v1/
    credential: {value: "${OPENAI_API_KEY}"}
    headers: {OpenAI-Project: proj}
    include_usage: false
    idle_seconds: 30
  search:
    base_url: http://127.0.0.1:9000
    credential: {value: "${SEARCH_KEY}", query: key}
  raw:
    base_url: http://[::1]:9000/a%20b
    credential: {value: abc, header: X-API-Key, scheme: ""}
routes:
  - models: [gpt-4o, gpt-4o-*]
    endpoints: [chat.completions]
    targets: [{upstream: openai, model: gpt-4o-2024-08-06}, {upstream: raw}]
  - path: /v1/search
    methods: [GET, POST]
    rate_card: search
    targets: [{upstream: search, path: /find}]
  - {name: scrape, path: /v1/scrape, rate_card: search, targets: [{upstream: search}]}
rate_cards:
  chat:
    match: [gpt-4o*]
    rates: {input_tokens: {per_1m: "2.50"}, output_tokens: {per_1k: 100 credits}}
    max_output_tokens: 16384
  search: {rates: {requests: {per_unit: 250 credits}}}
quickstart: {}
"""


@pytest.fixture
def settings(load_text: LoadText) -> Settings:
    return load_text(
        WHOLE,
        PORT="0",
        ADMIN_KEY=ADMIN_KEY,
        CALLS="true",
        AT_ONCE="8",
        OPENAI_API_KEY="sk-1",
        SEARCH_KEY="a key",
    )


def test_text_from_the_environment_becomes_what_the_key_takes(settings: Settings) -> None:
    assert (settings.server.port, settings.server.payment_status, settings.log.calls) == (0, 429, True)
    assert settings.admin.key == ADMIN_KEY


def test_the_parts_of_the_process_have_theirs(settings: Settings, tmp_path: Path) -> None:
    assert (settings.source, settings.quickstart) == (tmp_path / "farebox.yaml", DemoSchema())
    assert settings.storage == Path("/var/lib/farebox.db")
    assert settings.unit == Unit("credits", 10_000)
    assert (settings.when_short, settings.min_output_tokens) == ("refuse", 32)
    assert settings.on_shortfall == "owe"
    assert settings.streams.on_disconnect == "drain"


def test_limits_are_nano_dollars_and_none_is_no_limit(settings: Settings) -> None:
    assert settings.groups.of("").limits == Limits(
        day_nano=10 * 10**9,
        week_nano=NO_LIMIT,
        month_nano=5 * 10**8,
        rpm=60,
        tpm=NO_LIMIT,
        concurrency=8,
    )


def test_an_upstream_has_its_address_and_how_to_treat_it(settings: Settings) -> None:
    openai = settings.upstreams["openai"]
    assert (openai.name, openai.base_url) == ("openai", "https://api.openai.com/v1")
    assert (openai.include_usage, openai.idle_seconds) == (False, 30)
    assert openai.headers == (("OpenAI-Project", "proj"),)


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("openai", ("Authorization", "Bearer sk-1", None)),
        ("search", ("Authorization", "a key", "key")),
        ("raw", ("X-API-Key", "abc", None)),
    ],
)
def test_a_credential_is_a_whole_header_or_a_query_field(
    settings: Settings, name: str, sent: tuple[str, str, str | None]
) -> None:
    credential = settings.upstreams[name].credential
    assert credential is not None
    assert (credential.header, credential.value, credential.query) == sent


def test_a_route_of_models_has_its_targets_in_order(settings: Settings) -> None:
    chat = settings.routes.for_model("chat.completions", "gpt-4o-mini")
    assert chat is not None
    assert (chat.name, chat.rate_card) == ("chat.completions gpt-4o", None)
    assert [(target.upstream.name, target.model, target.path) for target in chat.targets] == [
        ("openai", "gpt-4o-2024-08-06", None),
        ("raw", None, None),
    ]
    assert settings.routes.for_model("embeddings", "gpt-4o-mini") is None


def test_a_route_with_a_path_keeps_its_path_upstream_unless_told_otherwise(settings: Settings) -> None:
    search, scrape = (settings.routes.for_path("POST", path) for path in ("/v1/search", "/v1/scrape"))
    assert search is not None
    assert scrape is not None
    assert (search.name, search.targets[0].path) == ("GET+POST /v1/search", "/find")
    assert (scrape.name, scrape.targets[0].path) == ("scrape", "/v1/scrape")
    assert search.rate_card == scrape.rate_card == "search"
    assert settings.routes.methods_of("/v1/search") == ["GET", "POST"]


def test_a_price_is_exact_nano_dollars_for_so_many_units(settings: Settings) -> None:
    card = settings.book.card_for("gpt-4o-mini")
    assert card is not None
    assert card.default_bound == 16384
    assert card.rates == (
        Rate("input_tokens", Fraction(2_500_000_000), 1_000_000),
        Rate("output_tokens", Fraction(10_000_000), 1_000),
    )

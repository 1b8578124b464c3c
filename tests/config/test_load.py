"""A configuration is loaded whole or not at all, and every fault is reported at once."""

from pathlib import Path

import pytest

from proxy.config.admin_key import admin_key_fault
from proxy.config.load import check, load
from proxy.config.source import ConfigError
from proxy.ledger.rows import Limits
from proxy.money import Unit
from tests.config.samples import ADMIN_KEY, URL, LoadText, Reported, text_of, upstream


def test_defaults_are_enough_but_for_the_admin_key(load_text: LoadText) -> None:
    settings = load_text(f"admin: {{key: {ADMIN_KEY}}}")
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)
    assert settings.storage == Path("farebox.db")
    assert settings.groups.of("").limits == Limits()
    assert (settings.unit, settings.upstreams, settings.quickstart) == (Unit(), {}, None)


def test_the_example_in_the_repository_loads_with_and_without_a_key() -> None:
    path = Path(__file__).parents[2] / "config" / "quickstart.yaml"
    without, warnings = check(path, {})
    assert list(without.upstreams) == ["demo"]
    assert [warning.path for warning in warnings] == ["upstreams.openai"]
    with_key, warnings = check(path, {"OPENAI_API_KEY": "sk-1"})
    assert (list(with_key.upstreams), warnings) == (["demo", "openai"], ())


KNOWN = "is a well-known default"
TOO_FINE = "is finer than 0.000000001 USD, the smallest amount there is"
HINT = "take a random one from the environment: `openssl rand -hex 24` makes one"


WHICH_STORAGE = (
    "must be sqlite:///file for a relative path, sqlite:////file for an absolute one, "
    "or postgresql://user:password@host:5432/database"
)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (
            "unit: {name: USD, per_usd: 100}",
            ["unit: 100 of a unit named 'USD' cannot make one US dollar; rename it"],
        ),
        ("accounts: {limits: {day: '-1'}}", ["accounts.limits.day: '-1' must not be negative"]),
        (
            "accounts: {limits: {total: '0.0000000001'}}",
            [f"accounts.limits.total: '0.0000000001' {TOO_FINE}"],
        ),
        (
            "quickstart: {balance: '0', day: lots}",
            [
                "quickstart.balance: '0' must be more than 0",
                "quickstart.day: 'lots' is not an amount; write a decimal string such as \"0.15\"",
            ],
        ),
        (
            "quickstart: {port: 8080}",
            ["quickstart.port: 8080 is also the port of the server; they need one each"],
        ),
        (
            "server: {max_body_bytes: 10, body_memory_bytes: 9}",
            ["server.body_memory_bytes: 9 must be at least server.max_body_bytes, which is 10"],
        ),
    ],
)
def test_amounts_and_ports_make_sense(reported: Reported, text: str, faults: list[str]) -> None:
    assert reported(text_of(more=text)) == faults


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///a.db", "a.db"),
        ("sqlite:///data/a.db", "data/a.db"),
        ("sqlite:////data/a.db", "/data/a.db"),
    ],
)
def test_storage_is_a_relative_or_an_absolute_file(load_text: LoadText, url: str, path: str) -> None:
    assert load_text(text_of(storage=f"storage: {url}")).storage == Path(path)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:secret@db.internal:5432/farebox",
        "postgres:///farebox?host=/run/postgresql",
        "postgresql://user@[::1]/farebox?sslmode=verify-full",
    ],
)
def test_storage_is_a_postgresql_database(load_text: LoadText, url: str) -> None:
    assert load_text(text_of(storage=f"storage: {url}")).storage == url


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        *(
            (url, "must be postgresql://user:password@host:5432/database, with options after a ?")
            for url in (
                "postgresql://user:secret@db",
                "postgres://db/",
                "postgresql://db/a/b",
                "postgresql:///",
            )
        ),
        ("postgresql+asyncpg://db/x", "must begin with postgresql://, without the name of a driver"),
        *(
            (url, WHICH_STORAGE)
            for url in ("farebox.db", "sqlite://", "sqlite://farebox.db", "mysql://user:secret@db", "''")
        ),
        *(
            (url, "names no file; the ledger must outlive the process")
            for url in (
                "sqlite:///",
                "sqlite:////",
                "'sqlite:///:memory:'",
                "sqlite:///data/",
                "sqlite:///..",
            )
        ),
        ("sqlite:///a.db?mode=ro", "must end with the name of a file; the engine takes no options"),
    ],
)
def test_a_storage_that_cannot_be_used_is_refused_without_showing_its_password(
    reported: Reported, url: str, fault: str
) -> None:
    assert reported(text_of(storage=f"storage: {url}")) == [f"storage: {fault}"]


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("", "is empty"),
        *((key, KNOWN) for key in ("changeme", "admin", "secret", "sk-1234", "farebox", "password")),
        *((key, KNOWN) for key in ("changemechangeme", "your-admin-key-here", "Farebox_Admin_Key_1")),
        ("b7#kQ", "has fewer than 16 characters"),
        ("c0ffee5b1e55ed0", "has fewer than 16 characters"),
        ("abababababababab", "repeats a few characters"),
        (ADMIN_KEY, None),
        ("sk-admin-c0ffee5b1e55ed0d", None),
    ],
)
def test_an_admin_key_that_can_be_guessed_is_refused(key: str, fault: str | None) -> None:
    assert admin_key_fault(key) == fault


def test_the_admin_key_is_required_outside_the_quickstart(reported: Reported, load_text: LoadText) -> None:
    assert reported("{}") == [f"admin.key: is empty; {HINT}"]
    assert reported("admin: {key: '${K}'}", K="sk-1234") == [f"admin.key: is a well-known default; {HINT}"]
    assert load_text("quickstart: {}").admin.key == ""
    unsendable = ["admin.key: must be visible ASCII without blanks, since it is sent in a header"]
    assert reported("quickstart: {}\nadmin: {key: 'a key'}") == unsendable


def test_everything_is_reported_at_once_in_the_order_of_the_file(reported: Reported, tmp_path: Path) -> None:
    text = """
upstreams:
  openai: {base_url: openai.com, credential: {value: '${KEY:-}'}}
routes:
  - models: [gpt-5]
    targets:
      - upstream: opnai
rate_cards:
  chat:
    rates:
      tokens: {per_1m: '1'}
storage: postgresql://user:secret@db
"""
    assert [fault.partition(": ")[0] for fault in reported(text)] == [
        "admin.key",
        "upstreams.openai.base_url",
        "upstreams.openai.credential.value",
        "routes[0].models[0]",
        "routes[0].targets[0].upstream",
        "rate_cards.chat.rates.tokens",
        "storage",
    ]
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "farebox.yaml", {})
    assert [fault.line for fault in caught.value.faults] == [2, 3, 3, 5, 7, 11, 12]
    assert caught.value.faults[1].value == "'openai.com'"


@pytest.mark.parametrize(
    "text",
    [
        "admin: {key: '${SECRET} '}",
        "admin: '${SECRET}'",
        "admin: ['${SECRET}']",
        "server: '${SECRET}'",
        upstream("base_url: 'https://user:${SECRET}@host'"),
        upstream("base_url: 'https://host?key=${SECRET}'"),
        upstream(f"{URL}, credential: '${{SECRET}}'"),
        upstream(f"{URL}, credential: {{value: '${{SECRET}} '}}"),
        upstream(f"{URL}, credential: {{value: ['${{SECRET}}']}}"),
        upstream(f"{URL}, credential: {{valeu: '${{SECRET}}'}}"),
        upstream(f"{URL}, headers: {{X-A: ' ${{SECRET}}'}}"),
        upstream(f"{URL}, headers: '${{SECRET}}'"),
        upstream(f"{URL}, api_key: '${{SECRET}}'"),
        "storage: 'postgresql://user:${SECRET}@db/farebox'",
        "storage: '${SECRET}'",
    ],
)
def test_a_secret_is_in_no_fault(reported: Reported, text: str) -> None:
    assert "hunter2" not in "\n".join(reported(text, SECRET="hunter2"))


def test_settings_do_not_show_the_admin_key_or_a_credential(load_text: LoadText) -> None:
    settings = load_text(text_of(upstreams=upstream(f"{URL}, credential: {{value: hunter2}}")))
    assert ADMIN_KEY not in repr(settings)
    assert "hunter2" not in repr(settings)

"""Alerts in a configuration: the rules of every account, or none at all."""

import pytest

from proxy.ledger.alerts import PERCENTS
from proxy.ledger.rows import NO_RULES, AlertRules, Limits
from tests.config.samples import LoadText, Reported, text_of


def test_without_alerts_nothing_is_recorded(load_text: LoadText) -> None:
    assert not load_text(text_of()).alerts.records
    assert load_text(text_of(alerts="alerts: {}")).alerts.records


def test_the_rules_are_those_of_accounts_without_their_own(load_text: LoadText) -> None:
    alerts = load_text(text_of(alerts="alerts: {balance_low: '5', limit_percents: [90, 20, 90]}")).alerts
    assert (alerts.percents(NO_RULES), alerts.balance_low_nano(NO_RULES)) == ((20, 90), 5 * 10**9)
    own = AlertRules(7, ())
    assert (alerts.percents(own), alerts.balance_low_nano(own)) == ((), 7)
    usual = load_text(text_of(alerts="alerts: {}")).alerts
    assert (usual.percents(NO_RULES), usual.balance_low_nano(NO_RULES)) == (PERCENTS, None)


def test_the_limits_in_force_are_those_of_the_groups(load_text: LoadText) -> None:
    text = text_of(alerts="alerts: {}", accounts="accounts: {limits: {day: '1'}}")
    alerts = load_text(text).alerts
    assert alerts.has_limits
    assert alerts.groups.of("").limits == Limits(day_nano=10**9)
    assert not load_text(text_of(alerts="alerts: {}")).alerts.has_limits


def test_what_cannot_be_meant_is_a_fault(reported: Reported) -> None:
    faults = reported(text_of(alerts="alerts: {balance_low: '-5', limit_percents: [0, 101]}"))
    assert {fault.partition(":")[0] for fault in faults} <= {
        "alerts.balance_low",
        "alerts.limit_percents[0]",
        "alerts.limit_percents[1]",
    }
    assert faults


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="


def endpoint(url: str = "https://crm.example/hook", secret: str = SECRET, more: str = "") -> str:
    return f"webhooks: {{endpoints: {{crm: {{url: '{url}', secret: '{secret}'}}}}{more}}}"


def test_webhooks_record_events_and_say_who_is_told(load_text: LoadText) -> None:
    settings = load_text(text_of(webhooks=endpoint(more=", keep_days: 40, attempts: 3")))
    assert settings.alerts.records
    found = settings.webhooks
    assert (found.endpoints["crm"].url, found.keep_days, found.attempts) == (
        "https://crm.example/hook",
        40,
        3,
    )
    assert not found.allow_private
    assert settings.expiring_days == 7


def test_a_secret_of_the_environment_is_not_in_any_fault(reported: Reported) -> None:
    faults = reported(text_of(webhooks=endpoint(secret="${HOOK_SECRET}")), HOOK_SECRET="too-weak-a-secret")
    assert [fault.partition(":")[0] for fault in faults] == ["webhooks.endpoints.crm.secret"]
    assert "too-weak" not in str(faults)


@pytest.mark.parametrize(
    "url", ["http://crm.example", "ftp://crm.example", "https://", "crm", "https://a:b@crm.example"]
)
def test_a_url_that_cannot_be_told_safely_is_a_fault(reported: Reported, url: str) -> None:
    (fault,) = reported(text_of(webhooks=endpoint(url)))
    assert fault.startswith("webhooks.endpoints.crm.url: ")


def test_plain_http_takes_a_word_of_the_operators(load_text: LoadText) -> None:
    text = text_of(webhooks=endpoint("http://crm.internal", more=", allow_http: true, allow_private: true"))
    assert load_text(text).webhooks.allow_private

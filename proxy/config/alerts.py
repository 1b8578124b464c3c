"""The alerts of a configuration, and who is told of events."""

import base64
import binascii
from typing import Final

from proxy.config.amounts import amount_nano
from proxy.config.faults import Findings
from proxy.config.schema import AlertsSchema, ConfigSchema, WebhookSchema, WebhooksSchema
from proxy.ledger.alerts import SILENT, Alerts
from proxy.ledger.groups import Groups
from proxy.ledger.rows import AlertRules
from proxy.money import Unit
from proxy.upstream.webhooks import Endpoint, Webhooks, url_fault

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - it is what secrets begin with.
SECRET_BYTES: Final = range(24, 65)


def build_alerts(schema: ConfigSchema, groups: Groups, unit: Unit, findings: Findings) -> Alerts:
    """What is told of accounts: nothing, unless alerts or webhooks are configured."""
    if schema.alerts is None and schema.webhooks is None:
        return SILENT
    alerts = schema.alerts or AlertsSchema()
    low, path = alerts.balance_low, ("alerts", "balance_low")
    low_nano = None if low is None else amount_nano(low, unit, path, findings, least_nano=0)
    return Alerts(AlertRules(low_nano, tuple(sorted(set(alerts.limit_percents)))), groups)


def build_webhooks(schema: WebhooksSchema | None, findings: Findings) -> Webhooks:
    """Who is told of events. A URL or a secret that cannot be used is a fault, and never shown."""
    if schema is None:
        return Webhooks()
    endpoints = {
        name: Endpoint(name, each.url, each.secret, tuple(each.types), tuple(each.accounts))
        for name, each in schema.endpoints.items()
        if _is_usable(name, each, findings, allow_http=schema.allow_http)
    }
    accounts = schema.accounts
    fault = _secret_fault(accounts.secret) if accounts is not None else ""
    if fault:
        findings.fault(("webhooks", "accounts", "secret"), fault)
    return Webhooks(
        endpoints,
        schema.attempts,
        schema.answer_seconds,
        schema.keep_days,
        schema.allow_private,
        schema.allow_http,
        accounts.most if accounts is not None else 0,
        accounts.secret if accounts is not None and not fault else "",
    )


def _is_usable(name: str, schema: WebhookSchema, findings: Findings, *, allow_http: bool) -> bool:
    path = ("webhooks", "endpoints", name)
    wrong_url, wrong_secret = url_fault(schema.url, allow_http=allow_http), _secret_fault(schema.secret)
    if wrong_url:
        findings.fault((*path, "url"), wrong_url)
    if wrong_secret:
        findings.fault((*path, "secret"), wrong_secret)
    return not wrong_url and not wrong_secret


def _secret_fault(text: str) -> str:
    wanted = "must be whsec_ and the base64 of 24 to 64 random bytes; `openssl rand -base64 32` makes these"
    if not text.startswith(SECRET_PREFIX):
        return wanted
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return wanted
    return "" if len(secret) in SECRET_BYTES else wanted

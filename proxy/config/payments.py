"""How accounts pay in, from the configuration."""

from collections.abc import Collection, Mapping
from fractions import Fraction
from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from proxy.billing.offers import NANO_PER_CENT, Extra, Method, Package, Payments, StripeAccess
from proxy.config.faults import Findings
from proxy.config.payment_schema import (
    FeeSchema,
    MethodSchema,
    PackageSchema,
    PackageTermsSchema,
    PaymentsSchema,
)
from proxy.money import Unit, to_nano
from proxy.validation import Path, did_you_mean, is_visible_ascii

_ALL: Final = Fraction(1)
MINUTE_US: Final = 60_000_000
LEAST_SECRET: Final = 8
"""A shorter text is no secret of a provider's."""


def build_payments(
    schema: PaymentsSchema | None, groups: Collection[str], unit: Unit, findings: Findings
) -> Payments | None:
    """How accounts pay in, which may be in one of `groups`; None if they cannot. Faults go to `findings`."""
    if schema is None:
        return None
    least_nano = _cents_nano(schema.minimum, unit, ("payments", "minimum"), findings)
    most_nano = _cents_nano(schema.maximum, unit, ("payments", "maximum"), findings)
    if most_nano < least_nano:
        findings.fault(("payments", "maximum"), f"is below the minimum of {schema.minimum}", schema.maximum)
    _check_url(schema.top_up_url, ("payments", "top_up_url"), findings)
    usual = _method(MethodSchema(fee=schema.fee or FeeSchema()), unit, ("payments",), findings)
    packages = {name: _package(name, each, unit, findings) for name, each in schema.packages.items()}
    return Payments(
        provider=schema.provider,
        packages=packages,
        in_groups=_in_groups(schema.packages, packages, groups, unit, findings),
        free_amounts=schema.free_amounts,
        least_nano=least_nano,
        most_nano=most_nano,
        days=schema.expires_days or 0,
        fee=usual.fee,
        least_fee_cents=usual.least_fee_cents,
        methods=_methods(schema, unit, findings),
        pending_days=schema.pending_days,
        on_lost=schema.on_lost,
        top_up_url=schema.top_up_url or "",
        stripe=_stripe(schema, findings),
        cool_down_us=schema.automatic.cool_down_minutes * MINUTE_US,
        back_off_us=schema.automatic.back_off_minutes * MINUTE_US,
        daily_nano=_nano(
            schema.automatic.daily_limit, unit, ("payments", "automatic", "daily_limit"), findings, least=1
        ),
    )


def _methods(schema: PaymentsSchema, unit: Unit, findings: Findings) -> dict[str, Method]:
    """The ways to pay, each of which the provider can keep a buyer to."""
    if schema.methods and schema.fee is None:
        what = "is missing: it is what buyers pay who name none of `methods`; {} is nothing"
        findings.fault(("payments", "fee"), what)
    for name, method in schema.methods.items():
        path: Path = ("payments", "methods", name, "stripe")
        if schema.provider == "stripe" and not method.stripe:
            findings.fault(path, "is missing: without it Stripe takes any means of payment for this fee")
        if schema.provider != "stripe" and method.stripe:
            findings.fault(path, f"means nothing to the provider {schema.provider}")
    return {
        name: _method(method, unit, ("payments", "methods", name), findings)
        for name, method in schema.methods.items()
    }


def _method(schema: MethodSchema, unit: Unit, path: Path, findings: Findings) -> Method:
    least_nano = _cents_nano(schema.fee.minimum, unit, (*path, "fee", "minimum"), findings, least=0)
    return Method(_share(schema.fee.percent), least_nano // NANO_PER_CENT, tuple(schema.stripe))


def _stripe(schema: PaymentsSchema, findings: Findings) -> StripeAccess | None:
    """How Stripe is reached, where it is the provider."""
    if schema.provider != "stripe":
        return None
    if schema.stripe is None:
        findings.fault(("payments", "stripe"), "is missing: the provider stripe needs it")
        return None
    if find_spec("stripe") is None:
        findings.fault(("payments", "provider"), "needs the extra farebox[stripe]", schema.provider)
    stripe, path = schema.stripe, ("payments", "stripe")
    for name, secret in (("secret_key", stripe.secret_key), ("webhook_secret", stripe.webhook_secret)):
        if len(secret) < LEAST_SECRET or not is_visible_ascii(secret):
            findings.fault((*path, name), "must be a secret of Stripe's; take it from the environment")
    for name in ("success_url", "cancel_url", "base_url"):
        _check_url(getattr(stripe, name), (*path, name), findings)
    return StripeAccess(
        stripe.secret_key,
        stripe.webhook_secret,
        stripe.success_url,
        stripe.cancel_url or stripe.success_url,
        stripe.product,
        stripe.base_url.rstrip("/"),
    )


def _package(name: str, schema: PackageSchema, unit: Unit, findings: Findings) -> Package:
    path: Path = ("payments", "packages", name)
    return _with_terms(Package(name, NANO_PER_CENT), schema, unit, path, findings)


def _with_terms(
    package: Package, schema: PackageSchema | PackageTermsSchema, unit: Unit, path: Path, findings: Findings
) -> Package:
    """A package with what a schema says of it; what that does not mention stays."""
    if schema.amount is not None:
        package = replace(package, amount_nano=_cents_nano(schema.amount, unit, (*path, "amount"), findings))
    if schema.bonus is not None:
        package = replace(package, bonus=_extra(schema.bonus, unit, (*path, "bonus"), findings))
    if schema.discount is not None:
        if (discount := _share(schema.discount)) >= _ALL:
            findings.fault((*path, "discount"), "must leave a price", schema.discount)
            discount = Fraction(0)
        package = replace(package, discount=discount)
    return package


def _in_groups(
    schemas: Mapping[str, PackageSchema],
    packages: Mapping[str, Package],
    groups: Collection[str],
    unit: Unit,
    findings: Findings,
) -> dict[str, dict[str, Package]]:
    """All packages for each group that has any of them otherwise than others."""
    found: dict[str, dict[str, Package]] = {}
    for name, schema in schemas.items():
        for group, terms in schema.groups.items():
            path: Path = ("payments", "packages", name, "groups", group)
            if group not in groups:
                findings.fault(path, f"is not a group; {did_you_mean(group, groups)}")
            if terms == PackageTermsSchema():
                findings.fault(path, "changes nothing; it needs `amount`, `bonus` or `discount`")
            own = found.setdefault(group, dict(packages))
            own[name] = _with_terms(packages[name], terms, unit, path, findings)
    return found


def _extra(text: str, unit: Unit, path: Path, findings: Findings) -> Extra:
    if text.endswith("%"):
        return Extra(share=_share(text))
    return Extra(fixed_nano=_nano(text, unit, path, findings, least=1))


def _share(text: str | None) -> Fraction:
    return Fraction(text.removesuffix("%")) / 100 if text else Fraction(0)


def _cents_nano(text: str, unit: Unit, path: Path, findings: Findings, *, least: int = 1) -> int:
    """An amount of whole cents, in nano-USD."""
    nano = _nano(text, unit, path, findings, least=least)
    if nano % NANO_PER_CENT and nano != least:
        findings.fault(path, "must be whole cents, as it is paid in them", text)
    return nano


def _nano(text: str, unit: Unit, path: Path, findings: Findings, *, least: int) -> int:
    try:
        nano = to_nano(text, unit)
    except ValueError as error:
        findings.fault(path, str(error))
        return least
    if nano < least:
        findings.fault(path, "must be more than 0" if least else "must not be negative", text)
        return least
    return nano


def _check_url(url: str | None, path: Path, findings: Findings) -> None:
    if url is None:
        return
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in ("https", "http") and bool(parts.hostname) and url.isprintable()
    except ValueError:
        is_right = False
    if not is_right or " " in url:
        findings.fault(path, "must be an address that begins with https://", url)

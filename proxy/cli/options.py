"""Options that several commands share."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from proxy.cli.api import DEFAULT_URL, URL_VARIABLE, Api, Json
from proxy.cli.output import Out

Command = Callable[..., None]
"""A command. click passes its arguments and options by name."""

_WINDOWS = ("day", "week", "month", "total")
_RATES = ("rpm", "tpm", "concurrency")
_MEANINGS = {
    **dict.fromkeys(_WINDOWS, "spending limit: an amount, 'none', or 'default'"),
    "rpm": "requests a minute: a number, 'none', or 'default'",
    "tpm": "tokens a minute: a number, 'none', or 'default'",
    "concurrency": "calls at once: a number, 'none', or 'default'",
}

_USER_LIMITS = ("day", "week", "month", *_RATES)
_YES = click.Choice(["yes", "no", "default"])


def asks(command: Command) -> Command:
    """Add `--url` and `--json` to a command, which gets an `api` to ask and an `out` to print to."""

    @click.option(
        "--url", envvar=URL_VARIABLE, default=DEFAULT_URL, show_default=True, help="the server's address"
    )
    @click.option("--json", "as_json", is_flag=True, help="print the API's answer as it is")
    @wraps(command)
    def asking(*, url: str, as_json: bool, **options: Any) -> None:
        command(api=Api.from_environment(url), out=Out(as_json=as_json), **options)

    return asking


def paged(command: Command) -> Command:
    """Add the options of a list: `--limit` and `--cursor`."""
    command = click.option("--cursor", help="the cursor that the page before ended with")(command)
    return click.option("--limit", type=click.IntRange(1, 100), help="rows to print  [default: 20]")(command)


def limited(command: Command) -> Command:
    """Add an option for each limit. The command gets the ones that were given as `limits`."""

    @wraps(command)
    def with_limits(**options: Any) -> None:
        texts = {name: options.pop(name) for name in _MEANINGS}
        command(limits=_limits(texts), **options)

    optioned: Command = with_limits
    for name, meaning in reversed(_MEANINGS.items()):
        optioned = click.option(f"--{name}", metavar="LIMIT", help=meaning)(optioned)
    return optioned


def limited_for_users(command: Command) -> Command:
    """Add an option for each limit of an end user. The command gets the ones that were given as `limits`."""

    @wraps(command)
    def with_limits(**options: Any) -> None:
        command(limits=_limits({name: options.pop(name) for name in _USER_LIMITS}), **options)

    optioned: Command = with_limits
    for name in reversed(_USER_LIMITS):
        optioned = click.option(f"--{name}", metavar="LIMIT", help=_MEANINGS[name])(optioned)
    return optioned


def users_limited(command: Command) -> Command:
    """Add an option for each term of all end users. The command gets those given as `end_users`."""

    @click.option("--require-end-user", type=_YES, help="whether calls have to say for whom they are")
    @click.option("--new-end-users", metavar="LIMIT", help="new ones a minute: a number, or 'default'")
    @wraps(command)
    def with_terms(*, require_end_user: str | None, new_end_users: str | None, **options: Any) -> None:
        limits = _limits({name: options.pop(f"end_user_{name}") for name in _USER_LIMITS})
        terms: Json = {"limits": limits} if limits else {}
        if require_end_user is not None:
            terms["require"] = None if require_end_user == "default" else require_end_user == "yes"
        if new_end_users is not None:
            terms["new_per_minute"] = _rate("new-end-users", new_end_users)
        command(end_users=terms, **options)

    optioned: Command = with_terms
    for name in reversed(_USER_LIMITS):
        text = f"of each end user: {_MEANINGS[name]}"
        optioned = click.option(f"--end-user-{name}", metavar="LIMIT", help=text)(optioned)
    return optioned


def alerted(command: Command) -> Command:
    """Add the options of an account's alerts. The command gets the ones that were given as `alerts`."""

    @click.option(
        "--balance-low", metavar="AMOUNT", help="funds that are told as low: an amount, 'none', or 'default'"
    )
    @click.option(
        "--limit-percents", metavar="LIST", help="parts of limits to be told of: 50,80, 'none', or 'default'"
    )
    @wraps(command)
    def with_alerts(*, balance_low: str | None, limit_percents: str | None, **options: Any) -> None:
        alerts: Json = {}
        if balance_low is not None:
            alerts["balance_low"] = _or_default(balance_low)
        if limit_percents is not None:
            alerts["limit_percents"] = _percents(limit_percents)
        command(alerts=alerts, **options)

    return with_alerts


def given(**members: object) -> Json:
    """A body of the members that were given, without None and empty ones."""
    return {name: value for name, value in members.items() if value is not None and value not in ({}, ())}


def _limits(texts: dict[str, str | None]) -> Json:
    limits: Json = {}
    for name, text in texts.items():
        if text is not None:
            limits[name] = _rate(name, text) if name in _RATES else _or_default(text)
    return limits


def _rate(name: str, text: str) -> int | str | None:
    if text in {"none", "default"}:
        return _or_default(text)
    try:
        return int(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a number.", param_hint=f"--{name}") from None


def _percents(text: str) -> list[int] | None:
    if text in {"none", "default"}:
        return [] if text == "none" else None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"{text!r} are not numbers.", param_hint="--limit-percents") from None


def _or_default(text: str) -> str | None:
    return None if text == "default" else text

"""Paths in a configuration: what one may be, and which are taken."""

import re
from typing import Final

from proxy.endpoints.registry import ENDPOINTS
from proxy.upstream.path_templates import filled, may_meet, variables_of

RESERVED: Final = (
    "/admin",
    "/v1/billing",
    "/v1/models",
    "/v1/key",
    "/v1/credits",
    "/v1/dashboard/billing",
    "/dashboard/billing",
    "/v1/organization",
    *ENDPOINTS,
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
)
"""Paths that Farebox answers itself, and all paths below them."""

# What a path may not hold: it is compared with the path of a request, character by character.
_PATH_RULES: Final = (
    (re.compile(r"\A(?!/[^/])"), "must begin with '/' and name something"),
    (re.compile(r"//"), "must not hold '//'"),
    (re.compile(r"/\.\.?(/|\Z)"), "must not have '.' or '..' for a segment"),
    (re.compile(r"[?#]"), "must not hold a query or a fragment: those pass as they come"),
    (re.compile(r"%"), "must not hold '%': an encoded path is never matched"),
    (
        re.compile(r"[*\[\]{}]"),
        "must be exact but for whole segments such as {id}; there are no other patterns",
    ),
    (
        re.compile(r"[^A-Za-z0-9._~!$&'()+,;=:@/*\[\]{}%?#-]"),
        "must hold only what a path may: no blanks, no accents",
    ),
)


def path_fault(path: str) -> str | None:
    """Why a path cannot be matched or requested, or None."""
    variables = variables_of(path)
    if len(set(variables)) < len(variables):
        return "has one variable twice"
    plain = filled(path, dict.fromkeys(variables, "x"))
    return next((message for pattern, message in _PATH_RULES if pattern.search(plain)), None)


def is_reserved(path: str) -> bool:
    """Whether a path can be one that Farebox answers itself, or below it."""
    segments = path.split("/")
    return any(may_meet("/".join(segments[: len(one.split("/"))]), one) for one in RESERVED)

"""Every refusal: its code, HTTP status, OpenAI error type, whether a retry can help, and what it means."""

from typing import Final

import msgspec


class Kind(msgspec.Struct, frozen=True):
    """What a code means in a response. `retry` is the value of `x-should-retry`; None leaves it out."""

    status: int
    type: str
    meaning: str
    retry: bool | None = None


_INVALID: Final = "invalid_request_error"
_AUTH: Final = "authentication_error"
_DENIED: Final = "permission_error"
_FUNDS: Final = "insufficient_quota"
_RATE: Final = "rate_limit_error"
_UPSTREAM: Final = "upstream_error"
_SERVER: Final = "server_error"

# In order of precedence: when several refusals apply, the caller gets the first. Identity comes before
# anything that could reveal what exists, the request's form before money, money before rates, upstreams last.
CODES: Final[dict[str, Kind]] = {
    "shutting_down": Kind(503, _SERVER, "The process is draining; another one will answer.", retry=True),
    "invalid_path": Kind(400, _INVALID, "The path holds dot segments, encoded slashes or empty segments."),
    "invalid_request": Kind(400, _INVALID, "The request could not be understood as HTTP."),
    "missing_api_key": Kind(401, _AUTH, "No bearer key was sent."),
    "invalid_api_key": Kind(401, _AUTH, "The key is unknown."),
    "api_key_disabled": Kind(401, _AUTH, "The key has been disabled."),
    "api_key_expired": Kind(401, _AUTH, "The key's expiry has passed."),
    "not_found": Kind(404, _INVALID, "No such route, or no such object for this caller."),
    "endpoint_denied": Kind(
        403, _DENIED, "The endpoint would let calls pass Farebox by, or shows the operator's account."
    ),
    "method_not_allowed": Kind(405, _INVALID, "The route exists, the method does not."),
    "body_too_large": Kind(413, _INVALID, "The body is larger than `server.max_body_bytes`."),
    "body_timeout": Kind(408, _INVALID, "The body did not arrive in time.", retry=False),
    "overloaded": Kind(
        503, _SERVER, "Memory for request bodies is used up, or large quotes wait.", retry=True
    ),
    "unsupported_encoding": Kind(415, _INVALID, "The request body is compressed; send it plain."),
    "invalid_json": Kind(400, _INVALID, "The body is not a JSON object."),
    "invalid_value": Kind(400, _INVALID, "A field has the wrong type or an impossible value."),
    "model_not_found": Kind(404, _INVALID, "No route serves this model on this endpoint."),
    "model_not_allowed": Kind(
        403, _DENIED, "The allow-list of the key, or of its account's group, does not hold this model."
    ),
    "billing_denied": Kind(
        403, _DENIED, "The key may not decide about the money of its account: see `billing` of keys."
    ),
    "model_not_priced": Kind(403, _DENIED, "No rate card prices this model, so it is refused."),
    "end_user_required": Kind(400, _INVALID, "The call does not say for which end user it is, as it has to."),
    "unpriced_feature": Kind(
        403, _DENIED, "A member of the body, or its value, can cost extra, and no rate prices that."
    ),
    "event_not_allowed": Kind(403, _DENIED, "The operator takes no such events from keys."),
    "idempotency_conflict": Kind(409, _INVALID, "The idempotency key was used for another command."),
    "conflict": Kind(409, _INVALID, "The object is not in a state that allows this."),
    "voucher_unknown": Kind(404, _INVALID, "No voucher has this code."),
    "voucher_expired": Kind(409, _INVALID, "The voucher's time to be redeemed has passed."),
    "voucher_used_up": Kind(409, _INVALID, "The voucher has been redeemed as often as it may be."),
    "voucher_redeemed": Kind(409, _INVALID, "The account has redeemed this voucher before."),
    "signature_invalid": Kind(400, _INVALID, "A payment provider's notice is not signed by it, or is old."),
    "payments_unavailable": Kind(
        503, _UPSTREAM, "The payment provider cannot be reached, or refuses what it is asked for.", retry=True
    ),
    "account_suspended": Kind(402, _FUNDS, "The account is suspended.", retry=False),
    "credit_balance_exhausted": Kind(402, _FUNDS, "Nothing is left on the account.", retry=False),
    "request_exceeds_balance": Kind(402, _FUNDS, "The call could cost more than what is left.", retry=False),
    "in_flight_budget_exhausted": Kind(
        402, _FUNDS, "Calls in flight hold what this one needs; it may fit after `Retry-After`.", retry=True
    ),
    "daily_limit_exceeded": Kind(
        402, _FUNDS, "The limit of the account or end user for this UTC day is reached.", retry=False
    ),
    "weekly_limit_exceeded": Kind(
        402,
        _FUNDS,
        "The limit of the account or end user for this ISO week is reached.",
        retry=False,
    ),
    "monthly_limit_exceeded": Kind(
        402, _FUNDS, "The limit of the account or end user for this month is reached.", retry=False
    ),
    "total_limit_exceeded": Kind(402, _FUNDS, "The account's total spending limit is reached.", retry=False),
    "key_limit_exceeded": Kind(402, _FUNDS, "One of the key's own spending limits is reached.", retry=False),
    "quota_exceeded": Kind(
        429, _FUNDS, "The calls of a quota of the group are used up for this UTC day.", retry=False
    ),
    "rate_limit_exceeded": Kind(429, _RATE, "Too many requests or tokens per minute.", retry=True),
    "concurrency_limit_exceeded": Kind(429, _RATE, "Too many calls at once.", retry=True),
    "ledger_unavailable": Kind(
        503, _SERVER, "The ledger cannot be written, so no call is let through.", retry=True
    ),
    "upstream_unreachable": Kind(502, _UPSTREAM, "No target of the route could be reached.", retry=True),
    "upstream_denied": Kind(502, _UPSTREAM, "The upstream refused Farebox's own credential.", retry=False),
    "upstream_invalid": Kind(502, _UPSTREAM, "The upstream's answer could not be read.", retry=True),
    "upstream_failed": Kind(502, _UPSTREAM, "The upstream broke off its answer.", retry=True),
    "upstream_timeout": Kind(504, _UPSTREAM, "The upstream sent nothing in time.", retry=True),
    "hold_outgrown": Kind(402, _FUNDS, "The stream outgrew what was held for it and was cut.", retry=False),
    "internal_error": Kind(
        500, _SERVER, "A fault of Farebox itself; the log has the request id.", retry=True
    ),
}


OF_THE_BALANCE: Final = frozenset(
    {"credit_balance_exhausted", "request_exceeds_balance", "in_flight_budget_exhausted"}
)
"""The codes of refusals that are over once somebody pays in."""


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not a fault.
    """A request that is answered with an error. `details` are extra members of the error object.

    `headers` go on the response as they are. Raises KeyError for a code that is not in `CODES`.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        param: str | None = None,
        details: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.kind = CODES[code]
        # The message may quote the request, which need not be text: `\ud800` is legal JSON.
        self.message = message.encode("utf-8", "backslashreplace").decode()
        self.param = param
        self.details = details or {}
        self.headers = headers or {}

    def body(self, request_id: str) -> bytes:
        """The error in OpenAI's shape, as JSON bytes."""
        error: dict[str, object] = {
            "message": self.message,
            "type": self.kind.type,
            "param": self.param,
            "code": self.code,
            **self.details,
            "request_id": request_id,
        }
        return msgspec.json.encode({"error": error})

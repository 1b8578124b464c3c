"""Endpoints of upstreams that are never forwarded by themselves, and why: nothing but listed paths is served.

What they cost would pass Farebox by, or they would show one caller what is another's, or the operator's.
"""

from collections.abc import Iterator, Mapping
from typing import Final

_MINTS: Final = (
    "it hands out credentials with which calls pass Farebox by, without funds and without a receipt"
)
_SESSION: Final = "a session goes on at the upstream by itself, and nothing in it is metered"
_ACCOUNT: Final = "it manages the operator's own account at the upstream"
_RUNS: Final = "it has the upstream work by itself, and bill the operator for what no call of yours held"
_STORES: Final = "it stores and shows data in the operator's account, which all callers share"

_PATHS: Final[Mapping[str, str]] = {
    _MINTS: """
        /v1/realtime/client_secrets /v1/realtime/sessions /v1/realtime/transcription_sessions
        /v1/realtime/translations /v1/chatkit /v1/live /v1/auth /v1/keys /v1/key /v1/api_keys /v1/apikeys
        /v1/credentials /v1/tokens /v1/oauth
        """,
    _SESSION: "/v1/realtime /v1/sessions",
    _ACCOUNT: """
        /v1/organization /v1/organizations /v1/projects /v1/vaults /v1/webhooks /v1/webhook_endpoints
        /v1/admin /v1/dashboard /v1/users /v1/invites /v1/workspaces /v1/certificates /v1/usage /v1/credits
        /v1/generation /v1/compliance
        """,
    _RUNS: """
        /v1/fine_tuning /v1/fine-tunes /v1/evals /v1/graders /v1/agents /v1/assistants /v1/threads
        /v1/containers /v1/environments /v1/batches /v1/messages/batches /v1/deployments /v1/finetune
        """,
    _STORES: """
        /v1/files /v1/uploads /v1/vector_stores /v1/memory_stores /v1/skills /v1/datasets
        /v1/connectors /v1/prompts
        """,
}


def _rows() -> Iterator[tuple[str, str]]:
    for reason, paths in _PATHS.items():
        yield from ((path, reason) for path in paths.split())


REASONS: Final[Mapping[str, str]] = dict(_rows())
"""Why a path, and all paths below it, are not served; the longest that fits says it."""


def reason_against(path: str) -> str | None:
    """Why a path that is not served is none to forward; None for one that says nothing to Farebox."""
    found = (known for known in REASONS if path == known or path.startswith(f"{known}/"))
    longest = max(found, key=len, default=None)
    return None if longest is None else REASONS[longest]

"""What is never forwarded says why, and takes nothing away from what is served."""

import pytest

from proxy.endpoints.registry import ENDPOINTS
from proxy.endpoints.unserved import REASONS, reason_against

# The credential-minting endpoints of OpenAI's API: none may ever be served as it is.
MINTING = [
    "/v1/realtime/client_secrets",
    "/v1/realtime/sessions",
    "/v1/realtime/transcription_sessions",
    "/v1/realtime/translations/client_secrets",
    "/v1/chatkit/sessions",
    "/v1/live/sessions",
]


@pytest.mark.parametrize("path", MINTING)
def test_what_hands_out_credentials_says_so(path: str) -> None:
    assert "credentials" in (reason_against(path) or "")
    assert path not in ENDPOINTS


@pytest.mark.parametrize("path", REASONS)
def test_a_reason_holds_for_all_paths_below_and_for_none_beside(path: str) -> None:
    assert reason_against(path) == REASONS[path]
    assert reason_against(f"{path}/id_1/more") is not None
    assert reason_against(f"{path}x") != REASONS[path] or f"{path}x" in REASONS
    assert reason_against(path.removeprefix("/v1")) is None


@pytest.mark.parametrize("path", ENDPOINTS)
def test_nothing_that_is_served_has_a_reason_against_it(path: str) -> None:
    assert reason_against(path) is None


def test_the_longest_path_says_why() -> None:
    """A session's secret is worse than the session."""
    assert reason_against("/v1/realtime") != reason_against("/v1/realtime/client_secrets")
    assert reason_against("/v1/realtime/other") == reason_against("/v1/realtime")


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/chat", "/v1/unheard_of", "/V1/files", "/v1/messages/x"])
def test_other_paths_are_only_not_served(path: str) -> None:
    assert reason_against(path) is None

"""How many clients may be connected, by what the system allows."""

import pytest

from proxy.process.descriptors import RESERVED, most_connections


@pytest.mark.parametrize(
    ("files", "wanted", "most"),
    [
        (None, 4096, 4096),
        (1_000_000, 4096, 4096),
        (RESERVED + 200, 4096, 100),
        (RESERVED + 200, 50, 50),
        (RESERVED, 50, 1),
    ],
)
def test_every_client_leaves_room_for_an_upstream(files: int | None, wanted: int, most: int) -> None:
    """Connections to upstreams and files find descriptors however many clients come."""
    assert most_connections(wanted, files) == most

"""One process from start to stop."""

from pathlib import Path

import pytest
import yaml

from proxy.config.load import load
from proxy.process.app import Farebox, Parts
from proxy.storage.owners import gone
from proxy.upstream.client import HttpUpstreams
from tests.acceptance.harness import ADMIN_KEY, config_for


class Stuck(HttpUpstreams):
    """Upstreams that cannot be closed."""

    async def close(self) -> None:
        await super().close()
        raise OSError("a socket is gone")


async def test_a_part_that_cannot_be_let_go_keeps_no_other(tmp_path: Path) -> None:
    """The store is let go last: what it leaves would keep the process, and its name on its holds."""
    file = tmp_path / "farebox.yaml"
    file.write_text(yaml.safe_dump(config_for(1, tmp_path)))
    settings = load(file, {"FAREBOX_ADMIN_KEY": ADMIN_KEY, "UPSTREAM_KEY": "secret"})
    process = Farebox(settings, parts=Parts(upstreams=Stuck))
    await process.start()
    with pytest.raises(OSError, match="a socket is gone"):
        await process.stop()
    assert gone(tmp_path / "farebox.db", ["owner-0"]) == {"owner-0"}

"""No call waits for a vocabulary: those that it may be counted with are there before its route is."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.harness import ADMIN_KEY, config_for

SCRIPT = """
import asyncio, os, sys
from pathlib import Path
from types import SimpleNamespace
from proxy.config.load import load
from proxy.metering.vocabulary import SHARED
from proxy.process.worker import prepare, reload

def loaded():
    return sorted(name for name in ("cl100k_base", "o200k_base") if SHARED.is_loaded(name))

before, after = map(Path, sys.argv[1:])
assert loaded() == []
prepare(load(before, os.environ))
print(*loaded())
process = SimpleNamespace(reload=lambda settings: print(*loaded()))
asyncio.run(reload(process, after))
"""


def config(folder: Path, name: str, models: list[str], target: str | None = None) -> Path:
    whole: dict[str, Any] = config_for(1, folder)
    upstream = next(iter(whole["upstreams"]))
    whole["routes"] = [
        {"models": models, "targets": [{"upstream": upstream} | ({"model": target} if target else {})]}
    ]
    file = folder / name
    file.write_text(yaml.safe_dump(whole))
    return file


@pytest.mark.parametrize(
    ("models", "target", "more", "started", "reloaded"),
    [
        (["gpt-4o"], None, ["gpt-4"], "o200k_base", "cl100k_base o200k_base"),
        (["acme"], "gpt-4", ["acme"], "cl100k_base o200k_base", "cl100k_base o200k_base"),
        (["*"], None, ["*"], "cl100k_base o200k_base", "cl100k_base o200k_base"),
        (["gpt-4"], None, ["gpt-*"], "cl100k_base", "cl100k_base o200k_base"),
    ],
)
def test_vocabularies_are_loaded_before_their_routes_are_in_force(
    tmp_path: Path, models: list[str], target: str | None, more: list[str], started: str, reloaded: str
) -> None:
    """At start and at a reload, by the globs of the routes and by the models of their targets."""
    files = [config(tmp_path, "before.yaml", models, target), config(tmp_path, "after.yaml", more, target)]
    env = {"FAREBOX_ADMIN_KEY": ADMIN_KEY, "UPSTREAM_KEY": "secret"}
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, files)], env=env, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [started, reloaded]

"""Clients that want an environment of their own: installed once, from npm or PyPI, and kept."""

import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.acceptance.harness import WAIT_SECONDS

NODE_PACKAGES: Final = (
    "openai@6",
    "@anthropic-ai/sdk@1",
    "ai@6",
    "@ai-sdk/openai@3",
    "@ai-sdk/anthropic@3",
    "zod@4",
)
PYTHON_PACKAGES: Final = ("langchain-openai==1.7.3", "langchain-anthropic==1.7.7")

Install = Callable[[Path], None]


def kept(folder: Path, packages: Sequence[str], install: Install) -> Path:
    """The folder with these packages in it. The first process that wants them installs, and others wait.

    A folder that has others, or that was broken off, is made anew. `install` raises CalledProcessError.
    """
    wanted = "\n".join([sys.version, *packages])
    told = folder / "installed"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists() or told.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            install(folder)
            told.write_text(wanted)
    return folder


def npm_install(npm: str) -> Install:
    """What puts the packages of Node into a folder."""

    def install(folder: Path) -> None:
        (folder / "package.json").write_text('{"type": "module", "private": true}')
        _run(npm, "install", "--silent", "--no-audit", "--no-fund", *NODE_PACKAGES, folder=folder)

    return install


def pip_install(folder: Path) -> None:
    """Make an environment in a folder, with those of Python; its pip is the one of the tests."""
    _run(sys.executable, "-m", "venv", "--without-pip", ".", folder=folder)
    pip = (sys.executable, "-m", "pip", "--python", "bin/python", "--disable-pip-version-check")
    _run(*pip, "install", "--quiet", *PYTHON_PACKAGES, folder=folder)


def _run(*command: str, folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)


@dataclass(frozen=True)
class Runner:
    """Runs scripts in a folder of packages, by a command that reads a script from its input."""

    command: Sequence[str]
    folder: Path

    def __call__(self, script: str, environ: Mapping[str, str]) -> Any:
        """The JSON on the last line that a script prints."""
        run = subprocess.run(
            self.command,
            cwd=self.folder,
            input=script,
            env={"PATH": "/usr/bin:/bin", **environ},
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
        )
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout.splitlines()[-1])

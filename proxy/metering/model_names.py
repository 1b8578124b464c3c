"""What a model's name tells: its bare form, and the encoding its text is counted with."""

from collections.abc import Mapping
from typing import Final

import tiktoken

DEFAULT_ENCODING: Final = "o200k_base"
EMBEDDING_ENCODING: Final = "cl100k_base"

# tiktoken maps `gpt-oss-...` only. Open weights are also served under the bare name with a size tag.
# The files of `gpt2` hold the same tokens as `r50k_base` in another form.
_NAMED: Final[Mapping[str, str]] = {"gpt-oss": "o200k_harmony", "gpt2": "r50k_base", "gpt-2": "r50k_base"}


def bare_name(model: str) -> str:
    """The base model's name in lower case, without provider path, `ft:` mark, or anything after a colon.

    `openai/gpt-4o`, `ft:gpt-4o:acme::7p4l` and `gpt-4o:extended` are all `gpt-4o`.
    """
    name = model.strip().lower()
    before, mark, after = name.partition("ft:")
    if mark and (not before or before.endswith("/")):
        name = after
    return name.partition(":")[0].rpartition("/")[2]


def encoding_name(model: str) -> str:
    """The encoding that `model` reads text with; never raises.

    A fine-tuned model has its base model's. A name that tiktoken does not know has `cl100k_base` if it speaks
    of embeddings, else `o200k_base`, which every model of OpenAI since gpt-4o uses. For models of other
    makers the count is an estimate.
    """
    name = bare_name(model)
    if name in _NAMED:
        return _NAMED[name]
    try:
        return tiktoken.encoding_name_for_model(name)
    except KeyError:
        return EMBEDDING_ENCODING if "embed" in name else DEFAULT_ENCODING

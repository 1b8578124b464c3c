"""What a model's name tells: its bare form, and the encoding its text is counted with."""

from collections.abc import Mapping
from itertools import product
from typing import Final

import tiktoken
import tiktoken.model

from proxy.globs import is_glob, may_overlap

DEFAULT_ENCODING: Final = "o200k_base"
EMBEDDING_ENCODING: Final = "cl100k_base"

# tiktoken maps `gpt-oss-...` only. Open weights are also served under the bare name with a size tag.
# The files of `gpt2` hold the same tokens as `r50k_base` in another form.
_NAMED: Final[Mapping[str, str]] = {"gpt-oss": "o200k_harmony", "gpt2": "r50k_base", "gpt-2": "r50k_base"}

# The names that tiktoken knows, as globs of all their spellings; `bare_name` takes the rest of each away.
_KNOWN: Final = tuple(
    (f"{before}{name}{after}", encoding)
    for (name, encoding), before, after in product(
        (
            *{**tiktoken.model.MODEL_TO_ENCODING, **_NAMED}.items(),
            *(
                (f"{prefix}*", encoding)
                for prefix, encoding in tiktoken.model.MODEL_PREFIX_TO_ENCODING.items()
            ),
            ("*embed*", EMBEDDING_ENCODING),
        ),
        ("", "*/", "ft:", "*/ft:"),
        ("", ":*"),
    )
)


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


def encoding_names(glob: str) -> frozenset[str]:
    """Every encoding that `encoding_name` can give for a model whose name matches `glob`."""
    if not is_glob(glob):
        return frozenset({encoding_name(glob)})
    spelled = glob.strip().lower()
    found = {encoding for name, encoding in _KNOWN if may_overlap(spelled, name)}
    return frozenset({*found, encoding_name(glob), DEFAULT_ENCODING})


def counting_name(upstream_model: str, model: str) -> str:
    """Whose rules count a call: the upstream's model, unless only the public name tells what it is.

    A target may have a name of its own for a model, such as that of an installation.
    """
    return model if _is_known(model) and not _is_known(upstream_model) else upstream_model


def _is_known(model: str) -> bool:
    name = bare_name(model)
    try:
        return name in _NAMED or bool(tiktoken.encoding_name_for_model(name))
    except KeyError:
        return "claude" in name

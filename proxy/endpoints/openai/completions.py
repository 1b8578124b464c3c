"""POST /v1/completions."""

from typing import Final

import msgspec

from proxy.endpoints.base import Headers
from proxy.endpoints.generation import GenerationAsk
from proxy.endpoints.openai.bounds import OutputBound, named_bound, thinking_budget
from proxy.endpoints.openai.members import COMPLETION
from proxy.endpoints.openai.stream_options import ChoiceCount, shows_usage
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody, read_body
from proxy.endpoints.reading.inputs import InputText, bound_inputs, input_count, input_texts, input_tokens
from proxy.endpoints.reading.metadata import metadata_of
from proxy.endpoints.tallies.produced import NO_ECHO, Echo
from proxy.metering.prompts import EMPTY_PROMPT_TOKENS
from proxy.metering.tokens import count_text

DEFAULT_BOUND_TOKENS: Final = 16
"""How many tokens this API answers with at most when the client names no bound."""


class CompletionCall(msgspec.Struct, frozen=True, kw_only=True):
    """A completion as OpenAI's API takes it."""

    model: str
    prompt: InputText
    stream: bool = False
    max_tokens: OutputBound | None = None
    n: ChoiceCount | None = None


class CompletionEndpoint:
    """Completions. Each of several prompts gets as many choices as a single one does."""

    name = "completions"
    path = "/v1/completions"
    upstream_path = "/completions"
    meters = ("input_tokens", "output_tokens")
    repeatable = True
    summary = "A completion: authorized before it is forwarded, charged when it has ended."
    request = CompletionCall
    streams = True

    def read(self, body: bytes, headers: Headers = ()) -> GenerationAsk:  # noqa: ARG002 - they cost nothing.
        """Read a completion request. Raises Refusal `invalid_json` or `invalid_value`."""
        request = read_body(body)
        model = fields.model_of(request)
        if "prompt" in request:
            fields.require(request, "prompt", (b'"', b"[", b"n"), "a string or an array")
        bound_inputs(request, "prompt")
        features = COMPLETION.features(request)
        stream = fields.flag(request, "stream")
        each = fields.whole(request, "n", fields.CHOICES_MAX) or 1
        text_bytes = request.bytes_of("prompt") + request.bytes_of("suffix")
        best = fields.whole(request, "best_of", fields.CHOICES_MAX) or 1
        choices = max(each, best) * input_count(request, "prompt")
        return GenerationAsk(
            body=request,
            model=model,
            stream=stream,
            choices=choices,
            bound=named_bound(request),
            input_tokens_max=EMPTY_PROMPT_TOKENS + text_bytes,
            input_text_bytes=text_bytes,
            count_input=_count_input,
            shows_usage=stream and shows_usage(request),
            end_user=fields.end_user(request),
            labels=metadata_of(request),
            default_bound=DEFAULT_BOUND_TOKENS,
            bound_field="max_tokens",
            echo=_echo(request, each),
            features=features,
            beside=choices * thinking_budget(request),
        )


def _count_input(request: JsonBody, model: str) -> int:
    suffix = request.get("suffix")
    after = count_text(suffix, model) if isinstance(suffix, str) else 0
    return input_tokens(request, "prompt", model) + after


def _echo(request: JsonBody, choices: int) -> Echo:
    """What the choices repeat. The text of token ids is not known, so it counts as output."""
    if not fields.flag(request, "echo"):
        return NO_ECHO
    texts = input_texts(request, "prompt")
    return Echo(
        tuple(b"" if text is None else text.encode("utf-8", "surrogatepass") for text in texts), choices
    )

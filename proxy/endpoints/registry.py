"""The API families that are served: a new one is a module and a line here."""

from collections.abc import Mapping
from typing import Final

import msgspec

from proxy.endpoints.anthropic.members import MESSAGES
from proxy.endpoints.anthropic.messages import CountEndpoint, MessageEndpoint
from proxy.endpoints.base import Family
from proxy.endpoints.cohere.rerank import RerankEndpoint
from proxy.endpoints.members import MemberTable
from proxy.endpoints.objects import ObjectKind
from proxy.endpoints.openai.audio_members import SPEECH, TRANSCRIPTION
from proxy.endpoints.openai.chat import ChatEndpoint
from proxy.endpoints.openai.completions import CompletionEndpoint
from proxy.endpoints.openai.embeddings import EmbeddingEndpoint
from proxy.endpoints.openai.images.endpoints import (
    EditEndpoint,
    EditForm,
    GenerationEndpoint,
    VariationEndpoint,
)
from proxy.endpoints.openai.images.members import IMAGE
from proxy.endpoints.openai.images.parameters import DEFAULTS as IMAGE_DEFAULTS
from proxy.endpoints.openai.members import CHAT, COMPLETION, EMBEDDING, MODERATION, RERANK, VIDEO
from proxy.endpoints.openai.moderations import FREE_MODELS, ModerationEndpoint
from proxy.endpoints.openai.responses.conversations import CONVERSATIONS
from proxy.endpoints.openai.responses.members import COMPACTION, RESPONSE
from proxy.endpoints.openai.responses.responses import (
    RESPONSES,
    CompactionEndpoint,
    InputTokensEndpoint,
    ResponseEndpoint,
)
from proxy.endpoints.openai.responses.tools import PARAMETERS as RESPONSE_PARAMETERS
from proxy.endpoints.openai.speech import SpeechEndpoint
from proxy.endpoints.openai.stored_chats import STORED_CHATS
from proxy.endpoints.openai.transcriptions import TranscriptionEndpoint, TranslationEndpoint
from proxy.endpoints.openai.videos import PARAMETERS as VIDEO_PARAMETERS
from proxy.endpoints.openai.videos import VIDEOS, VideoEndpoint, VideoForm

_FAMILIES: Final[tuple[Family, ...]] = (
    *(ChatEndpoint(), CompletionEndpoint(), EmbeddingEndpoint()),
    *(ResponseEndpoint(), CompactionEndpoint(), InputTokensEndpoint()),
    *(SpeechEndpoint(), TranscriptionEndpoint(), TranslationEndpoint()),
    *(MessageEndpoint(), CountEndpoint()),
    *(GenerationEndpoint(), EditEndpoint(), VariationEndpoint()),
    VideoEndpoint(),
    ModerationEndpoint(),
    RerankEndpoint("rerank", "/v1/rerank", "Documents ranked by a query, charged when the ranking has come."),
    RerankEndpoint("rerank.v2", "/v2/rerank", "The same as the second version of Cohere's API has it."),
)

ENDPOINTS: Final[Mapping[str, Family]] = {endpoint.path: endpoint for endpoint in _FAMILIES}
"""The endpoints whose calls name a model, by path."""

KINDS: Final[tuple[ObjectKind, ...]] = (VIDEOS, RESPONSES, STORED_CHATS, CONVERSATIONS)
"""The kinds of objects that calls make; a new one is a value and a line here."""

ENDPOINT_NAMES: Final = tuple(endpoint.name for endpoint in _FAMILIES)
"""What they are called in configurations, in the same order."""

TABLES: Final[Mapping[str, MemberTable]] = {
    "chat.completions": CHAT,
    "completions": COMPLETION,
    "embeddings": EMBEDDING,
    "responses": RESPONSE,
    "responses.compact": COMPACTION,
    "audio.speech": SPEECH,
    "audio.transcriptions": TRANSCRIPTION,
    "audio.translations": TRANSCRIPTION,
    "messages": MESSAGES,
    **dict.fromkeys(("images.generations", "images.edits", "images.variations"), IMAGE),
    "videos": VIDEO,
    "moderations": MODERATION,
    "rerank": RERANK,
    "rerank.v2": RERANK,
}
"""The members of their calls, by endpoint; a call that is free has none that matters."""

PARAMETERS: Final[Mapping[str, tuple[str, ...]]] = {
    "responses": RESPONSE_PARAMETERS,
    "responses.compact": RESPONSE_PARAMETERS,
    **dict.fromkeys(("images.generations", "images.edits", "images.variations"), (*IMAGE_DEFAULTS,)),
    "videos": VIDEO_PARAMETERS,
}
"""The parameters of calls that a price may depend on, by endpoint: what `Ask.parameters` can have."""

FREE: Final[Mapping[str, tuple[str, ...]]] = {"moderations": FREE_MODELS}
"""Globs of models that are free where no rate card prices them, by endpoint: their makers charge nothing."""

MEDIA: Final[Mapping[str, tuple[str, str]]] = {
    "audio.speech": ("application/json", "audio/*"),
    "audio.transcriptions": ("multipart/form-data", "application/json"),
    "audio.translations": ("multipart/form-data", "application/json"),
    "images.variations": ("multipart/form-data", "application/json"),
}
"""The media types of a request and of its answer, by endpoint; of all others both are JSON."""


FORMS: Final[Mapping[str, type[msgspec.Struct]]] = {"images.edits": EditForm, "videos": VideoForm}
"""What endpoints take as multipart/form-data that take JSON as well."""


def forward_fault(name: str) -> str | None:
    """Why an upstream cannot forward a member by this name, or None."""
    for table in TABLES.values():
        row = table.rows.get(name)
        if row is not None and row.treatment == "bounded":
            return "is read by Farebox, and goes up as it was read"
    return None

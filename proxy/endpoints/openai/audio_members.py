"""The tables of members of the calls about sound, and how the fields of their forms are written."""

from collections.abc import Iterator
from typing import Final

from proxy.endpoints.features import Feature
from proxy.endpoints.kept import kept_within
from proxy.endpoints.members import Member, MemberTable, is_on
from proxy.endpoints.reading.body import JsonBody
from proxy.endpoints.reading.form import Kinds


def _names(text: str, row: Member) -> dict[str, Member]:
    return dict.fromkeys(text.split(), row)


def _refused(body: JsonBody, name: str) -> Iterator[Feature]:
    """A sound that is somewhere else: neither its length nor who may read it is known."""
    if is_on(body.members[name]):
        yield Feature(name, name)


_BOUNDED: Final = Member("bounded")
_PASSED: Final = Member("passed")

TRANSCRIPTION: Final = MemberTable(
    {
        **_names(
            "model file prompt keywords known_speaker_references response_format stream",
            _BOUNDED,
        ),
        **_names(
            """
            language languages temperature timestamp_granularities include chunking_strategy
            known_speaker_names user seed top_p top_k min_p repetition_penalty frequency_penalty
            presence_penalty to_language stream_include_usage stream_continuous_usage_stats
            """,
            _PASSED,
        ),
        **_names("url file_url file_id", Member("refused", _refused)),
    }
)
"""The members of a transcription, and of a translation."""

FORM: Final[Kinds] = {
    "file": "file",
    "stream": "flag",
    "keywords": "list",
    "languages": "list",
    "include": "list",
    "timestamp_granularities": "list",
    "known_speaker_names": "list",
    "known_speaker_references": "list",
    "chunking_strategy": "object",
}

SPEECH: Final = MemberTable(
    {
        **_names("model input instructions response_format stream_format", _BOUNDED),
        **_names("speed language user", _PASSED),
        # A voice by its name is everybody's; one by its id has been made for somebody.
        **_names("voice", Member("passed", kept_within)),
    }
)
"""The members of a call for speech."""

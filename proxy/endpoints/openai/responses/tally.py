"""The tallies of responses: as of any text, and they tell of the response that the upstream keeps."""

from proxy.endpoints.openai.responses.part import ResponseReader
from proxy.endpoints.openai.responses.usage import ResponseUsage
from proxy.endpoints.tallies.sighted import Sighting
from proxy.endpoints.tallies.stream import StreamTally
from proxy.endpoints.tallies.whole import WholeTally


class ResponseStream(StreamTally):
    """The tally of a streamed response. One that `is_kept` can be named by later requests."""

    def __init__(self, *, keep_usage: bool, is_kept: bool) -> None:
        self._reader = ResponseReader()
        self._is_kept = is_kept
        super().__init__(read=self._reader, report=ResponseUsage, keep_usage=keep_usage)

    @property
    def sighting(self) -> Sighting | None:
        """The response, once all of it has come."""
        return self._reader.sighting if self._is_kept else self._reader.unkept


class ResponseWhole(WholeTally):
    """The tally of a whole response. One that `is_kept` can be named by later requests."""

    def __init__(self, *, keep_usage: bool, is_kept: bool) -> None:
        self._reader = ResponseReader()
        self._is_kept = is_kept
        super().__init__(read=self._reader, report=ResponseUsage, keep_usage=keep_usage)

    @property
    def sighting(self) -> Sighting | None:
        """The response, once all of it has come."""
        return self._reader.sighting if self._is_kept else self._reader.unkept

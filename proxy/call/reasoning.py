"""Which models report reasoning that their answers do not show, learned from the usage of calls."""

from collections import OrderedDict
from typing import Final, Literal

from proxy.ledger.rows import Call
from proxy.metering.usage import HIDDEN, Usage

MODELS_MAX: Final = 1_000
"""How many models of upstreams are remembered; the one that was learned first is forgotten first."""

Known = Literal["left", "plain", "reasons"]
"""What is known: only that a client has left; that no reasoning is reported; that some is, now and then."""


class ReasoningModels:
    """What this process has seen of each model at each upstream. Nobody else knows, and a restart forgets."""

    def __init__(self, models_max: int = MODELS_MAX) -> None:
        self._known: OrderedDict[tuple[str, str], Known] = OrderedDict()
        self._models_max = models_max

    def learn(self, call: Call, usage: Usage, *, whole: bool) -> None:
        """Take note of a call's usage as its upstream reported it; `whole` if all of it came.

        Reasoning that was seen once may come again, so that no later call takes it back.
        """
        model = (call.upstream, call.upstream_model)
        known = self._known.get(model)
        if known == "reasons":
            return
        if not HIDDEN.isdisjoint(usage) and any(map(usage.get, HIDDEN)):
            self._put(model, "reasons")
        elif whole and known != "plain":
            self._put(model, "plain")

    def may_hide(self, call: Call) -> bool:
        """Whether a call that its client leaves may have used more than was to be seen.

        Of a model that is not known yet one client's leaving is let go, and is noted. From the next on it
        may: else callers who always leave would never let Farebox learn.
        """
        model = (call.upstream, call.upstream_model)
        known = self._known.get(model)
        if known is None:
            self._put(model, "left")
        return known in ("left", "reasons")

    def _put(self, model: tuple[str, str], known: Known) -> None:
        self._known[model] = known
        if len(self._known) > self._models_max:
            self._known.popitem(last=False)

"""What a request most likely amounts to by itself, worked out where that stalls nobody."""

from functools import partial

from proxy.call.base import RoutedCall
from proxy.call.off_loop import in_thread
from proxy.metering.ceiling import Ceiling
from proxy.metering.parts import BASE64_PDF
from proxy.metering.tokens import COUNTER
from proxy.metering.usage import Usage


async def fixed_usage(routed: RoutedCall, ceiling: Ceiling, model: str) -> Usage:
    """What a request amounts to by meter, counted as `model` does; in a thread where that takes long.

    What a family does not estimate is what its ceiling says, and so is what the request turns on. What the
    upstream is only allowed to do is not part of it.
    """
    if COUNTER.is_quick(len(routed.body), model) and BASE64_PDF.encode() not in routed.body:
        estimate = routed.ask.estimate(model)
    else:
        estimate = await in_thread(len(routed.body), partial(routed.ask.estimate, model))
    terms = routed.terms
    sure = {meter: n for meter, n in ceiling.fixed.items() if meter not in terms.allowed}
    return {**sure, **terms.surcharges, **estimate}

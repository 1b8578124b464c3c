"""What an operator sees of calls: figures, and lines in the log. It is told of them and decides nothing."""

from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from operator import methodcaller
from typing import Final, get_args

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector

from proxy.errors import CODES
from proxy.ledger.commands import Settled
from proxy.ledger.events import DeliveryState
from proxy.ledger.rows import Call, Outcome
from proxy.metering.usage import Usage
from proxy.pricing.charge import Charge

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_METERED: Final = ("input_tokens", "cached_input_tokens", "output_tokens")
_WAITING_MAX: Final = 64
FAULT_TASKS: Final = (
    "call",
    "checkpoint",
    "connections",
    "credit-notes",
    "dues",
    "early-invoices",
    "end",
    "end-users",
    "expiries",
    "figures",
    "finish",
    "invoices",
    "job",
    "jobs",
    "ledger",
    "level",
    "levels",
    "models",
    "objects",
    "observe",
    "price",
    "readiness",
    "recover",
    "reload",
    "session",
    "sessions",
    "start",
    "stop",
    "store",
    "top-ups",
    "watch",
    "webhooks",
    "windows",
)
"""The tasks in which faults of Farebox itself can come up: the first words of their names."""


class Durations(Histogram):
    """A histogram that takes many durations at once, in an eighth of the time that one by one takes."""

    def observe_all(self, seconds: Sequence[float]) -> None:
        """What `observe` of each would come to."""
        found = [0] * len(self._buckets)
        bounds = self._upper_bounds
        for each in seconds:
            found[bisect_left(bounds, each)] += 1
        for bucket, count in zip(self._buckets, found, strict=True):
            if count:
                bucket.inc(count)
        self._sum.inc(sum(seconds))


class _Figures:
    """The labelled figures of one kind of end. They are kept, as finding them takes longer than counting.

    Ends wait in `waiting` as seconds, charge and usage: many at once are added in less time.
    """

    __slots__ = ("_calls", "_charged", "_counters", "_seconds", "waiting")

    def __init__(
        self, *, calls: Counter, charged: Counter, seconds: Durations, counters: dict[str, Counter]
    ) -> None:
        self.waiting: list[tuple[float, int, Usage]] = []
        self._seconds = seconds
        self._calls = calls
        self._charged = charged
        self._counters = tuple(
            (methodcaller("get", meter, 0), counter) for meter, counter in counters.items()
        )

    def put(self) -> None:
        """Add the ends that wait to the figures."""
        if not self.waiting:
            return
        durations, charges_nano, usages = zip(*self.waiting, strict=True)
        self.waiting = []
        self._calls.inc(len(durations))
        self._charged.inc(sum(charges_nano))
        for quantity_of, counter in self._counters:
            counter.inc(sum(map(quantity_of, usages)))
        self._seconds.observe_all(durations)


class WebhookFigures:
    """`webhooks.DeliveryObserver`: attempts by what came of them, and what waits for each endpoint."""

    def __init__(self, registry: CollectorRegistry, log: structlog.stdlib.BoundLogger) -> None:
        self._log = log
        self._attempts = Counter(
            "farebox_webhook_attempts",
            "Attempts to tell an endpoint of an event, by the state in which they left its delivery.",
            ["endpoint", "state"],
            registry=registry,
        )
        gauge = partial(Gauge, labelnames=["endpoint"], registry=registry, multiprocess_mode="livemax")
        self._pending = gauge("farebox_webhook_deliveries_pending", "Deliveries that are pending.")
        self._oldest = gauge(
            "farebox_webhook_oldest_pending_seconds",
            "How long ago the oldest event was whose delivery is pending.",
        )

    def told(self, endpoint: str, state: DeliveryState) -> None:
        """An attempt to tell an endpoint of an event has left its delivery in a state."""
        self._attempts.labels(endpoint, state).inc()
        if state == "dead":
            self._log.warning("webhook given up", endpoint=endpoint)

    def waiting(self, endpoint: str, count: int, oldest_seconds: float) -> None:
        """So many deliveries to an endpoint are pending, the oldest event among them for so long."""
        self._pending.labels(endpoint).set(count)
        self._oldest.labels(endpoint).set(oldest_seconds)
        for state in get_args(DeliveryState):
            self._attempts.labels(endpoint, state)


class Telemetry:
    """`closing.CallObserver` and more: counters for calls, money and refusals, a line for each failed call.

    `log_calls` also writes a line for each call that ended well. Several workers have their figures in the
    files of one `figures_folder`, and each of them shows the figures of all.
    """

    def __init__(self, *, log_calls: bool = False, figures_folder: str | None = None) -> None:
        self.registry = CollectorRegistry()
        self.log_calls = log_calls
        self.unknown_groups: set[str] = set()
        self._figures_folder = figures_folder
        self._log = structlog.get_logger("farebox.calls")
        registry = self.registry
        counter, histogram = partial(Counter, registry=registry), partial(Histogram, registry=registry)
        self._calls = counter(
            "farebox_calls", "Calls closed, by endpoint, outcome and basis.", ["endpoint", "outcome", "basis"]
        )
        self._charged = counter("farebox_charge_nano_usd", "Nano-USD charged, by endpoint.", ["endpoint"])
        self._units = counter("farebox_usage", "Usage by meter.", ["meter"])
        self._anomalies = counter("farebox_usage_anomalies", "Reported usage fields that were corrected.")
        self._exceeded = counter(
            "farebox_ceilings_exceeded",
            "Calls that cost more than was held for them, by upstream and model.",
            ["upstream", "model"],
        )
        self._shortfall = counter(
            "farebox_shortfall_nano_usd",
            "Nano-USD that neither hold nor funds covered, forgiven or owed, by upstream and model.",
            ["upstream", "model"],
        )
        self._refusals = counter("farebox_refusals", "Requests refused, by code.", ["code"])
        self._seconds = Durations(
            "farebox_call_seconds",
            "From the call's start to its close.",
            ["endpoint"],
            registry=registry,
            buckets=_SECONDS,
        )
        self._batch = histogram(
            "farebox_ledger_batch_commands",
            "Commands in a batch.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
        )
        self._commit = histogram(
            "farebox_ledger_commit_seconds", "Time a batch takes to commit.", buckets=_SECONDS
        )
        self._in_flight = Gauge(
            "farebox_calls_in_flight",
            "Calls that have not ended.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.recovered = counter("farebox_holds_recovered", "Holds of dead processes that were closed.")
        self.faults = counter("farebox_faults", "Faults of Farebox itself, by task.", ["task"])
        self._denials = counter(
            "farebox_upstream_denials",
            "Upstreams that began to refuse Farebox's own credential.",
            ["upstream"],
        )
        self.webhooks = WebhookFigures(registry, self._log)
        # What has not happened yet is a 0 and not a gap, so that the first time is an increase.
        for code in CODES:
            self._refusals.labels(code)
        for task in FAULT_TASKS:
            self.faults.labels(task)
        ProcessCollector(registry=self.registry)
        self._kept: dict[tuple[str, str, str], _Figures] = {}

    def ended(self, call: Call, outcome: Outcome, charge: Charge) -> None:
        """A call's hold was closed."""
        key = (call.endpoint, outcome.outcome, outcome.basis)
        figures = self._kept.get(key)
        if figures is None:
            figures = self._kept[key] = self._figures(key)
        seconds = (outcome.ended_at_us - call.started_at_us) / 1e6
        figures.waiting.append((seconds, charge.total_nano, outcome.usage))
        if len(figures.waiting) >= _WAITING_MAX:
            figures.put()
        if outcome.anomalies:
            self._anomalies.inc(outcome.anomalies)
        if self.log_calls or outcome.outcome != "complete":
            self._log.info(
                "call",
                request_id=call.id,
                account_id=call.account_id,
                key_id=call.key_id,
                endpoint=call.endpoint,
                model=call.model,
                upstream=call.upstream,
                outcome=outcome.outcome,
                status=outcome.status,
                basis=outcome.basis,
                charge_nano=charge.total_nano,
                seconds=round(seconds, 6),
            )

    def exceeded(self, call: Call, hold_nano: int, settled: Settled) -> None:
        """A call cost more than was held for it, so its upstream has reported more than its ceiling."""
        self._exceeded.labels(call.upstream, call.model).inc()
        if uncovered_nano := settled.shortfall_nano + settled.owed_nano:
            self._shortfall.labels(call.upstream, call.model).inc(uncovered_nano)
        self._log.warning(
            "charge exceeds ceiling",
            request_id=call.id,
            account_id=call.account_id,
            upstream=call.upstream,
            model=call.model,
            upstream_model=call.upstream_model,
            hold_nano=hold_nano,
            charge_nano=settled.charged_nano + settled.shortfall_nano,
            forgiven_nano=settled.shortfall_nano,
            owed_nano=settled.owed_nano,
        )

    def _figures(self, key: tuple[str, str, str]) -> _Figures:
        endpoint = key[0]
        return _Figures(
            calls=self._calls.labels(*key),
            charged=self._charged.labels(endpoint),
            seconds=self._seconds.labels(endpoint),
            counters={meter: self._units.labels(meter) for meter in _METERED},
        )

    def refused(self, code: str) -> None:
        """A request was refused."""
        self._refusals.labels(code).inc()

    def upstream_denied(self, upstream: str, status: int) -> None:
        """An upstream began to refuse Farebox's own credential."""
        self._denials.labels(upstream).inc()
        self._log.error("upstream refuses the credential", upstream=upstream, status=status)

    def models_unlisted(self, upstream: str, reason: str) -> None:
        """An upstream's own list of models could not be had; the last one stands."""
        self._log.warning("no list of models", upstream=upstream, reason=reason)

    def group_unknown(self, group: str) -> None:
        """Accounts are in a group that the configuration does not have: they are served as if in none.

        It is logged once until the next reload.
        """
        if group not in self.unknown_groups:
            self.unknown_groups.add(group)
            self._log.warning("unknown group", group=group)

    def upstream_accepts(self, upstream: str) -> None:
        """An upstream that refused the credential has answered well again."""
        self._log.warning("upstream accepts the credential again", upstream=upstream)

    def committed(self, commands: int, seconds: float) -> None:
        """A batch was committed."""
        self._batch.observe(commands)
        self._commit.observe(seconds)

    def outage(self, reason: str) -> None:
        """The ledger cannot be read or written."""
        self._log.error("ledger unavailable", reason=reason)

    def returned(self, seconds: float) -> None:
        """The ledger can be read and written again."""
        self._log.warning("ledger available again", after_seconds=round(seconds, 3))

    def clock_set(self, step_us: int) -> None:
        """The machine's wall clock was set, ahead or back."""
        self._log.warning("the clock was set", seconds=round(step_us / 1e6, 3))

    def fault(self, task: str, error: BaseException) -> None:
        """A background task failed; the first word of its name says which kind."""
        self.faults.labels(task.partition(" ")[0]).inc()
        self._log.error("task failed", task=task, fault=type(error).__name__, exc_info=error)

    def put(self, calls_in_flight: int) -> None:
        """Add all ends that wait to the figures, so that every worker can show them."""
        self._in_flight.set(calls_in_flight)
        for figures in self._kept.values():
            figures.put()

    def exposition(self) -> bytes:
        """All figures, as of the last `put`, in Prometheus' text format."""
        if self._figures_folder is None:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together, self._figures_folder)  # type: ignore[no-untyped-call]
        return generate_latest(together)

"""What operators see of calls: figures that add up and are there from the start."""

import ast
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from proxy.errors import CODES
from proxy.ledger.commands import Settled
from proxy.ledger.rows import Call, Outcome
from proxy.logs import configure_logging
from proxy.pricing.charge import Charge
from proxy.telemetry import FAULT_TASKS, Durations, Telemetry
from tests.sources import PROXY, Finding, Module

CALL = Call(
    id="req_1",
    account_id="acct_1",
    key_id="key_1",
    endpoint="chat.completions",
    model="m",
    upstream="up",
    upstream_model="m",
    stream=False,
    started_at_us=0,
)
USAGE = {"input_tokens": 38, "output_tokens": 24}
COMPLETE = Outcome("complete", 200, "reported", USAGE, 1_000)


def figure(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    telemetry.put(0)
    return telemetry.registry.get_sample_value(name, labels)


def test_each_call_is_counted_once() -> None:
    """A figure is the sum over all calls: asking for it neither loses nor repeats one."""
    telemetry = Telemetry()
    calls = 0
    for more in (1, 2, 3, 300):
        calls += more
        for _ in range(more):
            telemetry.ended(CALL, COMPLETE, Charge(500, (), "card@1"))
        for _ in range(2):
            labels = {"endpoint": CALL.endpoint, "outcome": "complete", "basis": "reported"}
            assert figure(telemetry, "farebox_calls_total", **labels) == calls
            assert figure(telemetry, "farebox_usage_total", meter="output_tokens") == 24 * calls
            charged = figure(telemetry, "farebox_charge_nano_usd_total", endpoint=CALL.endpoint)
            assert charged == 500 * calls
            assert figure(telemetry, "farebox_call_seconds_count", endpoint=CALL.endpoint) == calls


def test_meters_sum_over_every_kind_of_end() -> None:
    """Calls that ended in different ways add to the same figures of usage."""
    telemetry = Telemetry()
    left = Outcome("client_left", 499, "counted", USAGE, 1_000)
    for outcome in (COMPLETE, left):
        telemetry.ended(CALL, outcome, Charge(0, (), "card@1"))
    assert figure(telemetry, "farebox_usage_total", meter="input_tokens") == 2 * 38


@pytest.mark.parametrize("settled", [Settled(70, 30, 0, 0), Settled(100, 0, 0, -30, owed_nano=30)])
def test_what_no_funds_cover_is_counted_by_upstream_and_model(
    settled: Settled, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whether it is forgiven or owed. The log warns with account, upstream, model and both figures."""
    configure_logging("info", "json")
    telemetry = Telemetry()
    telemetry.exceeded(CALL, 60, settled)
    telemetry.exceeded(CALL, 60, Settled(90, 0, 5, 5))
    labels = {"upstream": "up", "model": "m"}
    assert figure(telemetry, "farebox_ceilings_exceeded_total", **labels) == 2
    assert figure(telemetry, "farebox_shortfall_nano_usd_total", **labels) == 30
    line = json.loads(capfd.readouterr().err.splitlines()[0])
    assert (line["level"], line["event"]) == ("warning", "charge exceeds ceiling")
    assert (line["account_id"], line["upstream"], line["model"]) == ("acct_1", "up", "m")
    assert (line["hold_nano"], line["charge_nano"]) == (60, 100)
    assert line["forgiven_nano"] + line["owed_nano"] == 30


@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 0.5 + 2**-20, 1.0, 2.0, 2 + 2**-20, 9.0])), max_size=3))
def test_durations_at_once_are_counted_as_one_by_one(rounds: list[list[float]]) -> None:
    """Also those on a bound, and with what the library does not document."""
    shown = []
    for kind in (Histogram, Durations):
        registry = CollectorRegistry()
        figures = kind("x", "x", ["endpoint"], registry=registry, buckets=(0.5, 1.0, 2.0)).labels("chat")
        for seconds in rounds:
            if isinstance(figures, Durations):
                figures.observe_all(seconds)
            else:
                for each in seconds:
                    figures.observe(each)
        shown.append(
            [line for line in generate_latest(registry).decode().split("\n") if "_created" not in line]
        )
    assert shown[0] == shown[1]


def test_what_has_not_happened_yet_is_a_zero() -> None:
    """Every code and every task is there from the start, so that the first time shows as an increase."""
    telemetry = Telemetry()
    for code in CODES:
        assert figure(telemetry, "farebox_refusals_total", code=code) == 0
    for task in FAULT_TASKS:
        assert figure(telemetry, "farebox_faults_total", task=task) == 0


def constants(module: Module) -> dict[str, ast.expr | None]:
    """The values of the names that a module gives a type."""
    return {
        node.target.id: node.value
        for node in module.nodes
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def named_tasks(module: Module) -> Iterator[Finding]:
    """The first word of each name that a module gives to a task, to rounds, or to a fault that it tells."""
    known = constants(module)
    for node in module.nodes:
        if not isinstance(node, ast.Call):
            continue
        names = [word.value for word in node.keywords if word.arg == "name"]
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if called in {"fault", "_tell_fault", "_on_fault"}:
            names = node.args[:1]
        elif called not in {"spawn", "repeat"}:
            continue
        for name in names:
            named = known.get(name.id, name) if isinstance(name, ast.Name) else name
            first = named.values[0] if isinstance(named, ast.JoinedStr) else named
            if isinstance(first, ast.Constant):
                yield node.lineno, str(first.value).partition(" ")[0]


def test_every_task_is_known() -> None:
    """A task with a new name has a figure of its own, which is there from the start like the others."""
    # The uploads to upstreams tell the loop of their faults, which are those of connections.
    found = {word for module in PROXY for _, word in named_tasks(module)} - {"upload"}
    assert found == set(FAULT_TASKS)

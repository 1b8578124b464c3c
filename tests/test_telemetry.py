"""The figures of calls add up, also when operators ask for them often."""

import json

import pytest

from proxy.ledger.commands import Settled
from proxy.ledger.rows import Call, Outcome
from proxy.pricing.charge import Charge
from proxy.telemetry import Telemetry, configure_logging

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
    settled: Settled, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether it is forgiven or owed. The log warns with account, upstream, model and both figures."""
    configure_logging("info", "json")
    telemetry = Telemetry()
    telemetry.exceeded(CALL, 60, settled)
    telemetry.exceeded(CALL, 60, Settled(90, 0, 5, 5))
    labels = {"upstream": "up", "model": "m"}
    assert figure(telemetry, "farebox_ceilings_exceeded_total", **labels) == 2
    assert figure(telemetry, "farebox_shortfall_nano_usd_total", **labels) == 30
    line = json.loads(capsys.readouterr().err.splitlines()[0])
    assert (line["level"], line["event"]) == ("warning", "charge exceeds ceiling")
    assert (line["account_id"], line["upstream"], line["model"]) == ("acct_1", "up", "m")
    assert (line["hold_nano"], line["charge_nano"]) == (60, 100)
    assert line["forgiven_nano"] + line["owed_nano"] == 30

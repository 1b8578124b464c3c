"""Each family of the bench is a call that Farebox serves, and is charged what the bench expects."""

import http.client
from collections.abc import Iterator

import pytest

from tests.bench import processes
from tests.bench.canned import FAMILIES, Family
from tests.bench.families import FamilyFigures, FamilySample, family_lines
from tests.bench.farebox import Books, Till, farebox
from tests.bench.processes import Server


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with processes.canned_upstream(tmp_path_factory.mktemp("upstream"), 1) as running:
        yield running


@pytest.fixture(scope="module")
def till(upstream: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Till]:
    with farebox(tmp_path_factory.mktemp("farebox"), upstream.port) as running:
        yield running


def answer_of(port: int, key: str, family: Family) -> bytes:
    headers = {"Content-Type": family.asked_as, "Authorization": f"Bearer {key}"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", family.path, family.body, headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, body
    return body


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_call_of_a_family_is_answered_as_upstream_and_charged_its_price(
    upstream: Server, till: Till, family: Family
) -> None:
    before = till.books()
    direct = answer_of(upstream.port, "sk-any", family)
    ours = answer_of(till.server.port, till.server.key, family)
    # Of a chat's stream the event with the usage is kept back, as nobody has asked for it.
    assert not family.answer or ours == direct == b"".join(family.answer)
    after = till.books()
    assert (after.charged_nano - before.charged_nano, after.open_holds) == (family.price_nano, 0)


def test_a_family_is_compared_round_by_round() -> None:
    """1.5, 2.0 and 1.3 make 1.5, whatever the medians are."""
    samples = [
        FamilySample(family.name, subject, number, 10, cpu_us)
        for family in FAMILIES
        for subject, figures in (("passthrough", (100, 200, 100)), ("farebox", (150, 400, 130)))
        for number, cpu_us in enumerate(figures)
    ]
    lines = list(family_lines(FamilyFigures(samples, Books(10**9, 0), Books(10**9, 1))))
    assert lines[2] == "| chat | 100 us | 150 us | +50 us | 1.50 x | 30 |"
    assert len(lines) == len(FAMILIES) + 3
    assert lines[-1] == "the account was charged 1.00 USD of 1.00, 0 holds are open"
    assert not FamilyFigures(samples, Books(10**9, 0), Books(10**9, 1)).adds_up

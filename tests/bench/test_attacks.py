"""The figures of the attacks: rounds are compared with themselves, and the bounds are judged."""

import pytest

from tests.bench.attackers import KINDS, Attack, requests_of
from tests.bench.attacks import ALL, CALM, MAX_RATIO, MEMORY_BYTES, AttackFigures, AttackSample, attack_lines
from tests.bench.loads import Spread


def sample(attackers: str, number: int, p99_us: int, memory_bytes: int = 1) -> AttackSample:
    return AttackSample(attackers, number, Spread(p99_us // 2, p99_us), 100.0, memory_bytes)


@pytest.mark.parametrize(
    ("p99s_us", "memory_bytes", "adds_up"),
    [
        ([(10, 100)], 1, True),
        ([(10, 101)], 1, False),
        ([(10, 500), (50, 500)], 1, True),
        ([(10, 20)], MEMORY_BYTES + 1, False),
    ],
)
def test_waits_are_compared_within_a_round(
    p99s_us: list[tuple[int, int]], memory_bytes: int, adds_up: bool
) -> None:
    """The best round decides about waits, as a busy machine only makes them longer; memory holds in each."""
    assert MAX_RATIO == 10
    samples = []
    for number, (calm_us, beside_us) in enumerate(p99s_us):
        samples += [sample(CALM, number, calm_us), sample(ALL, number, beside_us, memory_bytes)]
    figures = AttackFigures(samples)
    assert figures.adds_up == adds_up
    assert len(list(attack_lines(figures))) == 3 + 2


def test_each_kind_of_attacker_sends_whole_requests() -> None:
    """A body is as long as its head says, and only those that have a key send one."""
    for kind in KINDS:
        key = "" if kind == "stranger" else "sk-fbx-1"
        for request in requests_of(Attack(kind, 1, key, "m")):
            head, _, body = request.partition(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            assert int(length or 0) == len(body)
            assert (b"sk-fbx-1" in head) == bool(key)

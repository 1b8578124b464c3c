"""The cost goes into the usage object at the top level, and nothing else changes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.reading.steps import STEP_BYTES
from proxy.endpoints.tallies.cost import event_with_cost
from proxy.endpoints.tallies.cost import with_cost as pieces_with_cost
from proxy.endpoints.tallies.lines import name_and_data
from tests.endpoints.events import usage_event


def with_cost(reply: bytes, cost: str) -> bytes:
    """The reply with its cost, or as it was."""
    pieces = pieces_with_cost(reply, cost)
    return reply if pieces is None else b"".join(pieces)


@pytest.mark.parametrize(
    ("reply", "changed"),
    [
        (b'{"usage":{"a":1}}', b'{"usage":{"a":1,"cost":"0.01"}}'),
        (b'{"usage": { "a": 1 } , "b": 2}\n', b'{"usage": { "a": 1,"cost":"0.01" } , "b": 2}\n'),
        (b'{"usage":{}}', b'{"usage":{"cost":"0.01"}}'),
        # An upstream's own cost is what it bills us.
        (b'{"usage":{"a":1,"cost":3.5,"b":2}}', b'{"usage":{"a":1,"cost":"0.01","b":2}}'),
        (
            b'{"x_groq":{"usage":{"a":1}},"usage":{"a":1}}',
            b'{"x_groq":{"usage":{"a":1}},"usage":{"a":1,"cost":"0.01"}}',
        ),
        (
            b'{"usage":{"a":1},"x_groq":{"usage":{"a":1}}}',
            b'{"usage":{"a":1,"cost":"0.01"},"x_groq":{"usage":{"a":1}}}',
        ),
        # A lone surrogate beside it is no hindrance.
        (b'{"t":"\\ud83d","usage":{"a":1}}', b'{"t":"\\ud83d","usage":{"a":1,"cost":"0.01"}}'),
        # The same text inside a string is no usage object.
        (
            b'{"usage":{"a":1},"t":"\\"usage\\":{\\"a\\":1}"}',
            b'{"usage":{"a":1,"cost":"0.01"},"t":"\\"usage\\":{\\"a\\":1}"}',
        ),
    ],
)
def test_the_cost_is_added_where_it_belongs(reply: bytes, changed: bytes) -> None:
    assert with_cost(reply, "0.01") == changed


@pytest.mark.parametrize(
    "reply",
    [b"", b"[]", b"not JSON", b'{"a":1}', b'{"usage":null}', b'{"usage":[1]}', b'{"x":{"usage":{"a":1}}}'],
)
def test_a_reply_without_a_usage_object_is_left_alone(reply: bytes) -> None:
    assert with_cost(reply, "0.01") == reply


def test_the_cost_of_an_event_is_in_its_data() -> None:
    event = b": note\r\n" + usage_event(7, 3).replace(b"\n", b"\r\n")
    changed = event_with_cost(event, "0.000055")
    assert changed is not None
    assert b"".join(changed) == event.replace(b'"total_tokens": 10', b'"total_tokens": 10,"cost":"0.000055"')


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_an_event_with_its_data_on_several_lines_keeps_its_fields(end: bytes) -> None:
    """The data is what it was, with the cost in it, however its lines were cut."""
    event = end.join((b"id: 7", b'data: {"usage":', b'data:  {"total_tokens": 10}}', b"", b""))
    pieces = event_with_cost(event, "0.1")
    assert pieces is not None
    changed = b"".join(pieces)
    assert changed.startswith(b"id: 7" + end)
    assert changed.endswith(end * 2)
    assert name_and_data(changed)[1] == b'{"usage":\n {"total_tokens": 10,"cost":"0.1"}}'


@pytest.mark.parametrize("own", ["0.0007", 0.0007, None, {"total_cost": 1}, [1]])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_figure_of_the_upstreams_own_is_replaced(own: object, mark: bytes) -> None:
    reply = mark + json.dumps({"usage": {"cost": own, "total_tokens": 10}}).encode()
    changed = with_cost(reply, "0.1")
    assert changed.startswith(mark)
    assert json.loads(changed.removeprefix(mark))["usage"] == {"cost": "0.1", "total_tokens": 10}


def test_the_cost_goes_into_groqs_usage_where_there_is_no_other() -> None:
    usage = {"total_tokens": 10}
    only = json.loads(with_cost(json.dumps({"x_groq": {"id": "x", "usage": usage}}).encode(), "0.1"))
    assert only == {"x_groq": {"id": "x", "usage": {"total_tokens": 10, "cost": "0.1"}}}
    both = json.loads(with_cost(json.dumps({"x_groq": {"usage": usage}, "usage": usage}).encode(), "0.1"))
    assert both == {"x_groq": {"usage": usage}, "usage": {"total_tokens": 10, "cost": "0.1"}}


MEMBERS = st.dictionaries(st.sampled_from(["usage", "a", "cost", "é"]), st.integers() | st.text(max_size=9))


@given(MEMBERS, MEMBERS, st.booleans(), st.sampled_from([None, 1]))
def test_a_reply_decodes_to_what_it_was_and_the_cost(
    reply: dict[str, object], usage: dict[str, object], ascii_only: bool, indent: int | None
) -> None:
    def written() -> bytes:
        return json.dumps({**reply, "usage": usage}, ensure_ascii=ascii_only, indent=indent).encode()

    before = written()
    usage["cost"] = "1.50"
    assert json.loads(with_cost(before, "1.50")) == json.loads(written())


def test_the_usage_object_is_told_from_all_its_copies() -> None:
    copies = ",".join(['{"usage":{"a":1}}'] * 20)
    reply = f'{{"usage":{{"a":1}},"copies":[{copies}]}}'.encode()
    assert with_cost(reply, "0.01") == reply.replace(b'{"a":1}', b'{"a":1,"cost":"0.01"}', 1)


def test_of_several_usage_objects_the_last_one_has_the_cost() -> None:
    reply = b'{"usage":{"a":1},"\\u0075sage" : {"a":1} }'
    assert with_cost(reply, "0.01") == b'{"usage":{"a":1},"\\u0075sage" : {"a":1,"cost":"0.01"} }'
    assert with_cost(reply := b'{"usage":{"a":1},"usage":null}', "0.01") == reply


def test_a_lone_surrogate_in_a_usage_object_is_kept() -> None:
    reply = b'{"usage":{"a":"\\ud800"}}'
    assert with_cost(reply, "0.01") == b'{"usage":{"a":"\\ud800","cost":"0.01"}}'


def test_a_usage_object_without_end_is_left_alone() -> None:
    reply = b'{"usage":{"a":[' + b"1," * STEP_BYTES + b"1]}}"
    assert with_cost(reply, "0.01") == reply

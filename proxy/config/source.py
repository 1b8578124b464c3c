"""The text of a configuration as a tree of plain values: YAML with variables filled in, and the lines."""

import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Final, NoReturn

import yaml

from proxy.config.faults import ConfigError, ConfigFault, Findings, Lines
from proxy.validation import Path

__all__ = ["ConfigError", "ConfigFault", "Tree", "load_tree"]

Tree = dict[str, "Tree"] | list["Tree"] | str | int | float | bool | None

MAX_BYTES: Final = 1024 * 1024
MAX_VALUES: Final = 100_000
"""With aliases a short text can stand for any number of values; no configuration needs so many."""
MAX_DEPTH: Final = 32

_TAG: Final = "tag:yaml.org,2002:"
_WHOLE: Final = re.compile(r"[-+]?(0|[1-9][0-9_]{0,30})\Z")
_REAL: Final = re.compile(r"[-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?\Z")
_BOOLEANS: Final = yaml.SafeLoader.bool_values

# In order: `$${` for a literal `${`; a variable, perhaps with a default; and `${` with neither after it.
_VARIABLE: Final = re.compile(
    r"\$(?P<literal>\$\{)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(:-(?P<default>[^}]*))?\}|(?P<broken>\$\{)"
)


def load_tree(path: FilePath | str, environ: Mapping[str, str]) -> tuple[dict[str, Tree], Lines]:
    """Read a YAML file into plain values, and the line of each. `file` in faults is `path` as given.

    `${NAME}` and `${NAME:-default}` in text are replaced after parsing, so a value can never become YAML.
    The default also replaces an empty variable. Raises ConfigError with every fault in keys, tags and
    variables, or with the first in the YAML itself.
    """
    file = str(path)
    root = _compose(file, _read(file))
    maker = _TreeMaker(file, environ)
    tree = maker.value_of(root, ()) if root is not None else {}
    if not isinstance(tree, dict):
        maker.findings.fault((), "the file must hold a mapping of keys, such as `server:`")
        tree = {}
    maker.findings.conclude()
    return tree, maker.findings.lines


def _read(file: str) -> str:
    try:
        with FilePath(file).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise _whole_file_fault(file, f"is larger than {MAX_BYTES} bytes, which no configuration is")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise _whole_file_fault(file, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise _whole_file_fault(file, "is not UTF-8 text", line) from None


def _compose(file: str, text: str) -> yaml.Node | None:
    """The YAML's nodes, nothing constructed.

    The parser in C is not used: it is faster, but deep nesting crashes the process.
    """
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line if error.problem_mark else 0
        message = f"is not YAML: {', '.join(filter(None, [error.context, error.problem]))}"
        if "${" in "".join(text.splitlines()[line : line + 1]):
            message += "; inside {} and [], ${...} needs quotes around it"
        raise _whole_file_fault(file, message, line + 1) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _whole_file_fault(file, f"holds the character {error.character!r}", line) from None
    except RecursionError:
        raise _whole_file_fault(file, f"is nested more than {MAX_DEPTH} deep") from None
    return node


def _whole_file_fault(file: str, message: str, line: int = 0) -> ConfigError:
    return ConfigError([ConfigFault(file, line, "", None, message)])


class _TreeMaker:
    """Makes the tree from YAML nodes. `findings` has the faults, and the lines so far."""

    def __init__(self, file: str, environ: Mapping[str, str]) -> None:
        self._by_path: dict[Path, int] = {}
        self.findings = Findings(Lines(file, self._by_path))
        self._environ = environ

    def value_of(self, node: yaml.Node, path: Path) -> Tree:
        """The value of `node`. What a configuration cannot hold is a fault, and gives None."""
        self._by_path.setdefault(path, node.start_mark.line + 1)
        if len(path) > MAX_DEPTH:
            self._give_up(path, f"is nested more than {MAX_DEPTH} deep")
        if len(self._by_path) > MAX_VALUES:
            self._give_up(path, f"makes the file hold more than {MAX_VALUES} values")
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.value_of(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _give_up(self, path: Path, message: str) -> NoReturn:
        self.findings.fault(path[:1], f"{message}, with what its aliases stand for")
        raise ConfigError(self.findings.faults)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Tree]:
        mapping: dict[str, Tree] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag != f"{_TAG}str":
                self._key_fault(key, path, line)
                continue
            place = (*path, key.value)
            if key.value in mapping:
                self.findings.fault(place, f"is written again in line {line}; once is enough")
                continue
            self._by_path[place] = line
            mapping[key.value] = self.value_of(value, place)
        return mapping

    def _key_fault(self, key: yaml.Node, path: Path, line: int) -> None:
        if not isinstance(key, yaml.ScalarNode):
            message = "has a list or a mapping for a key; keys are text"
        elif key.tag == f"{_TAG}merge":
            message = "has a merge key `<<`, which is not read here; write its keys out"
        else:
            message = f"has a key {key.value!r} that YAML does not read as text; write it in quotes"
        self.findings.fault(path, f"{message} (line {line})")

    def _scalar(self, node: yaml.Node, path: Path) -> Tree:
        kind, text = node.tag.removeprefix(_TAG), node.value
        if isinstance(node, yaml.ScalarNode):
            if kind == "str":
                return self._filled(text, path)
            if kind == "null":
                return None
            if kind == "bool" and text.lower() in _BOOLEANS:
                return _BOOLEANS[text.lower()]
            if kind == "int" and _WHOLE.match(text):
                return int(text.replace("_", ""))
            if kind == "float" and _REAL.match(text):
                return float(text.replace("_", ""))
        self.findings.fault(
            path, f"is read by YAML as {kind!r}; write a plain decimal number, or text in quotes"
        )
        return None

    def _filled(self, text: str, path: Path) -> str:
        """`text` with its variables replaced."""

        def value_of(match: re.Match[str]) -> str:
            if match["literal"]:
                return match["literal"]
            if match["broken"]:
                self.findings.fault(
                    path,
                    "has a `${` without a variable; write ${NAME}, ${NAME:-default}, or $${ for a literal",
                )
                return ""
            return self._variable(match["name"], match["default"], path)

        return _VARIABLE.sub(value_of, text)

    def _variable(self, name: str, default: str | None, path: Path) -> str:
        value = self._environ.get(name)
        if default is not None:
            value = value or default
        if value is None:
            self.findings.fault(
                path, f"needs the environment variable {name}, which is not set; ${{{name}:-}} allows that"
            )
            return ""
        if not value.isprintable() and any("\ud800" <= character <= "\udfff" for character in value):
            self.findings.fault(path, f"needs the environment variable {name}, which is not UTF-8 text")
            return ""
        return value

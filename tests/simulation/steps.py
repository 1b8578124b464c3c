"""A history as a list of steps, which a simulation makes up, a failure prints, and a replay repeats."""

from collections.abc import Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from proxy.ledger.commands import COMMANDS, Command

if TYPE_CHECKING:
    AnyCommand = Command
else:
    # To be read from a file, the commands must be listed where the type is.
    AnyCommand = reduce(or_, COMMANDS)

Fault = Literal["in_rules", "at_commit", "after_commit"]
"""Where a batch breaks off: as its rules run, as it is committed, or between the commit and the answer."""


class Open(msgspec.Struct, frozen=True, tag=True):
    """A process opens a store. Nothing happens when it has one."""

    process: int


class Kill(msgspec.Struct, frozen=True, tag=True):
    """A process ends with its calls in flight. Nothing happens when it is not there."""

    process: int


class Rescue(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A process closes the holds of processes that are gone, as every process does when it starts.

    With a `fault` it ends of that as it does so.
    """

    process: int
    at_us: int
    fault: Fault | None = None


class Batch(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A process carries out commands, and may break off: `fault` says where, `dies` whether it ends of it.

    A fault in the rules comes after the first `fault_after` commands. The owner of a hold is filled in when
    the batch is carried out. A process that is not there opens a store first.
    """

    process: int
    commands: tuple[AnyCommand, ...]
    fault: Fault | None = None
    fault_after: int = 0
    dies: bool = False


Step = Open | Kill | Rescue | Batch

_decode = msgspec.json.Decoder(Step).decode


def write_steps(path: Path, steps: Sequence[Step]) -> None:
    """Write a history as JSON, one step a line."""
    path.write_bytes(b"".join(msgspec.json.encode(step) + b"\n" for step in steps))


def read_steps(path: Path) -> list[Step]:
    """Read a history. Raises msgspec.DecodeError for what is none."""
    return [_decode(line) for line in path.read_bytes().splitlines() if line.strip()]


def described(step: Step) -> list[str]:
    """A step in words: what happens to which process, and each command on a line of its own."""
    match step:
        case Open():
            return [f"process {step.process} opens a store"]
        case Kill():
            return [f"process {step.process} is killed"]
        case Rescue():
            end = f", and dies {step.fault}" if step.fault else ""
            return [f"process {step.process} closes the holds of those gone, at {step.at_us}{end}"]
        case Batch():
            end = f", breaks off {step.fault}" if step.fault else ""
            end += " and dies" if step.dies else ""
            return [
                f"process {step.process} carries out{end}:",
                *(f"    {command}" for command in step.commands),
            ]


def account_of(command: Command) -> str:
    """The account a command is about, by what it says."""
    call = getattr(command, "call", None)
    return str(call.account_id if call is not None else getattr(command, "account_id", ""))

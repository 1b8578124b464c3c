"""`python -m tests.bench`: what Farebox costs, each part in one run of its own.

`http` is Farebox beside its upstream itself and a bare pass-through, `families` is the processor time of a
call of each API family beside that of the pass-through, and `attacks` is what a paying caller notices of
those who attack Farebox. The other parts are of the ledger, on SQLite and on PostgreSQL with every commit
synced: `pairs` of authorize and settle, `metered` calls over HTTP, `reads` of a ledger with many calls, and
`growth`, which is pairs without calls and with many.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tests.bench.attacks import attacks
from tests.bench.engines import engines
from tests.bench.families import families
from tests.bench.forwarding import Extent as HttpExtent
from tests.bench.forwarding import http
from tests.bench.report import Report, machine_of, show, write_json
from tests.bench.storage import PARTS as LEDGER_PARTS
from tests.bench.storage import Extent as LedgerExtent
from tests.bench.storage import Storage

PARTS = ("http", "families", "attacks", *LEDGER_PARTS)
FULL, QUICK = HttpExtent(rounds=5, seconds=4.0), HttpExtent(rounds=1, seconds=1.0)
ROWS, QUICK_ROWS = 10_000_000, 200_000
OUTPUTS = {"http": "bench.json", "families": "bench.json", "attacks": "bench-attacks.json"}
LEDGER_OUTPUT = "bench-ledger.json"
"""The file of the figures, by the part that is asked for first."""
FILE_WIDTH = 120
"""Columns of the table where no terminal tells its own."""


def run(options: argparse.Namespace, folder: Path, console: Console) -> Report:
    """Measure the parts that are asked for; databases and logs are made in `folder`."""
    machine = machine_of(folder)
    found = http(QUICK if options.quick else FULL, folder, console) if "http" in options.parts else None
    rounds, seconds = (1, 0.5) if options.quick else (3, 3.0)
    by_family = families(rounds, seconds, folder, console) if "families" in options.parts else None
    rounds, seconds = (1, 1.0) if options.quick else (3, 5.0)
    attacked = attacks(rounds, seconds, folder, console) if "attacks" in options.parts else None
    if not set(LEDGER_PARTS) & set(options.parts):
        return Report(machine, found, attacks=attacked, families=by_family)
    rows = options.rows or (QUICK_ROWS if options.quick else ROWS)
    extent = LedgerExtent(rows, rounds=1, seconds=0.5) if options.quick else LedgerExtent(rows, 3, 2.0)
    with engines(folder) as both:
        stored = Storage(extent, both, folder, console).figures(options.parts)
    return Report(machine, found, stored, attacked, by_family)


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line, read. Ends the process when it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; http by default")
    parser.add_argument("--quick", action="store_true", help="one short round: shows that it works")
    parser.add_argument(
        "--rows", type=int, help=f"calls in the ledger for reads and growth ({ROWS:_}, quick {QUICK_ROWS:_})"
    )
    parser.add_argument("--plans", action="store_true", help="tell by which plan each read is carried out")
    parser.add_argument(
        "--output", type=Path, help="where the figures go (by default bench.json or the like)"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(), help="a folder on the disk to measure (%(default)s)"
    )
    options = parser.parse_args(arguments)
    options.parts = options.parts or ["http"]
    options.output = options.output or Path(OUTPUTS.get(options.parts[0], LEDGER_OUTPUT))
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; write some of {', '.join(PARTS)}")
    if options.rows is not None and options.rows < 1:
        parser.error("--rows has to be 1 or more")
    return options


def main(arguments: Sequence[str]) -> int:
    """Parse the command line, run, print and write; the result is 1 when the books do not add up."""
    options = options_of(arguments)
    console = Console() if sys.stdout.isatty() else Console(width=FILE_WIDTH)
    with tempfile.TemporaryDirectory(prefix="farebox-bench-", dir=options.folder) as folder:
        # A server that is not run by root has to find its own folder in this one.
        Path(folder).chmod(0o755)
        report = run(options, Path(folder), console)
    show(report, console, plans=options.plans)
    write_json(report, options.output)
    return 0 if report.adds_up else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Quantities that are worked out of several figures, as a configuration has them: of tools and of events."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Literal, Protocol, TypeVar

from proxy.config.faults import Findings
from proxy.endpoints.formulas import Formula, Part
from proxy.endpoints.sources import Source
from proxy.endpoints.tool_plan import Measure
from proxy.validation import Path


class BoundedSchema(Protocol):
    """What the figures of a formula have in common, wherever they are told."""

    @property
    def chunk_characters(self) -> int | None:
        """The characters of a chunk, where chunks of a text count."""
        ...

    @property
    def most(self) -> str | None:
        """The most that it may be."""
        ...

    @property
    def otherwise(self) -> str | None:
        """What it is where it is not told."""
        ...


PartT = TypeVar("PartT")


def formula_of(
    product: Sequence[PartT],
    sum_: Sequence[PartT],
    per: int | None,
    part_of: Callable[[PartT, Path], Part | None],
    path: Path,
) -> Formula | None:
    """The formula of one of two lists of figures; None where one of these has a fault."""
    kind: Literal["product", "sum"] = "product" if product else "sum"
    found = [part_of(each, (*path, kind, index)) for index, each in enumerate(product or sum_)]
    parts = tuple(part for part in found if part is not None)
    return Formula(kind, parts, per or 1) if len(parts) == len(found) else None


def bounded_part(schema: BoundedSchema, source: Source, path: Path, findings: Findings) -> Part:
    """A figure at a source, with its bounds. Faults go to `findings`."""
    most, otherwise = (None if text is None else Fraction(text) for text in (schema.most, schema.otherwise))
    if most is not None and otherwise is not None and otherwise > most:
        findings.fault((*path, "otherwise"), "is more than `most`", schema.otherwise)
    return Part(source, most, otherwise, schema.chunk_characters or 0)


def worked_out(meter: str, most: int, formula: Formula) -> Measure:
    """The measure of a formula."""
    return Measure(meter, formula.parts[0].source, most, formula=formula)

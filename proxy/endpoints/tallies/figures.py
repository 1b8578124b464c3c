"""Figures of usage objects: the largest of each field in several, and how many were no sane quantities."""

from proxy.metering.usage import MAX_QUANTITY, sane_quantity


class Figures:
    """What was told so far, by field: in several usage objects the largest stands, never a sum.

    A field that is no sane quantity counts as missing and as an anomaly; null is only missing.
    """

    __slots__ = ("_fields", "_odd")

    def __init__(self) -> None:
        self._fields: dict[str, int] = {}
        self._odd: set[str] = set()

    @property
    def anomalies(self) -> int:
        """How many fields were no sane quantity."""
        return len(self._odd)

    def _note(self, field: str, value: object) -> None:
        """Take one figure into account."""
        if value is None:
            return
        quantity = value if type(value) is int and 0 <= value <= MAX_QUANTITY else self._sane(field, value)
        if quantity is not None and quantity > self._fields.get(field, -1):
            self._fields[field] = quantity

    def _sane(self, field: str, value: object) -> int | None:
        """The quantity that a figure is; None for none, and for what is odd, which is noted."""
        quantity = None if value is None else sane_quantity(value)
        if quantity is None and value is not None:
            self._odd.add(field)
        return quantity

    def _note_holder(self, field: str, value: object) -> None:
        """Note what should be an object and is none; null is only missing."""
        if value is not None:
            self._odd.add(field)

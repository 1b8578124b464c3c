"""The kinds of values that a configuration has, and the base of its schema."""

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct

from proxy.endpoints.registry import ENDPOINT_NAMES

Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        extra={"wanted": "a name: letters, digits, '.', '_' and '-', at most 100, a letter or digit first"},
    ),
]
Money = Annotated[
    str,
    Meta(
        examples=["0.15", "500 credits"],
        extra={"wanted": 'an amount in quotes: US dollars such as "0.15", or "<number> <unit name>"'},
    ),
]
Multiplier = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{1,4}(\.[0-9]{1,6})?$",
        examples=["0.5", "2"],
        extra={"wanted": 'a decimal number in quotes such as "0.5" or "2", below 10000'},
    ),
]
AccountId = Annotated[
    str,
    Meta(pattern=r"^acct_[a-z0-9]{1,40}$", extra={"wanted": "the id of an account, such as acct_01m7xe0h"}),
]
Percent = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{1,4}(\.[0-9]{1,6})?%$",
        examples=["20%", "2.5%"],
        extra={"wanted": 'a percentage in quotes such as "20%", below 10000%'},
    ),
]
Moment = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?Z)?$",
        examples=["2027-01-01", "2027-01-01T06:00:00Z"],
        extra={"wanted": "a day or a moment in UTC, such as 2027-01-01 or 2027-01-01T06:00:00Z"},
    ),
]
Date = Annotated[
    str,
    Meta(
        pattern=r"^20[1-9][0-9]-[0-9]{2}-[0-9]{2}$",
        examples=["2027-01-01"],
        extra={"wanted": "a day such as 2027-01-01"},
    ),
]
TimeOfDay = Annotated[
    str,
    Meta(
        pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$",
        examples=["08:30", "24:00"],
        extra={"wanted": 'a time of the day in quotes such as "08:30", from "00:00" to "24:00"'},
    ),
]
Quantity = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$",
        examples=["20", "0.5"],
        extra={"wanted": 'a decimal number in quotes such as "20" or "0.5"'},
    ),
]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Count = Annotated[int, Meta(ge=1, le=10**12)]
ChargedStatus = Annotated[int, Meta(ge=300, le=599)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Text = Annotated[str, Meta(min_length=1)]
Texts = Annotated[list[Text], Meta(min_length=1)]
if TYPE_CHECKING:
    EndpointName = str
else:
    EndpointName = Literal[ENDPOINT_NAMES]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


def doc(text: str, *, min_length: int | None = None) -> Meta:
    """The meaning of a key, and the fewest items it may hold."""
    return Meta(description=text, min_length=min_length)


class Schema(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all: frozen, and an unknown key is a fault."""

"""The schema of what calls of a path are metered by."""

from typing import Annotated

from proxy.config.values import Quantity, Schema, Text, doc


class MultipleSchema(Schema, frozen=True, kw_only=True):
    """How many times a call may use the `most` of a measure, as its request says."""

    request: Annotated[Text | None, doc("A JSON pointer into the body; of an array the items count.")] = None
    request_header: Annotated[Text | None, doc("A header of the request.")] = None
    query: Annotated[Text | None, doc("A field of the query.")] = None
    otherwise: Annotated[Quantity, doc("How many times where the request does not say, or says 0.")]


class MeasureSchema(Schema, frozen=True, kw_only=True):
    """Where the quantity of a meter is told, in exactly one of five places, and its bound."""

    answer: Annotated[Text | None, doc("A JSON pointer into the answer; of an array the items count.")] = None
    answer_header: Annotated[Text | None, doc("A header of the answer.")] = None
    request: Annotated[Text | None, doc("A JSON pointer into the body; of an array the items count.")] = None
    request_header: Annotated[Text | None, doc("A header of the request.")] = None
    query: Annotated[Text | None, doc("A field of the query.")] = None
    most: Annotated[Quantity, doc("The most that a call uses, or each of `for_each`; so much is held.")]
    otherwise: Annotated[
        Quantity | None, doc("What is charged where the quantity is not told; without it, the most.")
    ] = None
    for_each: Annotated[
        MultipleSchema | None, doc("What of the request the most of a call is a multiple of.")
    ] = None


class ParameterSchema(Schema, frozen=True, kw_only=True):
    """Where a value of the request is that prices may depend on, in exactly one of three places."""

    request: Annotated[Text | None, doc("A JSON pointer into the body.")] = None
    request_header: Annotated[Text | None, doc("A header of the request.")] = None
    query: Annotated[Text | None, doc("A field of the query.")] = None
    otherwise: Annotated[str | None, doc("Its value where the request has none.")] = None


class FailureSchema(Schema, frozen=True, kw_only=True):
    """What of an answer tells that it is an error in spite of its status, so that it is free."""

    answer: Annotated[Text, doc("A JSON pointer into the answer.")]
    equals: Annotated[
        Text | None,
        doc("The value there, in any case; without it, any but null, false, 0 and what is empty."),
    ] = None

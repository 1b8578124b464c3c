"""The schema of what calls of a path are metered by."""

from typing import Annotated, Literal

from msgspec import field

from proxy.config.values import Count, Quantity, Schema, Text, Texts, doc


class MultipleSchema(Schema, frozen=True, kw_only=True):
    """How many times a call may use the `most` of a measure, as its request says."""

    request: Annotated[Text | None, doc("A JSON pointer into the body; of an array the items count.")] = None
    request_header: Annotated[Text | None, doc("A header of the request.")] = None
    query: Annotated[Text | None, doc("A field of the query.")] = None
    otherwise: Annotated[Quantity, doc("How many times where the request does not say, or says 0.")]


class PartSchema(Schema, frozen=True, kw_only=True):
    """One of several figures that a quantity is worked out of, in exactly one of five places."""

    answer: Annotated[Text | None, doc("A JSON pointer into the answer; of an array the items count.")] = None
    answer_header: Annotated[Text | None, doc("A header of the answer.")] = None
    request: Annotated[Text | None, doc("A JSON pointer into the body; of an array the items count.")] = None
    request_header: Annotated[Text | None, doc("A header of the request.")] = None
    query: Annotated[Text | None, doc("A field of the query.")] = None
    chunk_characters: Annotated[
        Count | None,
        doc("Instead, how many chunks of so many characters the text in the body has, or all of its texts."),
    ] = None
    most: Annotated[
        Quantity | None, doc("The most that it may be; needed by what only the answer tells.")
    ] = None
    otherwise: Annotated[
        Quantity | None,
        doc("Its value where it is not told; without it a request is refused, and an answer has the most."),
    ] = None


class MeasureSchema(Schema, frozen=True, kw_only=True):
    """Where the quantity of a meter is told, in exactly one of five places, or of what, and its bound."""

    answer: Annotated[Text | None, doc("A JSON pointer into the answer; of an array the items count.")] = None
    answer_header: Annotated[Text | None, doc("A header of the answer.")] = None
    request: Annotated[Text | None, doc("A JSON pointer into the body; of an array the items count.")] = None
    request_header: Annotated[Text | None, doc("A header of the request.")] = None
    query: Annotated[Text | None, doc("A field of the query.")] = None
    product: Annotated[list[PartSchema], doc("Figures of which the product is the quantity.")] = field(
        default_factory=list
    )
    sum: Annotated[list[PartSchema], doc("Figures of which the sum is the quantity.")] = field(
        default_factory=list
    )
    per: Annotated[
        Count | None, doc("What the product or the sum is divided by; a unit that has begun counts.")
    ] = None
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


class JobIdSchema(Schema, frozen=True, kw_only=True):
    """Where the answer to a call has the id of its job, in exactly one of two places."""

    answer: Annotated[Text | None, doc("A JSON pointer into the answer.")] = None
    answer_header: Annotated[
        Text | None, doc("A header of the answer; of an address the last segment is the id.")
    ] = None


class CancelSchema(Schema, frozen=True, kw_only=True):
    """What a job is cancelled by."""

    method: Annotated[Literal["POST", "PUT", "DELETE"], doc("The method.")]
    below: Annotated[str, doc("The path below the job's own, such as /cancel.")] = ""


class JobSchema(Schema, frozen=True, kw_only=True):
    """How calls of its path go on as jobs, which are asked for until they have ended."""

    id: JobIdSchema
    path: Annotated[Text, doc("The path of one job, which ends with /{id}; its id is put there.")]
    target_path: Annotated[Text | None, doc("That path at the upstream; without it, the same.")] = None
    poll: Annotated[str, doc("The path below the job's own where its status is told, such as /status.")] = ""
    status: Annotated[Text, doc("A JSON pointer to the status in what is told there.")]
    complete: Annotated[Texts, doc("The statuses with which a job has ended and is charged, in any case.")]
    failed: Annotated[
        list[Text], doc("The statuses with which a job has ended and is free; with any other one it runs.")
    ] = field(default_factory=list)
    reads: Annotated[
        list[Text], doc("Other paths below the job's own that may be asked for, such as /result.")
    ] = field(default_factory=list)
    cancel: CancelSchema | None = None

"""The schema of groups: limits, models and prices of many accounts, and what these get and pay in turn."""

from typing import Annotated, Final, Literal

from msgspec import Meta, field

from proxy.config.values import Count, Money, Multiplier, Name, Percent, Schema, Text, Texts, doc

NO_LIMIT_WORD: Final = "none"
NEXT_WORD: Final = "next"
EVER_WORD: Final = "ever"

Priority = Annotated[int, Meta(ge=0, le=100)]
LotKind = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9_-]{0,31}$",
        extra={"wanted": "1 to 32 of a-z, 0-9, _ and -, a letter first"},
    ),
]


class LimitsSchema(Schema, frozen=True, kw_only=True):
    """Limits of every account, or of those of a group, that set none of their own; without one, none."""

    day: Annotated[Money | None, doc("Spending in one UTC day, or none.")] = None
    week: Annotated[Money | None, doc("Spending in one ISO week (UTC), or none.")] = None
    month: Annotated[Money | None, doc("Spending in one calendar month (UTC), or none.")] = None
    total: Annotated[Money | None, doc("Spending ever, or none.")] = None
    rpm: Annotated[Count | Literal["none"] | None, doc("Calls a minute, or none.")] = None
    tpm: Annotated[Count | Literal["none"] | None, doc("Input and output tokens a minute, or none.")] = None
    concurrency: Annotated[Count | Literal["none"] | None, doc("Calls at once, or none.")] = None


class EndUserLimitsSchema(Schema, frozen=True, kw_only=True):
    """Limits of each end user of an account that has none of its own."""

    day: Annotated[Money | None, doc("Spending in one UTC day, or none.")] = None
    week: Annotated[Money | None, doc("Spending in one ISO week (UTC), or none.")] = None
    month: Annotated[Money | None, doc("Spending in one calendar month (UTC), or none.")] = None
    rpm: Annotated[Count | Literal["none"] | None, doc("Calls a minute, or none.")] = None
    tpm: Annotated[Count | Literal["none"] | None, doc("Input and output tokens a minute, or none.")] = None
    concurrency: Annotated[Count | Literal["none"] | None, doc("Calls at once, or none.")] = None


class EndUsersSchema(Schema, frozen=True, kw_only=True):
    """How calls are limited by whom they are for: the `safety_identifier` or `user` of their bodies."""

    limits: EndUserLimitsSchema = field(default_factory=EndUserLimitsSchema)
    require: Annotated[
        bool | None,
        doc("Whether calls that do not say for whom they are are refused; without it, no."),
    ] = None
    new_per_minute: Annotated[
        Count | None,
        doc("How many end users that are not known an account may name in a minute; without it, 600."),
    ] = None


class RenewalSchema(Schema, frozen=True, kw_only=True):
    """Credit that each account of a group gets at 00:00:00 UTC, once for each day or month."""

    amount: Annotated[Money, doc("How much.")]
    every: Annotated[Literal["day", "month"], doc("How often: each day, or on the first of each month.")] = (
        "day"
    )
    lasts: Annotated[
        Annotated[int, Meta(ge=1, le=36_500)] | Literal["next", "ever"],
        doc("For how many days; next: until the next one comes, which replaces it so; ever: for ever."),
    ]
    kind: Annotated[LotKind, doc("The kind of its lots.")] = "renewal"
    priority: Annotated[Priority, doc("When its lots are drawn: 0 comes first, then expiry, then age.")] = 50
    back_fill: Annotated[
        Annotated[int, Meta(ge=0, le=366)],
        doc("How many that were missed while no process ran an account is given later; 0 for none."),
    ] = 7
    most: Annotated[
        Money | None, doc("How much of this kind an account has at most; a renewal is no more than fits.")
    ] = None


class FeeSchema(Schema, frozen=True, kw_only=True):
    """What a group costs a month or a year, which makes it a plan."""

    amount: Annotated[Money, doc("How much a month, or a year.")]
    every: Annotated[Literal["month", "year"], doc("For how long a fee is.")] = "month"
    months: Annotated[
        Literal["joining", "calendar"],
        doc("Whether a month begins as the account has joined, or on the first at 00:00:00 UTC."),
    ] = "joining"
    included: Annotated[Money, doc("Credit that comes with each fee, and goes with its month.")] = "0"
    included_priority: Annotated[
        Priority, doc("When that credit is drawn: 0 comes first, then expiry, then age.")
    ] = 50
    included_lasts: Annotated[
        Annotated[int, Meta(ge=1, le=24)],
        doc("How many fees' times that credit lasts: with 2, what is left of it goes once into the next."),
    ] = 1
    included_most: Annotated[
        Money | None, doc("How much of that credit an account has at most; a fee brings no more than fits.")
    ] = None
    ends_on_cancel: Annotated[
        list[LotKind], doc("The kinds of lots that end as an account leaves it for no plan at all.")
    ] = field(default_factory=list)
    ends_on_downgrade: Annotated[
        list[LotKind], doc("The kinds of lots that end as an account leaves it for a cheaper plan.")
    ] = field(default_factory=list)
    grace_days: Annotated[
        Annotated[int, Meta(ge=0, le=90)],
        doc("For how many days a fee is asked for again that the funds do not pay."),
    ] = 3
    falls_to: Annotated[
        Name | None, doc("The group that an account then falls to, which has no fee; without it, none.")
    ] = None


class QuotaSchema(Schema, frozen=True, kw_only=True):
    """How many calls of a class of models each account of a group may make in one UTC day."""

    models: Annotated[Texts, doc("Globs of the public models that count to it, and to no later one.")]
    day: Annotated[Annotated[int, Meta(ge=0, le=10**9)], doc("How many calls in one UTC day.")]
    beyond: Annotated[
        Literal["refuse", "charge"],
        doc("What becomes of more: refuse them, or charge them as calls of accounts in no group."),
    ] = "refuse"


class HoldingTierSchema(Schema, frozen=True, kw_only=True):
    """A group that accounts are put in which hold enough elsewhere."""

    group: Annotated[Name, doc("The group.")]
    least: Annotated[Annotated[int, Meta(ge=1, le=10**18)], doc("How much an account holds at least.")]


class HoldingsSchema(Schema, frozen=True, kw_only=True):
    """The groups that what accounts hold elsewhere decides about, such as tokens of a chain."""

    secret: Annotated[
        str, doc("The secret of the webhook that tells of it, whsec_ and base64; without it, there is none.")
    ] = ""
    tiers: Annotated[
        list[HoldingTierSchema], doc("The groups, each with the least that an account holds for it.")
    ] = field(default_factory=list)

    def __repr__(self) -> str:
        return "HoldingsSchema(secret=...)"


class GroupSchema(Schema, frozen=True, kw_only=True):
    """What the accounts of a group have in common."""

    limits: LimitsSchema = field(default_factory=LimitsSchema)
    end_users: EndUsersSchema | None = None
    models: Annotated[
        list[Text], doc("Globs of the public models that its accounts may use; without them, all.")
    ] = field(default_factory=list)
    multiplier: Annotated[Multiplier, doc("What multiplies every rate for its accounts.")] = "1"
    renewal: RenewalSchema | None = None
    fee: FeeSchema | None = None
    run_markup: Annotated[
        Percent | None, doc("What is added to the runs of its accounts, in place of `runs.markup`.")
    ] = None
    minimum: Annotated[
        Money | None, doc("What its accounts spend in a calendar month at least; the rest of it is a fee.")
    ] = None
    quotas: Annotated[dict[Name, QuotaSchema], doc("Calls of classes of models in a day, by name.")] = field(
        default_factory=dict
    )
    offered: Annotated[
        bool, doc("Whether customers may put their own account in it, and take it out of it.")
    ] = False

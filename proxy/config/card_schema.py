"""The schema of rate cards: what calls are charged, in the words of a price page."""

from typing import Annotated, Literal

from msgspec import Meta, field

from proxy.config.values import (
    Count,
    Date,
    EndpointName,
    Moment,
    Money,
    Multiplier,
    Name,
    Percent,
    Schema,
    Text,
    TimeOfDay,
    doc,
)
from proxy.pricing.hours import Weekday
from proxy.pricing.rates import Discounts
from proxy.pricing.tiers import Period


class PriceSchema(Schema, frozen=True, kw_only=True):
    """A price, in exactly one of the ways of writing it."""

    per_1m: Annotated[Money | None, doc("Price of a million units.")] = None
    per_1k: Annotated[Money | None, doc("Price of a thousand units.")] = None
    per_unit: Annotated[Money | None, doc("Price of one unit.")] = None
    per_minute: Annotated[Money | None, doc("Price of 60 units of a meter that counts seconds.")] = None
    per_hour: Annotated[Money | None, doc("Price of 3,600 units of a meter that counts seconds.")] = None
    per_day: Annotated[Money | None, doc("Price of 24 units of a meter that counts hours.")] = None
    per_month: Annotated[Money | None, doc("Price of 720 units of a meter that counts hours.")] = None


class TierSchema(PriceSchema, frozen=True, kw_only=True):
    """The price of the units of a period up to a bound; the last tier has none."""

    upto: Annotated[Count | None, doc("The last unit of the period in this tier.")] = None


class RateSchema(PriceSchema, frozen=True, kw_only=True):
    """The price of one meter, or its tiers, and what of a call is billed."""

    tiers: Annotated[
        list[TierSchema], doc("Prices by what a period has used before; each unit has that of its own tier.")
    ] = field(default_factory=list)
    volume_tiers: Annotated[
        list[TierSchema],
        doc("Prices that fall as a period uses more; all its units have that of the tier reached."),
    ] = field(default_factory=list)
    free: Annotated[Count | None, doc("How many units of each period cost nothing.")] = None
    rolls_over: Annotated[
        Count | None,
        doc("How many free units at most a period has beside its own, of those that were left before."),
    ] = None
    period: Annotated[
        Period | None,
        doc("What tiers and free units begin anew with, in UTC; needed with them. `total` never does."),
    ] = None
    counter: Annotated[
        Name | None,
        doc("What counts for tiers and free units, with all rates that name it; without it, the rate alone."),
    ] = None
    free_with: Annotated[
        list[Text], doc("Meters beside which it costs nothing: in a call that uses any of them.")
    ] = field(default_factory=list)
    free_without: Annotated[
        Text | None, doc("The meter without which it costs nothing: in a call that uses none of it.")
    ] = None
    included: Annotated[Count | None, doc("How many units of each call cost nothing.")] = None
    least: Annotated[Count | None, doc("How many units are billed at least of a call that uses any.")] = None
    block: Annotated[Count | None, doc("Units are billed in whole blocks of so many.")] = None
    carried: Annotated[
        Period | None,
        doc(
            "What is left of a block serves the next calls of the account, to the end of this period in UTC."
        ),
    ] = None


Rates = Annotated[dict[str, RateSchema], Meta(min_length=1)]


class CaseSchema(Schema, frozen=True, kw_only=True):
    """Other prices, for calls whose parameters have certain values."""

    when: Annotated[
        dict[Text, Text],
        doc("The values that parameters of a call must all have, in any case, by name.", min_length=1),
    ]
    rates: Annotated[Rates | None, doc("The rates that differ then, by meter.")] = None
    max_output_tokens: Annotated[
        Count | None, doc("The most output of such a call that names no bound, where it differs.")
    ] = None


class FlagSchema(Schema, frozen=True, kw_only=True):
    """What multiplies the rates of calls whose parameters have certain values."""

    when: Annotated[
        dict[Text, Text],
        doc("The values that parameters of a call must all have, in any case, by name.", min_length=1),
    ]
    multiplier: Annotated[Multiplier, doc("What the rates are multiplied with, those of cases too.")]
    spares: Annotated[list[Text], doc("Meters whose rates it leaves as they are.")] = field(
        default_factory=list
    )


class TierTermsSchema(Schema, frozen=True, kw_only=True):
    """What a service tier does beside multiplying."""

    spares: Annotated[list[Text], doc("Meters whose rates it leaves as they are.")] = field(
        default_factory=list
    )
    rates: Annotated[Rates | None, doc("Rates at this tier, by meter, in place of multiplied ones.")] = None
    stacks: Annotated[
        bool, doc("Whether a call may be at another tier as well, which multiplies the rates too.")
    ] = False


class ContextTierSchema(Schema, frozen=True, kw_only=True):
    """Other rates, for all of a call whose whole input is longer than so many tokens."""

    above: Annotated[Count, doc("The tokens of input, cached ones included, above which the rates hold.")]
    rates: Annotated[Rates, doc("The rates that differ then, by meter.")]


class WindowSchema(
    Schema,
    frozen=True,
    kw_only=True,
    rename={"since": "from", "until": "to", "exceptions": "except"},
):
    """Other prices, at certain hours of certain days."""

    since: Annotated[TimeOfDay, doc("The time from which on it holds, on each of its days.")] = "00:00"
    until: Annotated[
        TimeOfDay, doc("The time before which it holds; of the next day, where that is not after `from`.")
    ] = "24:00"
    days: Annotated[list[Weekday], doc("The days of the week on which it begins.")] = field(
        default_factory=list
    )
    dates: Annotated[list[Date], doc("The dates on which it begins, whatever day of the week that is.")] = (
        field(default_factory=list)
    )
    exceptions: Annotated[list[Date], doc("The dates on which it does not begin.")] = field(
        default_factory=list
    )
    multiplier: Annotated[Multiplier | None, doc("What all rates are multiplied with then.")] = None
    spares: Annotated[list[Text], doc("Meters whose rates the multiplier leaves as they are.")] = field(
        default_factory=list
    )
    rates: Annotated[Rates | None, doc("The rates that differ then, by meter.")] = None


class HoursSchema(Schema, frozen=True, kw_only=True):
    """Windows of time with other prices, as the clocks of one zone show them. No two may meet."""

    zone: Annotated[Text, doc("The time zone, by its name: `UTC`, or such as `Asia/Shanghai`.")] = "UTC"
    windows: Annotated[dict[Name, WindowSchema], doc("The windows, by names that receipts have.")] = field(
        default_factory=dict
    )


class ExtraSchema(Schema, frozen=True, kw_only=True):
    """What a member of calls turns on that Farebox does not know."""

    meter: Annotated[Text, doc("The meter that it is charged by; the card needs a rate for it.")]
    counted: Annotated[
        Literal["once", "addresses"], doc("How many units: one, or one for each address in the request.")
    ] = "once"
    most: Annotated[Count, doc("How many units it can be at most, where addresses are counted.")] = 1


class AnsweredSchema(Schema, frozen=True, kw_only=True):
    """Other prices, for calls that certain models have answered."""

    rates: Annotated[Rates, doc("The rates that differ then, by meter.")]


class PricesSchema(Schema, frozen=True, kw_only=True, rename={"source": "from"}):
    """List prices of public models, as a package has them."""

    source: Annotated[Literal["genai-prices"], doc("The list; the extra `prices` installs it.")]
    provider: Annotated[Text, doc("Whose models, by the list's own id.")]
    model: Annotated[Text, doc("The list's id of the model, or a glob of ids: a card for each then.")]
    without: Annotated[list[Text], doc("Globs of models that the glob leaves out.")] = field(
        default_factory=list
    )
    markup: Annotated[Percent | None, doc("What is added to the sum of a call's rates.")] = None
    pin: Annotated[
        Text | None, doc("The version of the list, as `farebox check` shows it: another one is a fault.")
    ] = None


class OwnKeySchema(Schema, frozen=True, kw_only=True):
    """What calls cost that go up with the account's own key."""

    share: Annotated[Percent, doc("How much of all rates is charged, below which nothing else changes.")]


class TermsSchema(Schema, frozen=True, kw_only=True):
    """What a rate card says about prices."""

    rates: Annotated[Rates | None, doc("Its rates by meter; only a card with `cases` may do without.")] = None
    context_tiers: Annotated[
        list[ContextTierSchema], doc("Rates of calls with a longer input, by rising lengths.")
    ] = field(default_factory=list)
    cases: Annotated[
        list[CaseSchema], doc("Prices that depend on parameters of a call; the first case that holds.")
    ] = field(default_factory=list)
    flags: Annotated[
        dict[Name, FlagSchema],
        doc("What parameters of a call multiply rates with, by names that receipts have; all that hold do."),
    ] = field(default_factory=dict)
    hours: Annotated[
        HoursSchema | None, doc("Prices that differ by the hour, the day of the week or the date.")
    ] = None
    max_output_tokens: Annotated[
        Count | None,
        doc("The most output of a call that names no bound; needed by cards that price output."),
    ] = None
    input_allowance_tokens: Annotated[
        Count | None,
        doc(
            "The most tokens of one input that a call only refers to: a stored file, a search. "
            "Without it, such calls are refused."
        ),
    ] = None
    context_tokens: Annotated[
        Count | None, doc("How many tokens the model reads at once; the list of models shows it.")
    ] = None
    service_tiers: Annotated[
        dict[Text, Multiplier],
        doc("What a service tier multiplies its rates with, by tier; calls of dearer tiers need it."),
    ] = field(default_factory=dict)
    service_tier_terms: Annotated[
        dict[Text, TierTermsSchema], doc("What service tiers do beside multiplying, by tier.")
    ] = field(default_factory=dict)
    answered: Annotated[
        dict[Text, AnsweredSchema],
        doc("Prices of calls by the model that their answer names, by its name or a glob; the first counts."),
    ] = field(default_factory=dict)
    service_tier_by: Annotated[
        Literal["request", "answer"] | None,
        doc("Which service tier is charged: the one asked for, or the one that the answer names."),
    ] = None
    extras: Annotated[
        dict[Text, ExtraSchema], doc("What members of calls turn on that Farebox does not know, by member.")
    ] = field(default_factory=dict)
    own_key: Annotated[
        OwnKeySchema | None,
        doc("What calls cost that go up with the account's own key; without it, as much as others."),
    ] = None
    discounts: Annotated[
        Discounts | None,
        doc("What multipliers below 1 come to: all multiply, or for each rate the largest discount alone."),
    ] = None
    markup: Annotated[Percent | None, doc("What is added to the sum of a call's rates.")] = None
    least_charge: Annotated[Money | None, doc("The least that a call is charged.")] = None
    most_charge: Annotated[Money | None, doc("The most that a call is charged.")] = None


class ChangeSchema(TermsSchema, frozen=True, kw_only=True, rename={"since": "from"}):
    """What a rate card says anew from a moment on; what it does not mention stays as it was."""

    since: Annotated[
        Moment, doc("When the prices change: a day, from its beginning in UTC, or a moment in UTC.")
    ]


class RateCardSchema(TermsSchema, frozen=True, kw_only=True):
    """The rates of some models, or of an API."""

    match: Annotated[
        list[Text], doc("Globs of the public models it prices; the first card that matches does.")
    ] = field(default_factory=list)
    like: Annotated[
        Name | None, doc("The card that it is like, but for what it says itself, and for whom it is.")
    ] = None
    groups: Annotated[
        list[Name], doc("The groups whose calls alone it prices; without them, those of every account.")
    ] = field(default_factory=list)
    endpoints: Annotated[
        list[EndpointName], doc("The endpoints whose calls alone it prices; without them, all.")
    ] = field(default_factory=list)
    prices: Annotated[
        PricesSchema | None, doc("Where its prices come from; rates that it says itself come before them.")
    ] = None
    changes: Annotated[
        list[ChangeSchema], doc("Prices that change at a moment, in order; calls after it have the new ones.")
    ] = field(default_factory=list)

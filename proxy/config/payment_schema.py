"""The schema of how accounts pay in."""

from typing import Annotated, Literal

from msgspec import Meta, field

from proxy.config.values import Money, Name, Percent, Schema, Text, doc

Bonus = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{1,4}(\.[0-9]{1,6})?%$|^[^%]+$",
        examples=["5%", "2.50"],
        extra={"wanted": 'a percentage in quotes such as "5%", or an amount such as "2.50"'},
    ),
]
Minutes = Annotated[int, Meta(ge=1, le=10_080)]
Days = Annotated[int, Meta(ge=1, le=36_500)]


class PackageTermsSchema(Schema, frozen=True, kw_only=True):
    """What a package is for the accounts of a group, where that differs."""

    amount: Annotated[Money | None, doc("The credit that it buys then.")] = None
    bonus: Annotated[Bonus | None, doc("The credit that comes with it then; 0% for none.")] = None
    discount: Annotated[Percent | None, doc("What is taken off its price then; 0% for nothing.")] = None


class PackageSchema(Schema, frozen=True, kw_only=True):
    """An amount of credit that is sold with a bonus, or for less."""

    amount: Annotated[Money, doc("The credit that it buys, and its price before any discount.")]
    bonus: Annotated[
        Bonus | None,
        doc("Credit that comes with it for nothing, as a lot of its own: a percentage, or an amount."),
    ] = None
    discount: Annotated[Percent | None, doc("What is taken off its price.")] = None
    groups: Annotated[
        dict[Name, PackageTermsSchema],
        doc("What differs for accounts that are in a group as they buy it, by the group."),
    ] = field(default_factory=dict)


class FeeSchema(Schema, frozen=True, kw_only=True):
    """What a buyer pays beside the price, and gets no credit for."""

    percent: Annotated[Percent, doc("The share of the price that it is.")] = "0%"
    minimum: Annotated[Money, doc("The least that it is.")] = "0"


class MethodSchema(Schema, frozen=True, kw_only=True):
    """A way to pay that a buyer may choose, with a fee of its own."""

    fee: FeeSchema = field(default_factory=FeeSchema)
    stripe: Annotated[
        list[Text], doc("What Stripe calls the means of payment that it stands for, such as `card`.")
    ] = field(default_factory=list)


class StripeSchema(Schema, frozen=True, kw_only=True):
    """How Stripe is reached. Its secrets come from the environment, and are never shown."""

    secret_key: Annotated[str, doc("Its secret or restricted key: `${STRIPE_SECRET_KEY}`.")]
    webhook_secret: Annotated[
        str, doc("The secret that signs what its webhook sends to `/v1/webhooks/stripe`.")
    ]
    success_url: Annotated[Text, doc("Where a buyer goes who has paid.")]
    cancel_url: Annotated[Text | None, doc("Where one goes who has not; as success_url without it.")] = None
    product: Annotated[Text, doc("What is bought, as the buyer reads it.")] = "Credit"
    base_url: Annotated[Text, doc("Where its API is.")] = "https://api.stripe.com"

    def __repr__(self) -> str:
        return "StripeSchema(...)"


class AutomaticSchema(Schema, frozen=True, kw_only=True):
    """The guards of automatic top-ups, which customers switch on for their accounts."""

    cool_down_minutes: Annotated[Minutes, doc("How long after one the next may follow.")] = 10
    back_off_minutes: Annotated[Minutes, doc("How long after one that was declined.")] = 60
    daily_limit: Annotated[
        Money, doc("What an account buys by them in a UTC day at most, unless it sets a bound of its own.")
    ] = "500"


class PaymentsSchema(Schema, frozen=True, kw_only=True):
    """How accounts pay in; without it they cannot. `{}` is enough for payments that the operator confirms."""

    provider: Annotated[
        Literal["manual", "stripe"],
        doc("Who takes the money: manual leaves that to the operator, who confirms each top-up."),
    ] = "manual"
    packages: Annotated[dict[Name, PackageSchema], doc("What is sold, by the package's name.")] = field(
        default_factory=dict
    )
    free_amounts: Annotated[
        Literal["packages", "plain", "refused"],
        doc(
            "An amount that no package has: packages sells it with the bonus and discount of the largest "
            "package not above it, plain without any, refused not at all."
        ),
    ] = "packages"
    minimum: Annotated[Money, doc("The least amount of a top-up.")] = "0.01"
    maximum: Annotated[Money, doc("The largest amount of a top-up.")] = "10000"
    expires_days: Annotated[
        Days | None, doc("How many days what was bought and its bonus last; for ever without it.")
    ] = None
    fee: FeeSchema | None = None
    methods: Annotated[
        dict[Name, MethodSchema], doc("The ways to pay that a buyer may choose, where their fees differ.")
    ] = field(default_factory=dict)
    pending_days: Annotated[Days, doc("How many days a top-up that is not paid waits.")] = 30
    on_lost: Annotated[
        Literal["owe", "forgive"],
        doc("Credit that was used before its price was paid back or disputed: owe makes it debt."),
    ] = "owe"
    stripe: StripeSchema | None = None
    automatic: AutomaticSchema = field(default_factory=AutomaticSchema)
    top_up_url: Annotated[
        str | None, doc("The page on which accounts pay in: refusals for lack of funds show it.")
    ] = None

"""The schema of the configuration: one struct for each mapping in the YAML, every key with its meaning.

Unknown keys are refused. Editors show the descriptions, by the JSON Schema.
"""

from typing import TYPE_CHECKING, Annotated, Final, Literal

from msgspec import Meta, Struct, field

from proxy.endpoints.registry import ENDPOINT_NAMES

NO_LIMIT_WORD: Final = "none"

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


def _doc(text: str, *, min_length: int | None = None) -> Meta:
    """The meaning of a key, and the fewest items it may hold."""
    return Meta(description=text, min_length=min_length)


class Schema(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all: frozen, and an unknown key is a fault."""


class Server(Schema, frozen=True, kw_only=True):
    """Where Farebox listens, and its bounds."""

    host: Annotated[Text, _doc("Address to listen on; 0.0.0.0 for every interface.")] = "127.0.0.1"
    port: Annotated[Port, _doc("Port to listen on; 0 takes any free one.")] = 8080
    workers: Annotated[
        Annotated[int, Meta(ge=1, le=256)] | Literal["auto"],
        _doc("How many processes serve; auto is one for each CPU this one may use."),
    ] = 1
    max_body_bytes: Annotated[Count, _doc("The largest request body; a larger one is answered 413.")] = 2**26
    body_memory_bytes: Annotated[
        Count, _doc("What the request bodies of all calls of a process may take of its memory together.")
    ] = 2**28
    max_reply_bytes: Annotated[Count, _doc("The largest answer of an upstream that is not a stream.")] = 2**26
    max_connections: Annotated[
        Count, _doc("How many clients may be connected to a process; a new one displaces an idle one.")
    ] = 4096
    body_seconds: Annotated[Seconds, _doc("How long a request body may take to arrive.")] = 60.0
    drain_seconds: Annotated[Seconds, _doc("How long calls in flight may take to end after SIGTERM.")] = 30.0
    payment_status: Annotated[
        Literal[402, 429],
        _doc("The status of refusals for lack of funds; 429 for clients that only know that."),
    ] = 402


class Admin(Schema, frozen=True, kw_only=True):
    """The admin API."""

    key: Annotated[str, _doc("Its bearer key, at least 16 characters; take it from the environment.")] = ""

    def __repr__(self) -> str:
        return "Admin(key=...)"


class Log(Schema, frozen=True, kw_only=True):
    """The log."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], _doc("The least severe lines written.")
    ] = "info"
    format: Annotated[Literal["json", "console"], _doc("JSON for machines, or lines for people.")] = "json"
    calls: Annotated[bool, _doc("Whether calls that end well are logged, too.")] = False


class UnitSchema(Schema, frozen=True, kw_only=True):
    """The unit money is shown in beside US dollars, and that prices may be written in."""

    name: Annotated[Name, _doc("The name of the unit, such as credits.")] = "usd"
    per_usd: Annotated[Count, _doc("How many of it make one US dollar.")] = 1


class LimitsSchema(Schema, frozen=True, kw_only=True):
    """Limits of every account that sets none of its own; without one there is no limit."""

    day: Annotated[Money | None, _doc("Spending in one UTC day, or none.")] = None
    week: Annotated[Money | None, _doc("Spending in one ISO week (UTC), or none.")] = None
    month: Annotated[Money | None, _doc("Spending in one calendar month (UTC), or none.")] = None
    total: Annotated[Money | None, _doc("Spending ever, or none.")] = None
    rpm: Annotated[Count | Literal["none"] | None, _doc("Calls a minute, or none.")] = None
    tpm: Annotated[Count | Literal["none"] | None, _doc("Input and output tokens a minute, or none.")] = None
    concurrency: Annotated[Count | Literal["none"] | None, _doc("Calls at once, or none.")] = None


class AccountsSchema(Schema, frozen=True, kw_only=True):
    """Defaults of every account."""

    limits: LimitsSchema = field(default_factory=LimitsSchema)
    when_short: Annotated[
        Literal["clamp", "refuse"],
        _doc("A call that could cost more than is left: clamp lowers its output bound, refuse answers 402."),
    ] = "clamp"
    on_shortfall: Annotated[
        Literal["forgive", "owe"],
        _doc("A charge beyond the hold and all funds: forgive lets it go, owe makes it debt."),
    ] = "forgive"
    min_output_tokens: Annotated[
        Count, _doc("A call clamped below this many output tokens is of no use and is refused.")
    ] = 16


class Streams(Schema, frozen=True, kw_only=True):
    """The charge of streams that break off, and how often usage is recorded for crash recovery."""

    on_disconnect: Annotated[
        Literal["auto", "count", "drain"],
        _doc(
            "When the client leaves: count stops the upstream at once, drain reads on to learn the usage, "
            "auto does either, by model and answer."
        ),
    ] = "auto"
    drain_seconds: Annotated[Seconds, _doc("How long a drain reads on at most.")] = 10.0
    on_upstream_failure: Annotated[
        Literal["charge", "free"],
        _doc("When the upstream breaks off: charge what was delivered, or give it away free."),
    ] = "charge"
    observe_seconds: Annotated[Seconds, _doc("How often a stream's usage so far is written down.")] = 1.0
    write_seconds: Annotated[Seconds, _doc("How long a client may take to accept bytes.")] = 60.0


class CredentialSchema(Schema, frozen=True, kw_only=True):
    """The secret that authenticates Farebox to an upstream."""

    value: Annotated[str, _doc("The secret itself; take it from the environment.")]
    header: Annotated[Text, _doc("The header it is sent in.")] = "Authorization"
    scheme: Annotated[str, _doc('The word before it in the header; "" sends it alone.')] = "Bearer"
    query: Annotated[Text | None, _doc("The query field it is sent in instead of a header.")] = None


class UpstreamSchema(Schema, frozen=True, kw_only=True):
    """An upstream API and how to treat it."""

    base_url: Annotated[str, _doc("The URL that paths are appended to, such as https://api.openai.com/v1.")]
    credential: CredentialSchema | None = None
    when: Annotated[
        str | None, _doc("The upstream and its targets are left out while this is empty: ${OPENAI_API_KEY:-}")
    ] = None
    headers: Annotated[dict[str, str], _doc("Headers added to every call to it.")] = field(
        default_factory=dict
    )
    include_usage: Annotated[
        bool, _doc("Whether streams ask it for their usage; false for one that refuses stream_options.")
    ] = True
    output_bound_field: Annotated[
        Literal["max_completion_tokens", "max_tokens"],
        _doc("The only name under which an output bound of a chat goes there, whatever the client says."),
    ] = "max_completion_tokens"
    forward: Annotated[
        list[Text],
        _doc('Members of calls that go there although no rate prices them; "*" for all that are not known.'),
    ] = field(default_factory=list)
    connect_seconds: Annotated[Seconds, _doc("How long connecting may take.")] = 10.0
    first_byte_seconds: Annotated[Seconds, _doc("How long its answer may take to begin.")] = 600.0
    idle_seconds: Annotated[Seconds, _doc("How long it may be silent within an answer.")] = 300.0
    keepalive_seconds: Annotated[Seconds, _doc("How long an idle connection to it is kept.")] = 4.0
    list_models_seconds: Annotated[
        Seconds | None,
        _doc(
            "How long its own list of models is remembered, which says what the globs of routes serve; "
            "without it, it is not asked for one."
        ),
    ] = None


class TargetSchema(Schema, frozen=True, kw_only=True):
    """One place a route goes."""

    upstream: Annotated[Name, _doc("The upstream's name.")]
    model: Annotated[Text | None, _doc("The name of the model there; without one, the name in the call.")] = (
        None
    )
    path: Annotated[
        Text | None,
        _doc("The path there, with variables of the route's; without one, the path of the route."),
    ] = None


class MultipleSchema(Schema, frozen=True, kw_only=True):
    """How many times a call may use the `most` of a measure, as its request says."""

    request: Annotated[Text | None, _doc("A JSON pointer into the body; of an array the items count.")] = None
    request_header: Annotated[Text | None, _doc("A header of the request.")] = None
    query: Annotated[Text | None, _doc("A field of the query.")] = None
    otherwise: Annotated[Quantity, _doc("How many times where the request does not say, or says 0.")]


class MeasureSchema(Schema, frozen=True, kw_only=True):
    """Where the quantity of a meter is told, in exactly one of five places, and its bound."""

    answer: Annotated[Text | None, _doc("A JSON pointer into the answer; of an array the items count.")] = (
        None
    )
    answer_header: Annotated[Text | None, _doc("A header of the answer.")] = None
    request: Annotated[Text | None, _doc("A JSON pointer into the body; of an array the items count.")] = None
    request_header: Annotated[Text | None, _doc("A header of the request.")] = None
    query: Annotated[Text | None, _doc("A field of the query.")] = None
    most: Annotated[Quantity, _doc("The most that a call uses, or each of `for_each`; so much is held.")]
    otherwise: Annotated[
        Quantity | None, _doc("What is charged where the quantity is not told; without it, the most.")
    ] = None
    for_each: Annotated[
        MultipleSchema | None, _doc("What of the request the most of a call is a multiple of.")
    ] = None


class ParameterSchema(Schema, frozen=True, kw_only=True):
    """Where a value of the request is that prices may depend on, in exactly one of three places."""

    request: Annotated[Text | None, _doc("A JSON pointer into the body.")] = None
    request_header: Annotated[Text | None, _doc("A header of the request.")] = None
    query: Annotated[Text | None, _doc("A field of the query.")] = None
    otherwise: Annotated[str | None, _doc("Its value where the request has none.")] = None


class FailureSchema(Schema, frozen=True, kw_only=True):
    """What of an answer tells that it is an error in spite of its status, so that it is free."""

    answer: Annotated[Text, _doc("A JSON pointer into the answer.")]
    equals: Annotated[
        Text | None,
        _doc("The value there, in any case; without it, any but null, false, 0 and what is empty."),
    ] = None


class RouteSchema(Schema, frozen=True, kw_only=True):
    """Models on endpoints, or a path with methods. A route has either `models` or `path`."""

    name: Annotated[Name | None, _doc("Its name; without one it is made of what the route serves.")] = None
    models: Annotated[Texts | None, _doc("Public model names, or globs of them, that it serves.")] = None
    endpoints: Annotated[
        list[EndpointName], _doc("The endpoints its models are served on.", min_length=1)
    ] = field(default_factory=lambda: [*ENDPOINT_NAMES])
    path: Annotated[
        Text | None, _doc("The path of a tool API that it serves; {id} stands for any segment.")
    ] = None
    methods: Annotated[list[Method], _doc("The methods its path is served with.", min_length=1)] = field(
        default_factory=lambda: ["POST"]
    )
    measures: Annotated[
        dict[str, MeasureSchema], _doc("What calls of its path are metered by beside `requests`, by meter.")
    ] = field(default_factory=dict)
    parameters: Annotated[
        dict[Name, ParameterSchema],
        _doc("What of calls of its path the cases of their rate card may ask for, by name."),
    ] = field(default_factory=dict)
    charged_statuses: Annotated[
        list[ChargedStatus], _doc("The statuses beside 2xx with which calls of its path are charged.")
    ] = field(default_factory=list)
    free_when: FailureSchema | None = None
    query_fields: Annotated[
        list[Text] | None, _doc("The fields that queries of calls of its path may have; any without it.")
    ] = None
    rate_card: Annotated[
        Name | None,
        _doc("The rate card of its calls; without it, models are looked up in the cards' match."),
    ] = None
    targets: Annotated[list[TargetSchema], _doc("Where its calls go, tried in order.", min_length=1)]


class RateSchema(Schema, frozen=True, kw_only=True):
    """The price of one meter, in exactly one of three ways of writing it."""

    per_1m: Annotated[Money | None, _doc("Price of a million units.")] = None
    per_1k: Annotated[Money | None, _doc("Price of a thousand units.")] = None
    per_unit: Annotated[Money | None, _doc("Price of one unit.")] = None


Rates = Annotated[dict[str, RateSchema], Meta(min_length=1)]


class CaseSchema(Schema, frozen=True, kw_only=True):
    """Other prices, for calls whose parameters have certain values."""

    when: Annotated[
        dict[Text, Text],
        _doc("The values that parameters of a call must all have, in any case, by name.", min_length=1),
    ]
    rates: Annotated[Rates | None, _doc("The rates that differ then, by meter.")] = None
    max_output_tokens: Annotated[
        Count | None, _doc("The most output of such a call that names no bound, where it differs.")
    ] = None


class RateCardSchema(Schema, frozen=True, kw_only=True):
    """The rates of some models, or of an API."""

    match: Annotated[
        list[Text], _doc("Globs of the public models it prices; the first card that matches does.")
    ] = field(default_factory=list)
    rates: Annotated[Rates | None, _doc("Its rates by meter; only a card with `cases` may do without.")] = (
        None
    )
    cases: Annotated[
        list[CaseSchema], _doc("Prices that depend on parameters of a call; the first case that holds.")
    ] = field(default_factory=list)
    max_output_tokens: Annotated[
        Count | None,
        _doc("The most output of a call that names no bound; needed by cards that price output."),
    ] = None
    input_allowance_tokens: Annotated[
        Count | None,
        _doc(
            "The most tokens of one input that a call only refers to: a stored file, a search. "
            "Without it, such calls are refused."
        ),
    ] = None
    context_tokens: Annotated[
        Count | None, _doc("How many tokens the model reads at once; the list of models shows it.")
    ] = None
    service_tiers: Annotated[
        dict[Text, Multiplier],
        _doc("What a service tier multiplies its rates with, by tier; calls of dearer tiers need it."),
    ] = field(default_factory=dict)


class DemoSchema(Schema, frozen=True, kw_only=True):
    """The quickstart: a local demo upstream, and an account with money and a daily limit; `{}` is enough."""

    port: Annotated[Port, _doc("Port of the demo upstream on 127.0.0.1; 0 takes any free one.")] = 8081
    balance: Annotated[Money, _doc("What the demo account is granted.")] = "5.00"
    day: Annotated[Money, _doc("What the demo account may spend in one UTC day.")] = "1.00"


class ConfigSchema(Schema, frozen=True, kw_only=True):
    """A whole configuration file."""

    server: Server = field(default_factory=Server)
    storage: Annotated[
        str,
        _doc(
            "The database: sqlite:///file from the working directory, sqlite:////file from the root, "
            "or postgresql://user:password@host:5432/database."
        ),
    ] = "sqlite:///farebox.db"
    keep_months: Annotated[
        Annotated[int, Meta(ge=1, le=1200)] | None,
        _doc("How many whole months of receipts PostgreSQL keeps beside the current one; all without it."),
    ] = None
    admin: Admin = field(default_factory=Admin)
    log: Log = field(default_factory=Log)
    unit: UnitSchema = field(default_factory=UnitSchema)
    accounts: AccountsSchema = field(default_factory=AccountsSchema)
    streams: Streams = field(default_factory=Streams)
    upstreams: Annotated[dict[Name, UpstreamSchema], _doc("The upstream APIs by name.")] = field(
        default_factory=dict
    )
    routes: Annotated[
        list[RouteSchema], _doc("The models and paths that are served; the first match serves.")
    ] = field(default_factory=list)
    rate_cards: Annotated[dict[Name, RateCardSchema], _doc("The prices of calls, by card name.")] = field(
        default_factory=dict
    )
    quickstart: DemoSchema | None = None

"""The schema of the configuration: one struct for each mapping in the YAML, every key with its meaning.

Unknown keys are refused. Editors show the descriptions, by the JSON Schema.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from proxy.config.card_schema import RateCardSchema
from proxy.config.event_schema import EventsSchema
from proxy.config.group_schema import EndUsersSchema, GroupSchema, HoldingsSchema, LimitsSchema
from proxy.config.invoice_schema import InvoicesSchema
from proxy.config.payment_schema import PaymentsSchema
from proxy.config.tool_schema import FailureSchema, JobSchema, MeasureSchema, ParameterSchema
from proxy.config.values import (
    AccountId,
    ChargedStatus,
    Count,
    EndpointName,
    Method,
    Money,
    Name,
    Percent,
    Port,
    Schema,
    Seconds,
    Text,
    Texts,
    doc,
)
from proxy.endpoints.registry import ENDPOINT_NAMES
from proxy.ledger.alerts import PERCENTS


class Server(Schema, frozen=True, kw_only=True):
    """Where Farebox listens, and its bounds."""

    host: Annotated[Text, doc("Address to listen on; 0.0.0.0 for every interface.")] = "127.0.0.1"
    port: Annotated[Port, doc("Port to listen on; 0 takes any free one.")] = 8080
    workers: Annotated[
        Annotated[int, Meta(ge=1, le=256)] | Literal["auto"],
        doc("How many processes serve; auto is one for each CPU this one may use."),
    ] = 1
    max_body_bytes: Annotated[Count, doc("The largest request body; a larger one is answered 413.")] = 2**26
    body_memory_bytes: Annotated[
        Count, doc("What the request bodies of all calls of a process may take of its memory together.")
    ] = 2**28
    max_reply_bytes: Annotated[Count, doc("The largest answer of an upstream that is not a stream.")] = 2**26
    max_connections: Annotated[
        Count, doc("How many clients may be connected to a process; a new one displaces an idle one.")
    ] = 4096
    body_seconds: Annotated[Seconds, doc("How long a request body may take to arrive.")] = 60.0
    drain_seconds: Annotated[Seconds, doc("How long calls in flight may take to end after SIGTERM.")] = 30.0
    payment_status: Annotated[
        Literal[402, 429],
        doc("The status of refusals for lack of funds; 429 for clients that only know that."),
    ] = 402


class Admin(Schema, frozen=True, kw_only=True):
    """The admin API."""

    key: Annotated[str, doc("Its bearer key, at least 16 characters; take it from the environment.")] = ""

    def __repr__(self) -> str:
        return "Admin(key=...)"


class Log(Schema, frozen=True, kw_only=True):
    """The log."""

    level: Annotated[Literal["debug", "info", "warning", "error"], doc("The least severe lines written.")] = (
        "info"
    )
    format: Annotated[Literal["json", "console"], doc("JSON for machines, or lines for people.")] = "json"
    calls: Annotated[bool, doc("Whether calls that end well are logged, too.")] = False


class UnitSchema(Schema, frozen=True, kw_only=True):
    """The unit money is shown in beside US dollars, and that prices may be written in."""

    name: Annotated[Name, doc("The name of the unit, such as credits.")] = "usd"
    per_usd: Annotated[Count, doc("How many of it make one US dollar.")] = 1


class AccountsSchema(Schema, frozen=True, kw_only=True):
    """Defaults of every account."""

    limits: LimitsSchema = field(default_factory=LimitsSchema)
    end_users: EndUsersSchema | None = None
    prorate_fees: Annotated[
        bool,
        doc("Whether fees of plans are for the time in the plan; false: for whole months, come what may."),
    ] = True
    refund_days: Annotated[
        Annotated[int, Meta(ge=1, le=3_650)] | None,
        doc("For how many days the unused part of a lot can be paid back; without it, as long as it lasts."),
    ] = None
    when_short: Annotated[
        Literal["clamp", "refuse"],
        doc("A call that could cost more than is left: clamp lowers its output bound, refuse answers 402."),
    ] = "clamp"
    on_shortfall: Annotated[
        Literal["forgive", "owe"],
        doc("A charge beyond the hold and all funds: forgive lets it go, owe makes it debt."),
    ] = "forgive"
    min_output_tokens: Annotated[
        Count, doc("A call clamped below this many output tokens is of no use and is refused.")
    ] = 16


class RunsSchema(Schema, frozen=True, kw_only=True):
    """Calls that are billed together, such as those of an agent's execution."""

    markup: Annotated[Percent, doc("What is added once to all that the calls of a run cost.")] = "0%"


class AlertsSchema(Schema, frozen=True, kw_only=True):
    """What accounts are told of, unless they have rules of their own; `{}` is enough to record events."""

    balance_low: Annotated[Money | None, doc("The funds at which an account is told that they are low.")] = (
        None
    )
    limit_percents: Annotated[
        list[Annotated[int, Meta(ge=1, le=100)]],
        doc("The percentages of each spending limit that are told once they are spent."),
    ] = field(default_factory=lambda: [*PERCENTS])
    expiring_days: Annotated[
        Annotated[int, Meta(ge=1, le=365)], doc("How many days before it expires credit is told to expire.")
    ] = 7


class WebhookSchema(Schema, frozen=True, kw_only=True):
    """A receiver of events."""

    url: Annotated[Text, doc("Where events are sent, by HTTPS.")]
    secret: Annotated[
        Text, doc("What they are signed with: whsec_ and 24 to 64 bytes in base64; from the environment.")
    ]
    types: Annotated[list[Text], doc("Globs of the types of events that it is sent.", min_length=1)] = field(
        default_factory=lambda: ["*"]
    )
    accounts: Annotated[
        list[Text], doc("Globs of the accounts of whose events it is sent.", min_length=1)
    ] = field(default_factory=lambda: ["*"])

    def __repr__(self) -> str:
        return "WebhookSchema(...)"


class AccountWebhooksSchema(Schema, frozen=True, kw_only=True):
    """Webhooks that accounts register for their own events."""

    secret: Annotated[
        Text,
        doc("What the secrets of all of them follow from: whsec_ and 24 to 64 bytes in base64."),
    ]
    most: Annotated[Annotated[int, Meta(ge=1, le=50)], doc("How many an account may have.")] = 5

    def __repr__(self) -> str:
        return "AccountWebhooksSchema(...)"


class WebhooksSchema(Schema, frozen=True, kw_only=True):
    """Receivers of events, and how they are told."""

    endpoints: Annotated[dict[Name, WebhookSchema], doc("The receivers by name.")] = field(
        default_factory=dict
    )
    attempts: Annotated[
        Annotated[int, Meta(ge=1, le=50)],
        doc("How often an event is tried, over days; then its delivery is dead."),
    ] = 15
    answer_seconds: Annotated[Annotated[float, Meta(gt=0, le=60)], doc("How long an answer may take.")] = 10.0
    keep_days: Annotated[
        Annotated[int, Meta(ge=32, le=3_650)], doc("How long events and their deliveries are kept.")
    ] = 90
    allow_private: Annotated[bool, doc("Whether receivers may be at addresses that are not public.")] = False
    allow_http: Annotated[bool, doc("Whether receivers may be told by plain HTTP.")] = False
    accounts: Annotated[
        AccountWebhooksSchema | None, doc("Webhooks that accounts register; without it they have none.")
    ] = None


class Streams(Schema, frozen=True, kw_only=True):
    """The charge of streams that break off, and how often usage is recorded for crash recovery."""

    on_disconnect: Annotated[
        Literal["auto", "count", "drain"],
        doc(
            "When the client leaves: count stops the upstream at once, drain reads on to learn the usage, "
            "auto does either, by model and answer."
        ),
    ] = "auto"
    drain_seconds: Annotated[Seconds, doc("How long a drain reads on at most.")] = 10.0
    on_upstream_failure: Annotated[
        Literal["charge", "free"],
        doc("When the upstream breaks off: charge what was delivered, or give it away free."),
    ] = "charge"
    observe_seconds: Annotated[Seconds, doc("How often a stream's usage so far is written down.")] = 1.0
    write_seconds: Annotated[Seconds, doc("How long a client may take to accept bytes.")] = 60.0


class JobsSchema(Schema, frozen=True, kw_only=True):
    """Calls that outlive their request, such as videos."""

    longest_hours: Annotated[
        Annotated[int, Meta(ge=1, le=2_160)],
        doc("How long a job may run; then its upstream is asked once more, and its hold is closed."),
    ] = 48
    on_overdue: Annotated[
        Literal["charge", "free"],
        doc("When nobody has seen a job's end by then: charge what it asked for, or let it go free."),
    ] = "charge"
    unreported_output_per_second: Annotated[
        Annotated[int, Meta(ge=0, le=100_000)],
        doc("Output tokens charged for each second of a response that ended without telling its usage."),
    ] = 100


class ObjectsSchema(Schema, frozen=True, kw_only=True):
    """What upstreams made and keep for accounts, such as videos and responses."""

    keep_days: Annotated[
        Annotated[int, Meta(ge=1, le=3_650)],
        doc(
            "How long Farebox knows whose an object is; then it is found no more. "
            "What a job makes stays until the job has ended."
        ),
    ] = 90


class CredentialSchema(Schema, frozen=True, kw_only=True):
    """The secret that authenticates Farebox to an upstream."""

    value: Annotated[str, doc("The secret itself; take it from the environment.")]
    header: Annotated[Text, doc("The header it is sent in.")] = "Authorization"
    scheme: Annotated[str, doc('The word before it in the header; "" sends it alone.')] = "Bearer"
    query: Annotated[Text | None, doc("The query field it is sent in instead of a header.")] = None


class UpstreamSchema(Schema, frozen=True, kw_only=True):
    """An upstream API and how to treat it."""

    base_url: Annotated[str, doc("The URL that paths are appended to, such as https://api.openai.com/v1.")]
    credential: CredentialSchema | None = None
    own_keys: Annotated[
        dict[AccountId, CredentialSchema],
        doc("Credentials that accounts have there themselves, by the account's id: its calls go with it."),
    ] = field(default_factory=dict)
    when: Annotated[
        str | None, doc("The upstream and its targets are left out while this is empty: ${OPENAI_API_KEY:-}")
    ] = None
    headers: Annotated[dict[str, str], doc("Headers added to every call to it.")] = field(
        default_factory=dict
    )
    include_usage: Annotated[
        bool, doc("Whether streams ask it for their usage; false for one that refuses stream_options.")
    ] = True
    output_bound_field: Annotated[
        Literal["max_completion_tokens", "max_tokens"],
        doc("The only name under which an output bound of a chat goes there, whatever the client says."),
    ] = "max_completion_tokens"
    forward: Annotated[
        list[Text],
        doc('Members of calls that go there although no rate prices them; "*" for all that are not known.'),
    ] = field(default_factory=list)
    connect_seconds: Annotated[Seconds, doc("How long connecting may take.")] = 10.0
    first_byte_seconds: Annotated[Seconds, doc("How long its answer may take to begin.")] = 600.0
    idle_seconds: Annotated[Seconds, doc("How long it may be silent within an answer.")] = 300.0
    keepalive_seconds: Annotated[Seconds, doc("How long an idle connection to it is kept.")] = 4.0
    list_models_seconds: Annotated[
        Seconds | None,
        doc(
            "How long its own list of models is remembered, which says what the globs of routes serve; "
            "without it, it is not asked for one."
        ),
    ] = None


class TargetSchema(Schema, frozen=True, kw_only=True):
    """One place a route goes."""

    upstream: Annotated[Name, doc("The upstream's name.")]
    model: Annotated[Text | None, doc("The name of the model there; without one, the name in the call.")] = (
        None
    )
    path: Annotated[
        Text | None,
        doc("The path there, with variables of the route's; without one, the path of the route."),
    ] = None


class RouteSchema(Schema, frozen=True, kw_only=True):
    """Models on endpoints, or a path with methods. A route has either `models` or `path`."""

    name: Annotated[Name | None, doc("Its name; without one it is made of what the route serves.")] = None
    models: Annotated[Texts | None, doc("Public model names, or globs of them, that it serves.")] = None
    endpoints: Annotated[list[EndpointName], doc("The endpoints its models are served on.", min_length=1)] = (
        field(default_factory=lambda: [*ENDPOINT_NAMES])
    )
    path: Annotated[
        Text | None, doc("The path of a tool API that it serves; {id} stands for any segment.")
    ] = None
    methods: Annotated[list[Method], doc("The methods its path is served with.", min_length=1)] = field(
        default_factory=lambda: ["POST"]
    )
    measures: Annotated[
        dict[str, MeasureSchema], doc("What calls of its path are metered by beside `requests`, by meter.")
    ] = field(default_factory=dict)
    parameters: Annotated[
        dict[Name, ParameterSchema],
        doc("What of calls of its path the cases of their rate card may ask for, by name."),
    ] = field(default_factory=dict)
    charged_statuses: Annotated[
        list[ChargedStatus], doc("The statuses beside 2xx with which calls of its path are charged.")
    ] = field(default_factory=list)
    free_when: FailureSchema | None = None
    job: JobSchema | None = None
    query_fields: Annotated[
        list[Text] | None, doc("The fields that queries of calls of its path may have; any without it.")
    ] = None
    rate_card: Annotated[
        Name | None,
        doc("The rate card of its calls; without it, models are looked up in the cards' match."),
    ] = None
    targets: Annotated[list[TargetSchema], doc("Where its calls go, tried in order.", min_length=1)]


class DemoSchema(Schema, frozen=True, kw_only=True):
    """The quickstart: a local demo upstream, and an account with money and a daily limit; `{}` is enough."""

    port: Annotated[Port, doc("Port of the demo upstream on 127.0.0.1; 0 takes any free one.")] = 8081
    balance: Annotated[Money, doc("What the demo account is granted.")] = "5.00"
    day: Annotated[Money, doc("What the demo account may spend in one UTC day.")] = "1.00"


class ConfigSchema(Schema, frozen=True, kw_only=True):
    """A whole configuration file."""

    server: Server = field(default_factory=Server)
    storage: Annotated[
        str,
        doc(
            "The database: sqlite:///file from the working directory, sqlite:////file from the root, "
            "or postgresql://user:password@host:5432/database."
        ),
    ] = "sqlite:///farebox.db"
    keep_months: Annotated[
        Annotated[int, Meta(ge=1, le=1200)] | None,
        doc("How many whole months of receipts PostgreSQL keeps beside the current one; all without it."),
    ] = None
    admin: Admin = field(default_factory=Admin)
    log: Log = field(default_factory=Log)
    unit: UnitSchema = field(default_factory=UnitSchema)
    accounts: AccountsSchema = field(default_factory=AccountsSchema)
    groups: Annotated[
        dict[Name, GroupSchema], doc("Limits, models and prices of many accounts, by the group's name.")
    ] = field(default_factory=dict)
    alerts: AlertsSchema | None = None
    payments: PaymentsSchema | None = None
    webhooks: WebhooksSchema | None = None
    holdings: HoldingsSchema = field(default_factory=HoldingsSchema)
    streams: Streams = field(default_factory=Streams)
    runs: RunsSchema = field(default_factory=RunsSchema)
    jobs: JobsSchema = field(default_factory=JobsSchema)
    objects: ObjectsSchema = field(default_factory=ObjectsSchema)
    events: EventsSchema = field(default_factory=EventsSchema)
    invoices: InvoicesSchema | None = None
    upstreams: Annotated[dict[Name, UpstreamSchema], doc("The upstream APIs by name.")] = field(
        default_factory=dict
    )
    routes: Annotated[
        list[RouteSchema], doc("The models and paths that are served; the first match serves.")
    ] = field(default_factory=list)
    rate_cards: Annotated[dict[Name, RateCardSchema], doc("The prices of calls, by card name.")] = field(
        default_factory=dict
    )
    quickstart: DemoSchema | None = None

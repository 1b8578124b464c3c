"""What OpenAI's API has reported for chats with tools, in public test suites and documents.

Each is a chat, and the prompt tokens that the API gave for it.
"""

from typing import Any, Final

import msgspec

Json = dict[str, Any]


class Recorded(msgspec.Struct, frozen=True):
    """One prompt and its tokens by the API's own count."""

    model: str
    messages: list[Json]
    functions: list[Json]
    tokens: int
    choice: object = None

    @property
    def body(self) -> Json:
        """The request."""
        tools = [{"type": "function", "function": function} for function in self.functions]
        body: Json = {"messages": self.messages}
        if tools:
            body["tools"] = tools
        return body | ({"tool_choice": self.choice} if self.choice is not None else {})


def function(name: str, about: str | None = None, parameters: Json | None = None) -> Json:
    return {
        "name": name,
        **({"description": about} if about is not None else {}),
        **({"parameters": parameters} if parameters is not None else {}),
    }


def members(needed: str = "", /, **properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": needed.split()}


def text(about: str | None = None, **more: object) -> Json:
    return {"type": "string", **({"description": about} if about else {}), **more}


def user(content: str) -> Json:
    return {"role": "user", "content": content}


def called(name: str, arguments: str, id_: str = "call_55Y1MexM7u2PSyLKUqMvO1o0") -> Json:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def assistant(*calls: Json) -> Json:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def result(content: str, id_: str = "call_55Y1MexM7u2PSyLKUqMvO1o0") -> Json:
    return {"role": "tool", "content": content, "tool_call_id": id_}


def named(name: str) -> Json:
    return {"type": "function", "function": {"name": name}}


HELLO = [user("hello")]
BOT = [{"role": "system", "content": "You are a bot."}]
INDEX = ("search_sources", "Retrieve sources from the Azure AI Search index")
QUERY = "Query string to retrieve documents from azure search eg: 'Health care plan'"
SEARCH = function(*INDEX, members("search_query", search_query=text(QUERY)))
DEMO = ("data_demonstration", "This is the main function description")
SIGNS = function(*DEMO, members(integer_enum={"type": "integer", "enum": [-1, 1]}))
MOOD = text(enum=["Happy", "Sad"])
LOST = text("Description in a second object is lost")


def demo(extra: Json | None = None, **inner: Json) -> Json:
    outer = {"type": "object", "description": "The object data type as a property", "properties": inner}
    return function(*DEMO, members("object_1", object_1=outer, **(extra or {})))


RECIPE = function(
    "get_recipe",
    None,
    members(
        "ingredients instructions time_to_cook",
        ingredients={
            "type": "array",
            "items": members(
                "name unit amount",
                name=text(),
                unit=text(enum=["grams", "ml", "cups", "pieces", "teaspoons"]),
                amount={"type": "number"},
            ),
        },
        instructions={
            "type": "array",
            "items": text(),
            "description": "Steps to prepare the recipe (no numbering)",
        },
        time_to_cook={"type": "number", "description": "Total time to prepare the recipe in minutes"},
    ),
)
ORDER = function(
    "summarize_order",
    "Summarize the customer order request",
    members(
        "product_name quantity unit",
        product_name=text("Product name ordered by customer"),
        quantity={"type": "integer", "description": "Quantity ordered by customer"},
        unit=text("unit of measurement of the customer order", enum=["meals", "days"]),
    ),
)
ADDRESSES = function(
    "get_coordinates",
    "Get the latitude and longitude of multiple mailing addresses",
    members(
        "addresses",
        addresses={"type": "array", "description": "The mailing addresses to be located", "items": text()},
    ),
)
WEATHER = ("get_current_weather", "Get the current weather in a given location")
BOSTON = function(*WEATHER, members("location", location=text("The city and state, e.g. Boston, MA")))
CELSIUS = function(
    *WEATHER,
    members(
        "location",
        location=text("The city and state, e.g. San Francisco, CA"),
        unit=text("The unit of temperature to return", enum=["celsius", "fahrenheit"]),
    ),
)
ASSIST = "You are a helpful assistant that can answer to questions about the weather."
COOKBOOK = [{"role": "system", "content": ASSIST}, user("What's the weather like in San Francisco?")]
CITIES = [
    {"role": "system", "content": "You're a helpful assistant."},
    user("What's the weather in Seattle and San Francisco today?"),
]
SEATTLE, FRISCO = "call_6YvurIMPOgMo2q6V6KGJDA6g", "call_QSiqEulo25M3NtTLVbMGqY91"
BOTH = [
    assistant(
        called("get_current_weather", '{"location": "Seattle, WA"}', SEATTLE),
        called("get_current_weather", '{"location": "San Francisco, CA"}', FRISCO),
    ),
    result("50 degrees and raining", SEATTLE),
    result("70 degrees and sunny", FRISCO),
]
DRAGONS = [
    function(
        "lookup_population",
        "Returns the current population of the specified fictional country",
        members("country", country=text()),
    ),
    function(
        "can_have_dragons",
        "Returns True if the specified population can have dragons, False otherwise",
        members("population", population={"type": "integer"}),
    ),
]
CRUMPET = [user("Can the country of Crumpet have dragons? Answer with only YES or NO")]
LOOKED_UP = [*CRUMPET, assistant(called("lookup_population", '{"country": "Crumpet"}')), result("123124")]
FOUND = [*LOOKED_UP, assistant(called("can_have_dragons", '{"population": 123124}')), result("true")]
CAPITAL = function(
    "get_capital", "Get the capital of a country.", members("country", country=text("The country name."))
)
FRANCE = "pyd_ai_5c28ff78075941bd9a9fd2f43fe84ae1"
ENGLAND = [
    user("What is the capital of France?"),
    assistant(called("get_capital", '{"country":"France"}', FRANCE)),
    result("Paris", FRANCE),
    {"role": "assistant", "content": "The capital of France is Paris."},
    user("What is the capital of England?"),
]
LONDON = [*ENGLAND, assistant(called("get_capital", '{"country":"England"}')), result("London")]
LARGEST = [user("What is the largest city in the user country?")]
MEXICO = [*LARGEST, assistant(called("get_user_country", "{}")), result("Mexico")]
FINAL = [
    function("get_user_country", "", members()),
    function(
        "final_result",
        "The final response which ends this conversation",
        members("city country", city=text(), country=text()),
    ),
]
OLD, AZURE, MINI = "gpt-3.5-turbo", "gpt-35-turbo", "gpt-4o-mini"
FOO = {"foo": text()}
BAR = {"bar": {"type": "number", "description": "A number"}}

RECORDED: Final = (
    Recorded(OLD, HELLO, [function("foo", None, members())], 31),
    Recorded(OLD, HELLO, [function("foo", "Do a foo", members())], 36),
    Recorded(OLD, HELLO, [function("bing_bong", "Do a bing bong", members(**FOO))], 49),
    Recorded(OLD, HELLO, [function("bing_bong", "Do a bing bong", members(**FOO, **BAR))], 57),
    Recorded(OLD, HELLO, [RECIPE], 106),
    Recorded(OLD, [user("What's the weather like in San Francisco?")],
             [function("get_current_weather", "Get the current weather", CELSIUS["parameters"]
                       | {"properties": {"location": CELSIUS["parameters"]["properties"]["location"]}})], 68),
    Recorded(AZURE, BOT, [SEARCH], 66, "auto"),
    Recorded(AZURE, BOT, [SEARCH], 67, "none"),
    Recorded(AZURE, BOT, [SEARCH], 75, named("search_sources")),
    Recorded(AZURE, BOT, [SIGNS], 54, "none"),
    Recorded(AZURE, BOT, [SIGNS], 64, named("data_demonstration")),
    Recorded(AZURE, BOT, [function(*INDEX)], 42, "auto"),
    Recorded(AZURE, BOT, [function(*INDEX)], 51, named("search_sources")),
    Recorded(AZURE, BOT, [function(*INDEX, members(search_query=text()))], 49, "auto"),
    Recorded(AZURE, BOT, [ORDER], 86, "none"),
    Recorded(AZURE, BOT, [demo(string1=text())], 65, "none"),
    Recorded(AZURE, BOT, [demo(string_2a=MOOD)], 73, "none"),
    Recorded(AZURE, BOT, [demo(string_2a=MOOD, string_2b=LOST)], 89, "none"),
    Recorded(AZURE, BOT, [demo({"string_1": text("Not required gets a question mark")},
                               string_2a=MOOD, string_2b=LOST)], 103, "none"),
    Recorded(AZURE, BOT, [ADDRESSES], 59, "none"),
    Recorded(OLD, COOKBOOK, [CELSIUS], 105),
    Recorded("gpt-4", COOKBOOK, [CELSIUS], 105),
    Recorded("gpt-4o", COOKBOOK, [CELSIUS], 101),
    Recorded(MINI, COOKBOOK, [CELSIUS], 101),
    Recorded(MINI, CRUMPET, DRAGONS, 92),
    Recorded(MINI, LOOKED_UP, DRAGONS, 118),
    Recorded(MINI, FOUND, DRAGONS, 146),
    Recorded(MINI, ENGLAND, [CAPITAL], 104, "auto"),
    Recorded(MINI, LONDON, [CAPITAL], 129, "auto"),
    Recorded(MINI, CITIES, [BOSTON], 75, "auto"),
    Recorded(MINI, [*CITIES, *BOTH], [], 99),
    Recorded("gpt-4o", LARGEST, FINAL, 68, "required"),
    Recorded("gpt-4o", MEXICO, FINAL, 89, "required"),
)  # fmt: skip

ANSWERS: Final = (
    (MINI, [("get_current_weather", '{"location": "Seattle, WA"}'),
            ("get_current_weather", '{"location": "San Francisco, CA"}')], 51),
    ("gpt-4o", [("get_user_country", "{}")], 11),
    (MINI, [("lookup_population", '{"country":"Crumpet"}')], 17),
    (MINI, [("can_have_dragons", '{"population":123124}')], 18),
    ("gpt-3.5-turbo-0125", [("get_current_weather", '{"location":"San Francisco"}')], 16),
    (MINI, [("get_capital", '{"country":"England"}')], 15),
    ("gpt-4o", [("get_weather", '{"location":"Shanghai"}')], 14),
    ("gpt-4o", [("get_weather", '{"location":"Paris, France"}')], 16),
    ("gpt-4o", [("get_current_weather", '{"location":"Boston, MA"}')], 18),
    ("gpt-4o", [("get_current_weather", '{"location":"Boston, MA","unit":"celsius"}')], 23),
    ("gpt-4-0613", [("get_current_weather", '{\n "location": "Shanghai"\n}')], 17),
)  # fmt: skip
"""Answers that call tools, by model: the names and arguments, and the completion tokens the API gave."""

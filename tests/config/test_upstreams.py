"""An upstream has an address without surprises, and headers that can be sent."""

import pytest

from proxy.upstream.routes import Credential
from tests.config.samples import URL, LoadText, Reported, text_of, upstream


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("'ftp://host'", "must begin with https:// or http://"),
        ("api.openai.com", "must begin with https:// or http://"),
        ("'https://'", "is not a URL with a valid host and port"),
        ("'https://:443/v1'", "is not a URL with a valid host and port"),
        ("'https://host:99999'", "is not a URL with a valid host and port"),
        ("'https://host:0'", "is not a URL with a valid host and port"),
        ("'https://[::1'", "is not a URL with a valid host and port"),
        ("'https://ho\\st'", "is not a URL with a valid host and port"),
        ("'https://host/v1?'", "must not have a query or a fragment"),
        ("'https://host/v1#a'", "must not have a query or a fragment"),
        ("'https://host/a/../v1'", "must not have empty segments, '.' or '..' in its path"),
        ("'https://host//v1'", "must not have empty segments, '.' or '..' in its path"),
        ("'https://host/v1//'", "must not have empty segments, '.' or '..' in its path"),
        ("'https://host /v1'", "must be ASCII without blanks; write other hosts in punycode"),
        ("'https://hôst/v1'", "must be ASCII without blanks; write other hosts in punycode"),
        (r'"https://host/v1\n"', "must be ASCII without blanks; write other hosts in punycode"),
    ],
)
def test_a_base_url_is_an_address_and_a_path_and_no_more(reported: Reported, url: str, fault: str) -> None:
    (found,) = reported(text_of(upstreams=upstream(f"base_url: {url}")))
    assert found.startswith("upstreams.openai.base_url: '")
    assert found.endswith(fault)


@pytest.mark.parametrize(
    ("forward", "faults"),
    [
        ("[plugins, frobnicate, '*']", []),
        ("[plugins, plugins]", ["upstreams.openai.forward[1]: 'plugins' is there already"]),
        *(
            (
                f"[{name}]",
                [f"upstreams.openai.forward[0]: '{name}' is read by Farebox, and goes up as it was read"],
            )
            for name in ("max_tokens", "n_predict", "n", "model", "messages", "stream_options")
        ),
    ],
)
def test_what_farebox_reads_itself_cannot_be_forwarded_as_it_is(
    reported: Reported, load_text: LoadText, forward: str, faults: list[str]
) -> None:
    """Another value of it at the upstream would make the hold untrue."""
    text = text_of(upstreams=upstream(f"{URL}, forward: {forward}"))
    if faults:
        assert reported(text) == faults
    else:
        assert load_text(text).upstreams["openai"].forward == {"plugins", "frobnicate", "*"}


NO_FIELD = "is not the name of a query field: letters, digits, '.', '_', '~', '-'"
NO_EFFECT = "has no effect on a credential that is sent in the query"
NO_HEADER = "is not the name of a header that can be set"
LEFT_OUT = "is empty; without a credential, leave `credential` out"
SENDABLE = "must be visible ASCII without line breaks, and no blanks around it"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "credential: {value: ''}",
            f"credential.value: {LEFT_OUT}",
        ),
        (
            "credential: {value: ' '}",
            f"credential.value: {LEFT_OUT}",
        ),
        (r'credential: {value: "sk-1\n"}', f"credential.value: {SENDABLE}"),
        ("credential: {value: schlüssel}", f"credential.value: {SENDABLE}"),
        (
            "credential: {value: a, header: 'X Key'}",
            f"credential.header: {NO_HEADER}",
        ),
        (
            "credential: {value: a, header: Host}",
            f"credential.header: {NO_HEADER}",
        ),
        (r'credential: {value: a, scheme: "a\r\nb"}', f"credential.scheme: {SENDABLE}"),
        (
            "credential: {value: a, query: 'k=v&x'}",
            f"credential.query: {NO_FIELD}",
        ),
        (
            "credential: {value: a, query: key, header: X}",
            f"credential.header: {NO_EFFECT}",
        ),
        (
            "credential: {value: a, query: key, scheme: X}",
            f"credential.scheme: {NO_EFFECT}",
        ),
        ("headers: {'X:Y': a}", "headers.X:Y: is not a header name"),
        ("headers: {Content-Length: '5'}", "headers.Content-Length: is a header that Farebox sets itself"),
        ("headers: {X-A: a, x-a: b}", "headers.x-a: is set by headers.X-A already"),
        (
            "headers: {authorization: a}, credential: {value: b}",
            "headers.authorization: is set by credential already",
        ),
        (r'headers: {X-A: "a\r\nEvil: b"}', f"headers.X-A: {SENDABLE}"),
        ("headers: {X-A: ' a'}", f"headers.X-A: {SENDABLE}"),
        ("headers: {X-A: ''}", "headers.X-A: is empty"),
    ],
)
def test_credentials_and_headers_can_be_sent_as_they_are(reported: Reported, text: str, fault: str) -> None:
    assert reported(text_of(upstreams=upstream(f"{URL}, {text}"))) == [f"upstreams.openai.{fault}"]


def test_an_upstream_whose_when_is_empty_is_left_out_with_its_targets(load_text: LoadText) -> None:
    text = text_of(
        upstreams="upstreams: {openai: {base_url: 'https://a'}, "
        "other: {when: '${KEY:-}', base_url: 'https://b', credential: {value: '${KEY:-}'}}}",
        routes="routes:\n- {models: [gpt-4o], targets: [{upstream: other}]}\n"
        "- {models: ['gpt-4o*'], targets: [{upstream: other}, {upstream: openai}]}",
    )
    assert list(load_text(text).upstreams) == ["openai"]
    targets = [
        [target.upstream.name for target in found.targets]
        for key in ("", "sk-1")
        if (found := load_text(text, KEY=key).routes.for_model("embeddings", "gpt-4o"))
    ]
    assert targets == [["openai"], ["other"]]


OWN = "acct_01m7xe0hd6y7gjgnv3j95n6mfs"


def test_an_account_with_its_own_keys_is_served_where_it_has_them_alone(load_text: LoadText) -> None:
    """Under a name of its own, so that what is made there is asked for with the same key."""
    upstreams = (
        f"upstreams: {{a: {{base_url: 'https://a', own_keys: {{{OWN}: {{value: own-key}}}}}}, "
        "b: {base_url: 'https://b', credential: {value: house}}}"
    )
    routes = "routes: [{models: [gpt-4o], targets: [{upstream: a}, {upstream: b}]}]"
    cards = "rate_cards: {x: {match: ['*'], rates: {requests: {per_unit: '1'}}}}"
    settings = load_text(text_of(upstreams=upstreams, routes=routes, rate_cards=cards))
    route = settings.routes.for_model("chat.completions", "gpt-4o")
    assert route is not None
    (target,) = settings.routes.with_own_key(route, OWN).targets
    assert (target.upstream.name, target.upstream.base_url) == (f"a/{OWN}", "https://a")
    assert target.upstream.credential == Credential("Bearer own-key")
    assert settings.routes.upstream(f"a/{OWN}") == target.upstream
    assert settings.routes.with_own_key(route, "acct_other") is route
    assert settings.routes.accounts_on("a") == [OWN]
    found = settings.book.by_id("x")
    assert found is not None
    assert found.own_key == "1", "cards charge in full that do not say how much"
    assert "own-key" not in repr(settings.routes.upstream(f"a/{OWN}"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (f"own_keys: {{{OWN}: {{value: ''}}}}", f"own_keys.{OWN}.value: is empty"),
        (
            f"headers: {{X-Key: a}}, own_keys: {{{OWN}: {{value: b, header: x-key}}}}",
            f"own_keys.{OWN}.header: 'x-key' is set by headers already",
        ),
        ("own_keys: {acme: {value: b}}", "own_keys.acme: is not the id of an account"),
    ],
)
def test_an_own_key_can_be_sent_and_is_an_accounts(text: str, fault: str, reported: Reported) -> None:
    (said, *_) = reported(text_of(upstreams=f"upstreams: {{openai: {{base_url: 'https://a', {text}}}}}"))
    assert said.startswith(f"upstreams.openai.{fault}")

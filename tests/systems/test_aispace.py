"""AiSpace: credits, for text, pictures, speech and video."""

import json
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from tests.acceptance.harness import Account, eventually, nano
from tests.acceptance.scripted_upstream import ScriptedUpstream, answers
from tests.endpoints.openai.images.answers import png
from tests.systems.system import HOLDINGS_SECRET, System, system_with_a_clock

CHAT = "/v1/chat/completions"
HOUR = 3_600
DAY = 24 * HOUR
CREDIT_NANO = 100_000
CHATS = [
    ("qwen3-4b", 500, 1_500),
    ("qwen3-235b-a22b-instruct-2507", 1_500, 7_500),
    ("llama-3.2-3b", 1_500, 6_000),
    ("venice-uncensored", 2_000, 9_000),
    ("qwen3-235b", 4_500, 35_000),
    ("qwen3-235b-a22b-thinking-2507", 4_500, 35_000),
    ("mistral-31-24b", 5_000, 20_000),
    ("llama-3.3-70b", 7_000, 28_000),
    ("qwen3-coder-480b-a35b-instruct", 7_500, 30_000),
    ("zai-org-glm-4.6", 8_500, 27_500),
]
BETA = [
    ("openai-gpt-oss-120b", 700, 3_000),
    ("google-gemma-3-27b-it", 1_200, 2_000),
    ("qwen3-next-80b", 3_500, 19_000),
    ("deepseek-ai-DeepSeek-R1", 8_500, 27_500),
    ("hermes-3-llama-3.1-405b", 11_000, 30_000),
]
FIXED = [
    ("wan-2.1-pro-image-to-video", 8_800),
    ("ovi-image-to-video", 2_200),
    ("veo3-fast-image-to-video", 8_800),
    ("veo3-full-image-to-video", 17_600),
    ("veo3.1-fast-image-to-video", 13_200),
    ("veo3.1-full-image-to-video", 35_200),
]
DYNAMIC = [
    ("wan-2.6-image-to-video", 5, 8_300),
    ("wan-2.6-text-to-video", 5, 8_300),
    ("wan-2.5-preview-image-to-video", 5, 8_300),
    ("wan-2.5-preview-text-to-video", 5, 8_300),
    ("wan-2.2-a14b-text-to-video", 5, 1_100),
    ("ltx-2-fast-image-to-video", 6, 2_600),
    ("ltx-2-fast-text-to-video", 6, 2_600),
    ("ltx-2-full-image-to-video", 6, 4_000),
    ("ltx-2-full-text-to-video", 6, 4_000),
    ("kling-2.6-pro-text-to-video", 5, 7_700),
    ("kling-2.6-pro-image-to-video", 5, 7_700),
    ("kling-2.5-turbo-pro-text-to-video", 5, 3_900),
    ("kling-2.5-turbo-pro-image-to-video", 5, 3_900),
    ("longcat-distilled-image-to-video", 5, 900),
    ("longcat-distilled-text-to-video", 5, 900),
    ("longcat-image-to-video", 5, 2_500),
    ("longcat-text-to-video", 5, 2_500),
    ("veo3-fast-text-to-video", 4, 4_400),
    ("veo3-full-text-to-video", 4, 8_800),
    ("veo3.1-fast-text-to-video", 4, 6_600),
    ("veo3.1-full-text-to-video", 4, 17_600),
    ("sora-2-image-to-video", 4, 4_400),
    ("sora-2-text-to-video", 4, 4_400),
    ("sora-2-pro-image-to-video", 4, 13_200),
    ("sora-2-pro-text-to-video", 4, 13_200),
]


def credits_of(nano_usd: int) -> float:
    return nano_usd / CREDIT_NANO


def charged(account: Account) -> float:
    return credits_of(nano(account.last()["charged"]))


def quoted(account: Account, path: str, **body: Any) -> Any:
    return account.api.post(f"/v1/billing/quote?path={path}", body)


def test_s1_all_is_shown_in_credits(system: System) -> None:
    """A dollar is ten thousand."""
    account = system.account("1.00")
    balance = account.api.get("/v1/billing/balance")
    assert balance["display"]["unit"] == "credits"
    assert balance["display"]["balance"] == "10000.00"
    system.chat(account, "qwen3-4b", 500, 200)
    receipt = account.last()
    assert (receipt["display"]["charged"], receipt["lines"][0]["display"]["price"]) == ("0.55", "500.00")


def test_s3_credits_are_deducted_with_the_call_and_purchases_add_up(system: System) -> None:
    account = system.account("1.00")
    system.chat(account, "qwen3-4b", 500, 200)
    assert account.nano("available") == 10_000 * CREDIT_NANO - 55_000
    for key in ("a", "b"):
        system.server.admin.post(
            f"/admin/v1/accounts/{account.id}/grants",
            {"amount": "1.00"},
            {"Idempotency-Key": account.id + key},
        )
    assert account.nano("available") == 30_000 * CREDIT_NANO - 55_000


def test_s2_who_holds_enough_pays_nothing_within_the_quotas_of_a_tier(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """The last tier is for 13,000,000 and more; premium models have a quota a day, whoever asks."""
    signer = Webhook(HOLDINGS_SECRET)
    with system_with_a_clock("aispace", tmp_path, upstream) as (system, clock):
        account, buyer = system.account(""), system.account("1.00")
        path = f"/admin/v1/accounts/{account.id}/holdings"
        assert system.chat(buyer, "zai-org-glm-4.6", 1_000, 100) == 1_125_000
        assert account.api.ask("POST", CHAT, asked("qwen3-4b"))[0] == 402
        for held, group in ((12_999_999, "tier-1"), (13_000_000, "max"), (99_999, ""), (100_000, "tier-1")):
            status, _, told = system.server.admin.ask("PUT", path, {"held": held})
            assert (status, told["group"]) == (200, group)
        assert system.chat(account, "qwen3-4b", 1_000_000, 1_000) == 0
        with ThreadPoolExecutor(8) as callers:
            premium = asked("zai-org-glm-4.6")
            found = [*callers.map(lambda _: account.api.ask("POST", CHAT, premium), range(8))]
        assert sorted(status for status, _, _ in found) == [200] * 2 + [429] * 6
        refused = next(body["error"] for status, _, body in found if status == 429)
        midnight = datetime.fromtimestamp((int(time.time()) // DAY + 1) * DAY, UTC)
        assert (refused["code"], refused["resets_at"]) == (
            "quota_exceeded",
            f"{midnight:%Y-%m-%dT%H:%M:%SZ}",
        )
        assert system.chat(account, "qwen3-4b", 500, 200) == 0
        assert account.nano("balance") == 0

        assert tell(system, signer, buyer, 20_000_000)[1]["group"] == "max"
        system.upstream.behaviours["zai-org-glm-4.6"] = answers({"error": {}}, 500)
        assert buyer.api.ask("POST", CHAT, asked("zai-org-glm-4.6"))[0] == 500
        charged = [system.chat(buyer, "zai-org-glm-4.6", 1_000, 100) for _ in range(6)]
        assert charged == [0] * 5 + [1_125_000]
        clock.is_ahead(DAY)
        assert system.chat(buyer, "zai-org-glm-4.6", 1_000, 100) == 0
        forged = Webhook("whsec_" + "B" * 32)
        assert tell(system, forged, buyer, 5)[0] == 401
        assert tell(system, signer, buyer, 5, as_of="2020-01-01T00:00:00Z")[1]["group"] == "max"


def asked(model: str) -> dict[str, Any]:
    """A chat."""
    return {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100}


def tell(
    system: System, signer: Webhook, account: Account, held: int, as_of: str | None = None
) -> tuple[int, Any]:
    """Tell by the webhook how much an account holds."""
    now = datetime.now(UTC)
    data = {"account_id": account.id, "held": held, "as_of": as_of}
    body = json.dumps({"type": "holdings.updated", "timestamp": now.isoformat(), "data": data})
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signer.sign("msg_1", now, body),
    }
    request = urllib.request.Request(
        f"{system.server.url}/v1/webhooks/holdings", body.encode(), headers, method="POST"
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def test_s4_new_credits_are_there_at_midnight_in_utc(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """At the first call of a day, or without any; days on which nothing ran are made up for."""
    with system_with_a_clock("aispace", tmp_path, upstream) as (system, clock):
        midnight = int(time.time()) // DAY * DAY
        active, idle = (system.account("", group="daily") for _ in range(2))
        assert active.nano("available") == 500 * CREDIT_NANO
        clock.is_ahead(midnight + DAY - 60 - int(time.time()))
        assert system.chat(active, "qwen3-4b", 500, 200) == 55_000
        assert active.nano("available") == 500 * CREDIT_NANO - 55_000
        clock.is_ahead(midnight + DAY - int(time.time()))
        assert system.chat(active, "qwen3-4b", 500, 200) == 55_000
        assert active.nano("available") == 1_000 * CREDIT_NANO - 110_000
        eventually(lambda: idle.nano("available") == 1_000 * CREDIT_NANO)
        first, second = active.api.get("/v1/billing/lots")["data"]
        ends = [datetime.fromtimestamp(midnight + day * DAY, UTC) for day in (30, 31)]
        assert [lot["expires_at"] for lot in (first, second)] == [f"{end:%Y-%m-%dT%H:%M:%SZ}" for end in ends]
        assert (first["kind"], first["display"]["remaining"]) == ("renewal", "498.90")
        clock.kill_server()
        clock.is_ahead(midnight + 4 * DAY + HOUR - int(time.time()))
        clock.comes_back()
        eventually(lambda: idle.nano("available") == 5 * 500 * CREDIT_NANO)
        assert len(active.api.get("/v1/billing/lots")["data"]) == 5
        entries = active.api.get("/v1/billing/entries")["data"]
        assert [entry["note"] for entry in entries if entry["kind"] == "grant"] == ["daily"] * 5


def test_s5_each_batch_lasts_thirty_days_of_its_own_and_the_oldest_is_used_first(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """What is left of a batch on its thirtieth day is gone, and the next one is untouched by that."""
    with system_with_a_clock("aispace", tmp_path, upstream) as (system, clock):
        account = system.account("")
        began = int(time.time())
        for day in (0, 10):
            clock.is_ahead(day * DAY)
            ends = datetime.fromtimestamp(began + (day + 30) * DAY, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            batch = {"amount": "10000 credits", "kind": "purchase", "expires_at": ends}
            path = f"/admin/v1/accounts/{account.id}/grants"
            system.server.admin.post(path, batch, {"Idempotency-Key": f"day {day}".replace(" ", "-")})
        system.chat(account, "qwen3-4b", 500, 200)
        lots = account.api.get("/v1/billing/lots")["data"]
        assert [lot["display"]["remaining"] for lot in lots] == ["9999.45", "10000.00"]
        soon = account.api.get(f"/v1/billing/lots?expires_before={lots[1]['expires_at']}")["data"]
        assert soon == lots[:1]
        clock.is_ahead(30 * DAY - HOUR)
        assert credits_of(account.nano("balance")) == 19_999.45
        for day, left in ((30, 10_000), (40, 0)):
            clock.is_ahead(day * DAY + HOUR)
            assert credits_of(account.nano("balance")) == left
        kinds = [entry["kind"] for entry in account.api.get("/v1/billing/entries")["data"]]
        assert kinds == ["expire", "expire", "charge", "grant", "grant"]


@pytest.mark.parametrize(("model", "input_credits", "output_credits"), [*CHATS, *BETA])
def test_s6_s7_s15_chats_are_charged_by_the_tokens_that_were_used(
    system: System, model: str, input_credits: int, output_credits: int
) -> None:
    account = system.account()
    for prompt, output in ((1_000_000, 1), (1, 1_000_000)):
        total = prompt * input_credits + output * output_credits
        assert system.chat(account, model, prompt, output) * 1_000_000 == total * CREDIT_NANO


@pytest.mark.parametrize("stream", [False, True])
def test_s8_a_message_costs_a_fraction_of_a_credit_exactly(system: System, stream: bool) -> None:
    assert system.chat(system.account(), "qwen3-4b", 500, 200, stream=stream) == 55_000


def test_s9_pictures_are_charged_by_their_number(system: System) -> None:
    system.upstream.behaviours["image-generate"] = answers({"created": 1, "data": [{"b64_json": "AAAA"}] * 3})
    system.upstream.behaviours["image-edit"] = answers({"created": 1, "data": [{"b64_json": "AAAA"}]})
    account = system.account()
    with system.client(account) as client:
        client.images.generate(model="image-generate", prompt="A tram", n=3)
        assert charged(account) == 300
        client.images.edit(model="image-edit", prompt="In the rain", image=("a.png", png(64, 64)))
        assert charged(account) == 400


@pytest.mark.parametrize(("scale", "price"), [(2, 200), (4, 800)])
def test_s9_pictures_are_made_larger_at_the_price_of_the_scale(
    system: System, scale: int, price: int
) -> None:
    system.upstream.behaviours["/v1/image/upscale"] = answers({"image": "AAAA"})
    account = system.account()
    account.api.post("/v1/image/upscale", {"image": "AAAA", "scale": scale})
    assert charged(account) == price


def test_s10_speech_is_charged_by_the_character(system: System) -> None:
    system.upstream.behaviours["tts-kokoro"] = answers(b"ID3")
    account = system.account()
    with system.client(account) as client:
        client.audio.speech.create(model="tts-kokoro", voice="af_sky", input="x" * 4_000)
    assert nano(account.last()["charged"]) == 4_000 * 3_500


@pytest.mark.parametrize(("model", "price"), FIXED)
def test_s11_s12_a_fixed_video_costs_the_same_whatever_is_asked(
    system: System, model: str, price: int
) -> None:
    account = system.account()
    for asked in ({}, {"seconds": "4"}, {"seconds": "12", "size": "1280x720"}):
        quote = quoted(account, "/v1/videos", model=model, prompt="A tram", **asked)
        assert (quote["exact"], credits_of(nano(quote["hold"]))) == (True, price)


@pytest.mark.parametrize(("model", "seconds", "price"), DYNAMIC)
def test_s11_s12_a_dynamic_video_is_quoted_by_what_is_asked(
    system: System, model: str, seconds: int, price: int
) -> None:
    account = system.account()
    for times in (1, 2):
        asked = {"seconds": str(seconds * times)}
        quote = quoted(account, "/v1/videos", model=model, prompt="A tram", **asked)
        assert (quote["exact"], credits_of(nano(quote["hold"]))) == (True, price * times)


def test_s12_a_video_is_held_for_when_it_is_asked_for_and_charged_when_it_is_there(system: System) -> None:
    """One that fails costs nothing."""
    states = {"video_1": "completed", "video_2": "failed"}
    account = system.account()
    for at, (id_, state) in enumerate(states.items()):
        video = {
            "id": id_,
            "object": "video",
            "model": "sora-2-text-to-video",
            "seconds": "4",
            "created_at": 1,
        }
        made, ended = answers(video | {"status": "queued"}), answers(video | {"status": state})
        system.upstream.behaviours["sora-2-text-to-video"] = made
        system.upstream.behaviours[f"/v1/videos/{id_}"] = ended
        body = {"model": "sora-2-text-to-video", "prompt": "A tram", "seconds": "4"}
        account.api.post("/v1/videos", body)
        assert credits_of(account.nano("held")) == 4_400
        account.api.get(f"/v1/videos/{id_}")
        assert account.nano("held") == 0
        assert credits_of(10**11 - account.nano("balance")) == (4_400, 4_400)[at]


SEARCHES = [("qwen3-4b", 100), ("venice-uncensored", 100), ("mistral-31-24b", 100), ("qwen3-235b", 100)]
OTHERS = [("llama-3.3-70b", 250), ("zai-org-glm-4.6", 250), ("openai-gpt-oss-120b", 250)]


@pytest.mark.parametrize(("model", "price"), SEARCHES + OTHERS)
@pytest.mark.parametrize(
    ("members", "text", "units"),
    [
        ({"enable_web_search": True}, "Hi", 1),
        ({"enable_web_scraping": True}, "See https://a.example and https://b.example", 2),
        ({"enable_web_scraping": True}, " ".join(["https://a.example"] * 9), 3),
        ({"enable_web_search": True, "enable_web_scraping": True}, "See https://a.example", 2),
        ({"enable_web_search": False, "enable_web_scraping": False}, "See https://a.example", 0),
    ],
)
def test_s13_searches_and_addresses_are_charged_beside_the_tokens(
    system: System, model: str, price: int, members: dict[str, bool], text: str, units: int
) -> None:
    account = system.account()
    messages = [{"role": "user", "content": text}]
    plain = system.chat(account, model, 1_000, 100, messages=messages)
    with_extras = system.chat(account, model, 1_000, 100, messages=messages, extra_body=members)
    assert credits_of(with_extras - plain) == units * price


def test_s14_embeddings_are_charged_by_their_input(system: System) -> None:
    model = "text-embedding-bge-m3"
    usage = {"prompt_tokens": 1_000, "total_tokens": 1_000}
    vectors = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
    reply = {"object": "list", "data": vectors, "model": model, "usage": usage}
    system.upstream.behaviours[model] = answers(reply)
    account = system.account()
    with system.client(account) as client:
        client.embeddings.create(model=model, input="Hi", encoding_format="float")
    assert nano(account.last()["charged"]) == 1_000 * 150


def test_s5_what_is_bought_lasts_thirty_days(system: System) -> None:
    account = system.account("")
    paid = system.bought(account, {"amount": "100000 credits"}, "card 30")
    (lot,) = account.api.get("/v1/billing/lots")["data"]
    assert (lot["id"], lot["kind"], lot["display"]["remaining"]) == (paid["lot_id"], "purchase", "100000.00")
    instants = (datetime.fromisoformat(lot[name]) for name in ("expires_at", "granted_at"))
    assert next(instants) - next(instants) == timedelta(days=30)

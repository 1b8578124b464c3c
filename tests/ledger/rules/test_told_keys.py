"""What is told of a key's life: that it was created, disabled, and enabled again, each once."""

from proxy.ledger.commands import ChangeKey, CreateKey
from proxy.ledger.windows import DAY_US
from tests.ledger.desk import ACCOUNT
from tests.ledger.rules.test_alerts import desk_of, told

KEYS = ("key.created", "key.disabled", "key.enabled")


def test_a_key_is_told_when_it_is_created_and_without_its_secret() -> None:
    desk = desk_of()
    ends_us = (desk.now_us // DAY_US + 1) * DAY_US
    desk.do(CreateKey(ACCOUNT, "key_2", "phone", "digest", "wxyz", desk.now_us, expires_at_us=ends_us))
    desk.refuse(CreateKey(ACCOUNT, "key_2", "phone", "digest", "wxyz", desk.now_us))
    found = [data for _, data in told(desk, "key.created") if data["key_id"] == "key_2"]
    assert found == [
        {"account_id": ACCOUNT, "key_id": "key_2", "name": "phone", "expires_at": "2024-10-05T00:00:00Z"}
    ]


def test_its_status_is_told_as_it_changes() -> None:
    """And no other change of it is."""
    desk = desk_of()
    desk.do(CreateKey(ACCOUNT, "key_2", "phone", "digest", "wxyz", desk.now_us))
    for status in ("active", "disabled", "disabled", "active"):
        desk.now_us += 1
        desk.do(ChangeKey(ACCOUNT, "key_2", desk.now_us, status=status))
        desk.do(ChangeKey(ACCOUNT, "key_2", desk.now_us, name=f"phone {status}"))
    found = [(type_, data["name"]) for type_, data in told(desk, *KEYS) if data["key_id"] == "key_2"]
    assert found == [
        ("key.created", "phone"),
        ("key.disabled", "phone active"),
        ("key.enabled", "phone disabled"),
    ]

"""A studio: an upstream that makes videos as a test says, and what a test asks of it and of the ledger."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.acceptance.harness import Account, config_for, nano
from tests.acceptance.scripted_upstream import ScriptedUpstream

SECOND_NANO = 100_000_000
MP4 = b"\x00\x00\x00 ftypisom" + bytes(range(256)) * 400
CARD = {"match": ["sora-*"], "rates": {"video_seconds": {"per_unit": "0.10"}}}


class Studio:
    """The videos of a scripted upstream. Tests set how far each is; `requests` has what came, by path.

    With a `course` a video that is asked for has gone on by the next time: from each status to another.
    """

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self.status: dict[str, str] = {}
        self.course: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []
        self._seconds: dict[str, str] = {}
        self._ids = itertools.count(1)
        self._behaviours = upstream.behaviours
        for path in ("/v1/videos", "/v1/videos/edits", "/v1/videos/extensions", "sora-2"):
            self._behaviours[path] = self._made

    def video(self, id_: str) -> dict[str, Any]:
        return {
            "id": id_,
            "object": "video",
            "created_at": 1_700_000_000,
            "model": "sora-2",
            "progress": 0,
            "prompt": "A cat",
            "seconds": self._seconds[id_],
            "size": "720x1280",
            "status": self.status[id_],
        }

    async def _made(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        in_form = re.search(rb'name="seconds"\r\n\r\n(\d+)', await request.read())
        self.requests.append((request.method, request.path))
        id_ = f"video_{next(self._ids)}"
        self.status[id_] = "queued"
        self._seconds[id_] = in_form[1].decode() if in_form else str(body.get("seconds", "8"))
        for below in ("", "/content", "/remix"):
            self._behaviours[f"/v1/videos/{id_}{below}"] = self._asked(id_, below)
        return web.json_response(self.video(id_))

    def _asked(self, id_: str, below: str) -> Callable[..., Any]:
        async def behaviour(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
            if below == "/remix":
                return await self._made(request, body)
            self.requests.append((request.method, request.path))
            if id_ not in self.status:
                return web.json_response({"error": {"message": "no such video"}}, status=404)
            if request.method == "DELETE":
                del self.status[id_]
                return web.json_response({"id": id_, "object": "video.deleted", "deleted": True})
            if below and self.status[id_] != "completed":
                return web.json_response({"error": {"message": "not ready"}}, status=404)
            if not below:
                self.status[id_] = self.course.get(self.status[id_], self.status[id_])
            return (
                web.Response(body=MP4, content_type="video/mp4")
                if below
                else web.json_response(self.video(id_))
            )

        return behaviour


def videos_config(port: int, folder: Path, **overrides: Any) -> dict[str, Any]:
    config = config_for(port, folder, **overrides)
    config["rate_cards"] = {"sora": CARD, **config["rate_cards"]}
    return config


def jobs_of(account: Account) -> list[tuple[str, str, int]]:
    """How each job of an account ended, oldest first."""
    return [
        (row["endpoint"], row["outcome"], nano(row["charged"]))
        for row in account.requests()
        if row["endpoint"] in {"videos", "videos.remix", "videos.edits", "videos.extensions"}
    ]

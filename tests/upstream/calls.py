"""Sending to an upstream under test, in one line."""

import pytest

from proxy.upstream.base import UpstreamFailure, UpstreamRequest
from proxy.upstream.client import HttpUpstreams
from proxy.upstream.routes import Credential, Target, Upstream
from tests.upstream.scripted import Scripted


def to(
    upstream: Scripted | str,
    credential: Credential | None = None,
    *,
    headers: tuple[tuple[str, str], ...] = (),
    first_byte_seconds: float = 5.0,
    idle_seconds: float = 5.0,
    connect_seconds: float = 5.0,
) -> Target:
    return Target(
        Upstream(
            "up",
            upstream if isinstance(upstream, str) else upstream.base_url,
            credential,
            headers,
            connect_seconds=connect_seconds,
            first_byte_seconds=first_byte_seconds,
            idle_seconds=idle_seconds,
        )
    )


def upstream_request(
    body: bytes = b"{}", *headers: tuple[str, str], path: str = "/v1/x", query: str = "", method: str = "POST"
) -> UpstreamRequest:
    return UpstreamRequest(method, path, query, headers, body)


async def fetched(
    client: HttpUpstreams, target: Target, sent: UpstreamRequest | None = None
) -> tuple[int, bytes]:
    answer = await client.send(target, sent or upstream_request())
    try:
        return answer.status, b"".join([chunk async for chunk in answer.chunks()])
    finally:
        answer.close()


async def refused_by(
    client: HttpUpstreams, target: Target, sent: UpstreamRequest | None = None
) -> UpstreamFailure:
    with pytest.raises(UpstreamFailure) as caught:
        await fetched(client, target, sent)
    return caught.value

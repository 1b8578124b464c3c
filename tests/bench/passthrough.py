"""What Farebox is measured against: the least that a proxy made of aiohttp does, and does well.

It forwards requests with another credential. A whole answer is read and sent on in one piece, a stream
chunk by chunk. It measures nothing, checks nothing and keeps nothing. Run as
`python -m tests.bench.passthrough PORT UPSTREAM_PORT`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator

import uvloop
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web

NOT_UP = frozenset(
    {"host", "content-length", "authorization", "accept-encoding", "connection", "transfer-encoding"}
)
NOT_DOWN = frozenset({"content-length", "connection", "transfer-encoding"})
SESSION = web.AppKey("session", ClientSession)
UPSTREAM = web.AppKey("upstream", str)


async def forward(request: web.Request) -> web.StreamResponse:
    """Send a request up and its answer down."""
    headers = {name: value for name, value in request.headers.items() if name.lower() not in NOT_UP}
    headers["Authorization"] = "Bearer sk-upstream"
    headers["Accept-Encoding"] = "identity"
    body = await request.read()
    async with request.app[SESSION].request(
        request.method,
        request.app[UPSTREAM] + request.raw_path,
        headers=headers,
        data=body,
        allow_redirects=False,
    ) as answer:
        passed = {name: value for name, value in answer.headers.items() if name.lower() not in NOT_DOWN}
        if answer.content_type != "text/event-stream":
            return web.Response(status=answer.status, headers=passed, body=await answer.read())
        response = web.StreamResponse(status=answer.status, headers=passed)
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response


def build(upstream_port: int) -> web.Application:
    """The pass-through as an application."""

    async def session(app: web.Application) -> AsyncIterator[None]:
        async with ClientSession(
            connector=TCPConnector(limit=0),
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=None, sock_connect=10),
            auto_decompress=False,
        ) as app[SESSION]:
            yield

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app[UPSTREAM] = f"http://127.0.0.1:{upstream_port}"
    app.cleanup_ctx.append(session)
    app.router.add_route("*", "/{path:.*}", forward)
    return app


async def _main(port: int, upstream_port: int) -> None:
    runner = web.AppRunner(build(upstream_port), access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=2048).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1]), int(sys.argv[2])))

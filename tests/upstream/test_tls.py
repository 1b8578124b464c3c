"""Upstreams behind TLS: reached when their certificate can be trusted, and never otherwise."""

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from proxy.upstream.client import HttpUpstreams
from tests.upstream.calls import refused_by, to
from tests.upstream.scripted import OK

# What a child process does, whose trusted certificates are those of its environment.
FETCH = """
import asyncio, sys
from proxy.upstream.client import HttpUpstreams
from tests.upstream.calls import fetched, to

async def main():
    client = HttpUpstreams()
    await client.open()
    print(*await fetched(client, to(sys.argv[1])))
    await client.close()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def certificate(require: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for `localhost` that signs itself, in one file."""
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        [
            *(require("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(file), "-out", f"{file}.crt"),
        ],
        check=True,
        capture_output=True,
    )
    file.write_bytes(file.read_bytes() + Path(f"{file}.crt").read_bytes())
    return file


@pytest.fixture
async def secure_url(certificate: Path) -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(OK)
        await writer.drain()
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    yield f"https://localhost:{server.sockets[0].getsockname()[1]}"
    server.close()


async def test_a_certificate_nobody_vouches_for_is_not_trusted(
    client: HttpUpstreams, secure_url: str
) -> None:
    """No request is sent, and the failure says why."""
    failure = await refused_by(client, to(secure_url))
    assert (failure.code, failure.untouched) == ("upstream_unreachable", True)
    assert "certificate" in str(failure)


async def test_trust_comes_from_the_machine(certificate: Path, secure_url: str) -> None:
    """`SSL_CERT_FILE` names the certificates to trust, as everywhere."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        FETCH,
        secure_url,
        env={**os.environ, "SSL_CERT_FILE": f"{certificate}.crt"},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await child.communicate()
    assert output.decode().strip() == "200 b'{}'"

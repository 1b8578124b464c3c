"""Pictures as OpenAI's API sends them, and requests for them, built from Python values."""

import base64
import json
import struct
from collections.abc import Mapping
from typing import Any

PICTURE_BYTES = 3 * 1_024
PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(PICTURE_BYTES - 8)).decode()
"""One that counts as three tokens where nothing is reported."""
PICTURE_TOKENS = 3
BOUNDARY = "boundary-of-the-form"
FORM_HEAD = (("Content-Type", f"multipart/form-data; boundary={BOUNDARY}"),)


def png(width: int, height: int, rest: bytes = bytes(100)) -> bytes:
    """The file of a picture of this size, as far as anybody here reads it."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + rest


def data_url(file: bytes) -> str:
    """A picture within JSON."""
    return f"data:image/png;base64,{base64.b64encode(file).decode()}"


def usage(given: int = 50, drawn: int = 1_056, **more: object) -> dict[str, object]:
    """What GPT image models report of a generation."""
    details = {"text_tokens": given, "image_tokens": 0}
    return {
        "input_tokens": given,
        "output_tokens": drawn,
        "total_tokens": given + drawn,
        "input_tokens_details": details,
        **more,
    }


def whole(*pictures: Mapping[str, object], **members: object) -> dict[str, Any]:
    """An answer in one piece."""
    return {"created": 1_700_000_000, "data": list(pictures), **members}


def event(kind: str, **members: object) -> bytes:
    """One event, under its name."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def partial(index: int = 0, what: str = "image_generation", picture: str = PICTURE) -> bytes:
    """A picture that is not finished."""
    return event(
        f"{what}.partial_image", partial_image_index=index, b64_json=picture, created_at=1, size="auto"
    )


def completed(what: str = "image_generation", picture: str = PICTURE, **members: object) -> bytes:
    """A picture that is finished; the last one of a stream ends it."""
    return event(f"{what}.completed", b64_json=picture, created_at=1, size="1024x1024", **members)


STREAM = [partial(0), partial(1), completed(usage=usage(drawn=1_256))]
"""A stream of one picture."""


def form(*fields: tuple[str, str | bytes]) -> bytes:
    """A form: what is bytes is a file."""
    pieces = []
    for name, value in fields:
        is_file = isinstance(value, bytes)
        more = '; filename="a.png"\r\nContent-Type: image/png' if is_file else ""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
        pieces.append(head.encode() + (value if isinstance(value, bytes) else value.encode()) + b"\r\n")
    return b"".join(pieces) + f"--{BOUNDARY}--\r\n".encode()

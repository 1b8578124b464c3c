"""Forms as clients send them, written by hand."""

from collections.abc import Mapping

HEADERS = [("content-type", "multipart/form-data; boundary=b-7")]


def field(name: str, value: str | bytes, *head: str) -> bytes:
    content = value if isinstance(value, bytes) else value.encode()
    lines = [f'Content-Disposition: form-data; name="{name}"', *head]
    return b"--b-7\r\n%b\r\n\r\n%b\r\n" % ("\r\n".join(lines).encode(), content)


def file(name: str, content: bytes, filename: str = "a.wav") -> bytes:
    return field(name, content).replace(b'"\r\n', f'"; filename="{filename}"\r\n'.encode(), 1)


def form(*parts: bytes) -> bytes:
    return b"".join((*parts, b"--b-7--\r\n"))


def form_of(members: Mapping[str, object]) -> bytes:
    """A form as an SDK writes these members: bytes are files, and lists have their name again and again."""
    parts = []
    for name, value in members.items():
        if isinstance(value, bytes):
            parts.append(file(name, value))
        elif isinstance(value, list):
            parts += [field(f"{name}[]", str(item)) for item in value]
        elif isinstance(value, bool):
            parts.append(field(name, str(value).lower()))
        elif value is not None:
            parts.append(field(name, str(value)))
    return form(*parts)

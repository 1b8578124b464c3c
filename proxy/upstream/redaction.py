"""Redaction: no answer tells a caller the credential that its request went up with.

Headers and errors are searched for it in every spelling. A successful answer is searched for it as it was
sent, which is how one repeats the headers or the address of its request. That costs some tenths of
a microsecond for each event; to undo the escapes in every event would cost more than to pass it on.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from proxy.upstream.routes import Upstream
from proxy.upstream.spellings import as_encoded, as_sent, plain

_Text = TypeVar("_Text", bytes, str)

ANYWHERE_CHARS: Final = 8
"""From this length on a secret is found anywhere. A shorter one may be a part of a word."""
LEAST_CHARS: Final = 4
"""What is shorter cannot be told from other text, and is no secret."""

NO_TEXT_CHARS: Final = 2**62
"""Where there is no secret, no text is long enough to hold one."""

_SECRET_NAME: Final = re.compile(
    r"auth|cookie|credential|jwt|(^|[-_])(api)?key|pass(word|wd|phrase)?([-_]|$)|secret|session|signature|token",
    re.IGNORECASE,
)
# A long run of letters with digits: no word, no version and no date.
_SECRET_FORM: Final = re.compile(r"(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{16}")
_SCHEMES: Final = frozenset({"apikey", "basic", "bearer", "key", "token"})
# A field of a cookie, or of a scheme that has fields.
_NAMED_VALUE: Final = re.compile(r'[A-Za-z][0-9A-Za-z_-]*="?([^"]{8,}?)"?')


class Redaction:
    """What one upstream was sent that its answers must not tell.

    A secret of fewer than 8 characters is looked for as a word of its own, and only in headers and errors.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        known = [one for one in dict.fromkeys(secrets) if len(one) >= LEAST_CHARS]
        long = [one for one in known if len(one) >= ANYWHERE_CHARS]
        self._sent = tuple(dict.fromkeys(form for one in long for form in as_sent(one)))
        self._cores = _cores(self._sent)
        self._ends = b"".join(self._sent)
        self._encoded = tuple(dict.fromkeys(form for one in long for form in as_encoded(one)))
        self._plain = _cores(tuple({*(plain(one.encode()) for one in long), *map(plain, self._encoded)}))
        self._least_chars = min((len(plain(one.encode())) for one in known), default=NO_TEXT_CHARS)
        words = "|".join(re.escape(plain(one.encode())) for one in known if one not in long)
        self._words = re.compile(rf"(?<![0-9a-z])(?:{words})(?![0-9a-z])") if words else None

    def is_told_by(self, data: bytes) -> bool:
        """Whether `data` holds a secret, in any spelling."""
        if len(data) < self._least_chars:
            return False
        text = plain(data)
        for one in self._plain:
            if one in text:
                return True
        return self._words is not None and self._words.search(text) is not None

    def masked(self, data: bytes) -> bytes:
        """`data` with asterisks for each secret that is written as it was sent, or encoded as a whole."""
        for form in (*self._sent, *self._encoded):
            if form in data:
                data = data.replace(form, b"*" * len(form))
        return data

    def masking(self) -> "Masking | None":
        """What masks the pieces of one successful answer; None where no secret is long enough."""
        return Masking(self._sent, self._cores, self._ends) if self._sent else None


class Masking:
    """Masks secrets, as they were sent, in the pieces of one answer, also one that lies across two pieces.

    Every form has one of the `cores` in it, and all its bytes are among `ends`.
    """

    __slots__ = ("_cores", "_ends", "_forms", "_held")

    def __init__(self, forms: tuple[bytes, ...], cores: tuple[bytes, ...], ends: bytes) -> None:
        self._forms = forms
        self._cores = cores
        self._ends = ends
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """What can be passed on after `piece`: empty if all of it may be the beginning of a secret."""
        data = self._held + piece if self._held else piece
        for core in self._cores:
            # `in` of bytes makes an exception of each search and drops it, which takes most of its time.
            if data.find(core) >= 0:
                data = self._masked(data)
                break
        # No secret holds a line's end, with which every event ends, or the end of an object.
        if data and data[-1] not in self._ends:
            if self._held:
                self._held = b""
            return data
        cut = len(data) - max(_overlap(data, form) for form in self._forms)
        self._held = data[cut:]
        return data[:cut]

    def _masked(self, data: bytes) -> bytes:
        for form in self._forms:
            data = data.replace(form, b"*" * len(form))
        return data

    def rest(self) -> bytes:
        """What was kept back, once no more pieces come."""
        rest, self._held = self._held, b""
        return rest


def secrets_of(upstream: Upstream) -> Iterator[str]:
    """Every text with which requests to an upstream authenticate, with and without its scheme, longest first.

    A header of the configuration counts if its name or its value says so.
    """
    found: list[str] = []
    if upstream.credential is not None:
        found += _parts(upstream.credential.value)
    for name, value in upstream.headers:
        if _SECRET_NAME.search(name) or _SECRET_FORM.search(value):
            found += _parts(value)
    yield from sorted(dict.fromkeys(found), key=len, reverse=True)


def _parts(value: str) -> Iterator[str]:
    """A credential's whole value, what follows its scheme, the values in it, and user and password."""
    scheme, _, rest = value.partition(" ")
    rest = rest.strip()
    # What is long enough by itself is found with its scheme or without.
    if scheme.lower() not in _SCHEMES or len(rest) < ANYWHERE_CHARS:
        yield value
    if rest:
        yield rest
    for field in re.split(r"[;,]\s*", rest or value):
        if named := _NAMED_VALUE.fullmatch(field):
            yield named[1]
    if scheme.lower() == "basic":
        yield from _user_and_password(rest)


def _user_and_password(encoded: str) -> Iterator[str]:
    try:
        pair = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return
    user, _, password = pair.partition(":")
    yield pair
    # Some send a key as the user, without a password or with one that says nothing.
    if password:
        yield password
    if not password or _SECRET_FORM.search(user):
        yield user


def _cores(forms: tuple[_Text, ...]) -> tuple[_Text, ...]:
    """The forms that hold no other one: a text without them has none of the forms."""
    return tuple(form for form in forms if not any(other != form and other in form for other in forms))


def _overlap(data: bytes, form: bytes) -> int:
    """How many bytes at the end of `data` begin `form` without completing it."""
    if data[-1:] not in form:
        return 0
    longest = min(len(form) - 1, len(data))
    return next((size for size in range(longest, 0, -1) if data.endswith(form[:size])), 0)

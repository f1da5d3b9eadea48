"""Who asks, whom, and with how much patience."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from yingbi.clock import Clock, SystemClock
from yingbi.errors import ErrorCode, InvalidRequestError, RefusedError
from yingbi.ids import parse_party
from yingbi.keys import SigningKey, load_signing_key
from yingbi.sealing import ResultKey, load_result_key
from yingbi.transport import is_loopback
from yingbi.verify import Trust, TrustError, load_trust

__all__ = ["Address", "Identity", "Patience", "Settings"]

_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for one answer, how often to ask again, and how long to wait before that at most."""

    connect_s: float = 10.0
    read_s: float = 60.0
    attempts: int = 7
    first_pause_s: float = 0.2
    longest_pause_s: float = 20.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.connect_s, self.read_s, self.first_pause_s, self.longest_pause_s) <= 0:
            raise InvalidRequestError(ErrorCode.CONFIG_INVALID, "expected times and attempts above zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who signs: a party with its own key, or a person for the party that the person belongs to."""

    party: str
    key: SigningKey
    on_behalf_of: str | None = None

    def __post_init__(self) -> None:
        for party in (self.party, *filter(None, (self.on_behalf_of,))):
            parse_party(party)

    @property
    def organisation(self) -> str:
        """Return the organisation that is bound by what is signed."""
        return self.on_behalf_of or self.party


@dataclass(frozen=True, slots=True)
class Address:
    """Where the hub is: an absolute URL without anything secret in it, HTTPS unless it never leaves the machine."""

    base: str

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise _wrong_address() from None
        netloc = f"[{host}]" if ":" in host else host
        if parts.scheme not in ("http", "https") or not _HOST.fullmatch(netloc) or parts.query or parts.fragment:
            raise _wrong_address()
        # SECURITY: what stands before an @ is a password, and would be written into every log of every proxy.
        if parts.netloc.lower() != netloc + ("" if port is None else f":{port}"):
            raise _wrong_address()
        if parts.scheme == "http" and not is_loopback(host):
            raise RefusedError(
                ErrorCode.INSECURE_TRANSPORT, "expected a hub behind TLS", hint="https://, or a loopback address"
            )

    def at(self, path: str) -> str:
        """Return the URL of a path of the hub, or of a path that it named itself."""
        return self.base.rstrip("/") + path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a client is made of; `yingbi.client.connect` says what each member means."""

    url: str
    party: str
    key: SigningKey | Path | str
    on_behalf_of: str | None = None
    result_key: ResultKey | Path | str | None = None
    trust: Trust | Path | str | None = None
    passphrase: bytes | None = field(default=None, repr=False)
    ca: Path | str | None = None
    proxy: str | None = field(default=None, repr=False)
    trust_env: bool = False
    agreement: str | None = None
    purpose: str | None = None
    patience: Patience = Patience()
    clock: Clock = SystemClock()  # noqa: RUF009 it has no state

    @property
    def identity(self) -> Identity:
        """Return who signs, with the key of the named file."""
        return Identity(party=self.party, key=_signing_key(self.key, self.passphrase), on_behalf_of=self.on_behalf_of)

    def read_result_key(self) -> ResultKey | None:
        """Return the key for results, of the named file, or nothing."""
        source = self.result_key
        if source is None or isinstance(source, ResultKey):
            return source
        return load_result_key(Path(source), passphrase=self.passphrase)

    def read_trust(self) -> Trust | None:
        """Return whom to believe, of the named file, or nothing."""
        return None if self.trust is None else _trust(self.trust)


def _signing_key(source: SigningKey | Path | str, passphrase: bytes | None) -> SigningKey:
    return source if isinstance(source, SigningKey) else load_signing_key(Path(source), passphrase=passphrase)


def _trust(source: Trust | Path | str) -> Trust:
    if isinstance(source, Trust):
        return source
    try:
        return load_trust(Path(source).read_bytes())
    except OSError as error:
        raise InvalidRequestError(
            ErrorCode.CONFIG_INVALID, f"trust file `{Path(source).name}` cannot be read: {error.strerror}"
        ) from error
    except TrustError as error:
        raise InvalidRequestError(ErrorCode.POLICY_MALFORMED, f"trust file: {error}") from error


def _wrong_address() -> InvalidRequestError:
    return InvalidRequestError(
        ErrorCode.CONFIG_INVALID,
        "expected the URL of a hub, without user, query or fragment",
        hint="such as https://hub.example",
    )

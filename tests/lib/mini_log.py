"""A tiny log writer for tests: a third implementation, naive and recursive, straight from the definitions.

RFC 6962 §2.1 gives tree hash, paths and proofs; C2SP gives notes, tiles, receipts and cosignatures; docs/spec gives
entries. It shares no code with the product, is slow, checks nothing, and writes wrong things on request. A log exports
to a dict from path to bytes:

    log, w1 = MiniLog(), witness("w1")
    log.append("job.submitted")
    files = log.export(cosign=[(w1, NOW_S)])
    report = audit_log(files.__getitem__, load_trust(log.trust(witnesses=[w1])), now=NOW)
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

ORIGIN = "log.example/futian"
START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
NOW = START + timedelta(days=1)
START_S = int(START.timestamp())
NOW_S = int(NOW.timestamp())
PAYLOAD_TYPE = "application/vnd.yingbi.statement.v1+json"
ED25519, COSIGNATURE, ML_DSA_44 = 1, 4, 6


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def timestamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# --- RFC 6962 §2.1, as it is written there -------------------------------------------------------------------------


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def _split(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    """MTH over leaf hashes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = _split(len(leaves))
    return hashlib.sha256(b"\x01" + tree_hash(leaves[:k]) + tree_hash(leaves[k:])).digest()


def inclusion_path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n])."""
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    if m < k:
        return [*inclusion_path(m, leaves[:k]), tree_hash(leaves[k:])]
    return [*inclusion_path(m - k, leaves[k:]), tree_hash(leaves[:k])]


def consistency_proof(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PROOF(m, D[n]); nothing for an empty old tree or the same tree."""
    if m in (0, len(leaves)):
        return []
    return _subproof(m, leaves, complete=True)


def _subproof(m: int, leaves: Sequence[bytes], *, complete: bool) -> list[bytes]:
    n = len(leaves)
    if m == n:
        return [] if complete else [tree_hash(leaves)]
    k = _split(n)
    if m <= k:
        return [*_subproof(m, leaves[:k], complete=complete), tree_hash(leaves[k:])]
    return [*_subproof(m - k, leaves[k:], complete=False), tree_hash(leaves[:k])]


# --- keys, notes, statements ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NoteKey:
    """A key that signs notes: of a log (type 1) or of a witness (4, 6)."""

    name: str
    kind: int
    private: Ed25519PrivateKey | MLDSA44PrivateKey

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    @property
    def vkey(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64(bytes([self.kind]) + self.public)}"

    def line(self, blob: bytes) -> bytes:
        return f"\u2014 {self.name} {b64(self.id + blob)}\n".encode()

    def sign(self, text: bytes, time: int = NOW_S) -> bytes:
        """Return the signature line for a note text; `time` matters to witnesses only."""
        return self.line(self._blob(text, time))

    def _blob(self, text: bytes, time: int) -> bytes:
        if self.kind == ED25519:
            return self.private.sign(text)
        stamp = time.to_bytes(8, "big")
        if self.kind == COSIGNATURE:
            return stamp + self.private.sign(b"cosignature/v1\ntime %d\n" % time + text)
        origin, size, root = text.split(b"\n")[:3]
        name = self.name.encode()
        message = b"subtree/v1\n\0" + bytes([len(name)]) + name + stamp + bytes([len(origin)]) + origin
        message += (0).to_bytes(8, "big") + int(size).to_bytes(8, "big") + base64.b64decode(root)
        return stamp + self.private.sign(message)


def _seed(text: str) -> bytes:
    return hashlib.sha256(b"test seed " + text.encode()).digest()


def log_key(name: str = ORIGIN, *, seed: str = "log") -> NoteKey:
    return NoteKey(name, ED25519, Ed25519PrivateKey.from_private_bytes(_seed(f"log {seed}")))


def witness(name: str, *, kind: int = COSIGNATURE) -> NoteKey:
    seed = _seed(f"witness {name}")
    private = (
        MLDSA44PrivateKey.from_seed_bytes(seed) if kind == ML_DSA_44 else Ed25519PrivateKey.from_private_bytes(seed)
    )
    return NoteKey(f"{name}.example", kind, private)


@dataclass(frozen=True)
class Signer:
    """A key that signs statements; `owner` says whose it is, for those who ask."""

    private: Ed25519PrivateKey
    owner: str = ""

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    @property
    def jwk(self) -> dict[str, str]:
        return {"crv": "Ed25519", "kty": "OKP", "x": b64url(self.public)}

    @property
    def thumbprint(self) -> str:
        return b64url(hashlib.sha256(canonical(self.jwk)).digest())


def signer(name: str, owner: str = "partner:bank-a") -> Signer:
    return Signer(Ed25519PrivateKey.from_private_bytes(_seed(f"signer {name}")), owner)


def as_signer(key: NoteKey) -> Signer:
    """A log's key in its other role: signing `log.key_changed` statements."""
    assert isinstance(key.private, Ed25519PrivateKey)
    return Signer(key.private)


def pae(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    return b" ".join(
        [b"DSSEv1", str(len(payload_type)).encode(), payload_type.encode(), str(len(payload)).encode(), payload]
    )


def make_payload(entry_type: str, **members: Any) -> dict[str, Any]:
    noun = entry_type.split(".")[0]
    payload: dict[str, Any] = {
        "type": entry_type,
        "id": f"{noun}-0001",
        "issuer": "partner:bank-a",
        "on_behalf_of": None,
        "issued_at": timestamp(START),
        "nonce": "AAAAAAAAAAAAAAAAAAAAAA",
        "subject": [],
        "refs": {},
        "body": {},
    }
    return {**payload, **members}


def make_envelope(payload: Mapping[str, Any] | bytes, signers: Iterable[Signer]) -> dict[str, Any]:
    data = payload if isinstance(payload, bytes) else canonical(payload)
    rows = [{"keyid": item.thumbprint, "sig": b64(item.private.sign(pae(data)))} for item in signers]
    rows.sort(key=lambda row: row["keyid"])
    return {"payload": b64(data), "payloadType": PAYLOAD_TYPE, "signatures": rows}


def genesis(origin: str) -> bytes:
    return hashlib.sha256(f"yingbi.log.genesis.v1\n{origin}\n".encode()).digest()


def make_entry(seq: int, prev: bytes, time: datetime | str, entry_type: str, envelope: Mapping[str, Any]) -> bytes:
    at = time if isinstance(time, str) else timestamp(time)
    value = {"v": 1, "seq": seq, "prev": f"sha256:{prev.hex()}", "time": at, "type": entry_type, "statement": envelope}
    return canonical(value)


# --- the log -------------------------------------------------------------------------------------------------------


@dataclass
class MiniLog:
    """Entries in memory, one second apart from `START` on. Change `entries` or `keys` by hand to tell lies."""

    origin: str = ORIGIN
    keys: list[NoteKey] = field(default_factory=lambda: [log_key()])
    entries: list[bytes] = field(default_factory=list)

    def copy(self) -> "MiniLog":
        return MiniLog(self.origin, list(self.keys), list(self.entries))

    @property
    def leaves(self) -> list[bytes]:
        return [leaf_hash(entry) for entry in self.entries]

    def append(
        self,
        entry_type: str = "job.submitted",
        signers: Sequence[Signer] | None = None,
        *,
        time: datetime | str | None = None,
        envelope: Mapping[str, Any] | None = None,
        **members: Any,
    ) -> int:
        """Append an entry with a statement of this type; `members` override those of the payload."""
        seq = len(self.entries)
        prev = leaf_hash(self.entries[-1]) if self.entries else genesis(self.origin)
        signed = envelope or make_envelope(make_payload(entry_type, **members), signers or [signer("bank-a")])
        at = time if time is not None else START + timedelta(seconds=seq)
        self.entries.append(make_entry(seq, prev, at, entry_type, signed))
        return seq

    def fill(self, count: int) -> "MiniLog":
        """Append `count` entries that share one statement."""
        envelope = make_envelope(make_payload("job.submitted"), [signer("bank-a")])
        for _ in range(count):
            self.append(envelope=envelope)
        return self

    def rechain(self, first: int = 0) -> "MiniLog":
        """Give the entries from `first` on the `seq` and `prev` of their present place: what a forger would do."""
        for seq in range(first, len(self.entries)):
            value = json.loads(self.entries[seq])
            prev = leaf_hash(self.entries[seq - 1]) if seq else genesis(self.origin)
            self.entries[seq] = canonical({**value, "seq": seq, "prev": f"sha256:{prev.hex()}"})
        return self

    def text(self, size: int | None = None) -> bytes:
        leaves = self.leaves[: len(self.entries) if size is None else size]
        return f"{self.origin}\n{len(leaves)}\n{b64(tree_hash(leaves))}\n".encode()

    def checkpoint(
        self,
        size: int | None = None,
        *,
        cosign: Iterable[tuple[NoteKey, int]] = (),
        keys: Iterable[NoteKey] | None = None,
    ) -> bytes:
        """Return the signed checkpoint at `size`, with cosignatures by (witness, time)."""
        text = self.text(size)
        lines = [key.sign(text) for key in (self.keys if keys is None else keys)]
        return text + b"\n" + b"".join(lines + [key.sign(text, time) for key, time in cosign])

    def path(self, index: int, size: int | None = None) -> list[bytes]:
        return inclusion_path(index, self.leaves[: len(self.entries) if size is None else size])

    def receipt(self, index: int, size: int | None = None, *, cosign: Iterable[tuple[NoteKey, int]] = ()) -> bytes:
        return make_receipt(index, self.path(index, size), self.checkpoint(size, cosign=cosign))

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        return consistency_proof(old, self.leaves[: len(self.entries) if new is None else new])

    def export(self, size: int | None = None, *, cosign: Iterable[tuple[NoteKey, int]] = ()) -> dict[str, bytes]:
        """Return all published files of the log at `size`."""
        entries = self.entries[: len(self.entries) if size is None else size]
        return {"checkpoint": self.checkpoint(size, cosign=cosign), **make_tiles(entries)}

    def trust(
        self,
        *,
        witnesses: Sequence[NoteKey] = (),
        threshold: int | None = None,
        roots: Sequence[Signer] = (),
        named: Sequence[Signer] = (),
        keys: Sequence[NoteKey] | None = None,
    ) -> bytes:
        """Return a trust file for this log: all witnesses are needed unless a threshold says otherwise."""
        lines = [f"log {key.vkey}" for key in (self.keys if keys is None else keys)]
        lines += [f"witness w{number} {key.vkey}" for number, key in enumerate(witnesses, 1)]
        if witnesses:
            names = " ".join(f"w{number}" for number in range(1, len(witnesses) + 1))
            lines += [f"group all-witnesses {threshold or len(witnesses)} {names}", "quorum all-witnesses"]
        else:
            lines.append("quorum none")
        value: dict[str, Any] = {"v": 1, "policy": "\n".join(lines) + "\n"}
        if roots:
            value["statement_roots"] = [item.jwk for item in roots]
        if named:
            value["statement_keys"] = [{"jwk": item.jwk, "owner": item.owner} for item in named]
        return json.dumps(value).encode()


def make_receipt(index: int | str, path: Iterable[bytes], checkpoint: bytes) -> bytes:
    lines = ["c2sp.org/tlog-proof@v1", f"index {index}", *(b64(item) for item in path), "", ""]
    return "\n".join(lines).encode() + checkpoint


def tile_name(kind: int | str, number: int, width: int = 256) -> str:
    digits = f"{number:03}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    place = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return f"tile/{kind}/{place}" + ("" if width == 256 else f".p/{width}")


def make_tiles(entries: Sequence[bytes]) -> dict[str, bytes]:
    """Return entry bundles and hash tiles of all levels, the last of each partial where it must be (tlog-tiles)."""
    files = {}
    for first in range(0, len(entries), 256):
        part = entries[first : first + 256]
        bundle = b"".join(len(entry).to_bytes(2, "big") + entry for entry in part)
        files[tile_name("entries", first // 256, len(part))] = bundle
    level, row = 0, [leaf_hash(entry) for entry in entries]
    while row:
        for first in range(0, len(row), 256):
            part = row[first : first + 256]
            files[tile_name(level, first // 256, len(part))] = b"".join(part)
        full = len(row) // 256
        row = [tree_hash(row[256 * number : 256 * (number + 1)]) for number in range(full)]
        level += 1
    return files

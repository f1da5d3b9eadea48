"""The EVM chain as an anchor: the only importer of web3 and eth_account (docs/spec/anchor.md).

The node behind the URL is trusted to be there, never to be right: what it says is checked against the log, a proof is
checked by the verifier against a block hash from elsewhere, and no text of its errors goes further than here.
"""

import http.client
import json
import re
import ssl
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, cast
from urllib.parse import SplitResult, urlsplit

from ledger.anchor import ChainHead, ChainView, Submission, TransactionState
from ledger.checkpoint import format_checkpoint
from ledger.contracts import load_artefact
from yingbi.canonical import canonical_bytes, digest_bytes
from yingbi.errors import (
    ErrorCode,
    InvalidRequestError,
    RefusedError,
    SandboxError,
    TamperDetectedError,
    UnavailableError,
)
from yingbi.key_files import read_secret
from yingbi.receipts import HASH_BYTES, MAX_TREE_SIZE, Checkpoint
from yingbi.transport import is_loopback

_recursion_limit = sys.getrecursionlimit()
try:
    import rlp  # type: ignore[import-untyped]
    from eth_account import Account
    from eth_account.signers.local import LocalAccount
    from eth_account.typed_transactions.typed_transaction import TypedTransaction
    from eth_typing import ChecksumAddress
    from hexbytes import HexBytes
    from web3 import Web3
    from web3.exceptions import ContractLogicError, TransactionNotFound, Web3RPCError
    from web3.middleware import AttributeDictMiddleware, ExtraDataToPOAMiddleware
    from web3.providers import BaseProvider, JSONBaseProvider
    from web3.types import BlockData, RPCEndpoint, RPCResponse, TxParams, TxReceipt, Wei
except ImportError as missing:
    raise UnavailableError(
        ErrorCode.EXTRA_NOT_INSTALLED, "the `chain` extra is not installed", hint="pip install 'yingbi[chain]'"
    ) from missing
finally:
    # SECURITY: one of web3's dependencies (py_ecc) raises the limit to 100,000 for the whole process; with it, nested
    # JSON from anybody would overflow the C stack and end the process, where otherwise it raises RecursionError.
    sys.setrecursionlimit(min(_recursion_limit, 10_000))

__all__ = ["EvmAccount", "EvmAnchor", "EvmLimits", "hash_origin"]

_CONTRACT: Final = load_artefact()
_SLOTS: Final = {"size": 1, "root": 2, "chain_value": 3, "origin_hash": 4}
_ANCHORED: Final = bytes(Web3.keccak(text="Anchored(uint256,bytes32,bytes32,bytes32)"))
_NO_HASH: Final = bytes(HASH_BYTES)

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_MAX_ANSWER_BYTES: Final = 8 << 20
_CHUNK_BYTES: Final = 1 << 16
_MAX_LATER_HEADS: Final = 4096
_MAX_CONFIRMATIONS: Final = 10_000
_MAX_CHAIN_ID: Final = 2**53 - 1

# Nodes take another transaction of the same nonce only for a tenth more (go-ethereum's `--txpool.pricebump`).
_BUMP_PERCENT: Final = 113
_GAS_MARGIN_PERCENT: Final = 125

# Closed lists: nothing else of what a node or a contract says is repeated, not even in a log.
_RACE: Final = "another head came first"
_REASONS: Final = (
    "not the anchorer",
    "not the proposed anchorer",
    "size does not grow",
    "size too large",
    "no root",
    "no origin",
    "no anchorer",
)
_FAULTS: Final = (
    "insufficient funds",
    "underpriced",
    "nonce too low",
    "nonce too high",
    "already known",
    "gas limit",
    "gas too low",
    "base fee",
    "rate limit",
    "too many requests",
)

# The members of a header in the order in which they are hashed, as JSON-RPC names them; each fork appended some.
_HEADER_MEMBERS: Final = (
    *("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom", "difficulty"),
    *("number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce"),
)
_FORK_MEMBERS: Final = (
    *("baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot", "requestsHash"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvmLimits:
    """Bounds on time and money: a call's deadline, the highest fee and gas, and blocks asked for in one log query."""

    timeout_s: float = 20.0
    max_fee_per_gas_wei: int = 500_000_000_000
    max_gas: int = 300_000
    max_deploy_gas: int = 2_000_000
    log_page_blocks: int = 10_000


class EvmAccount:
    """The anchorer's key. It never shows its secret: no `repr`, no pickle."""

    __slots__ = ("_account",)

    def __init__(self, account: LocalAccount) -> None:
        self._account = account

    @classmethod
    def from_secret(cls, secret: bytes) -> "EvmAccount":
        """Make the account of a 32-byte secp256k1 secret.

        Raises:
            InvalidRequestError: another length, or not a valid secret.
        """
        try:
            return cls(Account.from_key(secret))
        except Exception:  # the library's errors may show what they were given
            raise InvalidRequestError(ErrorCode.KEY_MALFORMED, "expected a secp256k1 secret of 32 bytes") from None

    @classmethod
    def load(cls, path: Path, *, passphrase: str | None = None) -> "EvmAccount":
        """Read a key file: 64 hexadecimal digits, or an encrypted keystore (version 3) with its passphrase.

        Raises:
            RefusedError: others can read the file.
            InvalidRequestError: no such file, not a key, or the passphrase does not fit.
        """
        data = read_secret(path)
        try:
            if data.lstrip().startswith(b"{"):
                return cls.from_secret(bytes(Account.decrypt(json.loads(data), passphrase or "")))
            return cls.from_secret(bytes.fromhex(data.decode("ascii").strip().removeprefix("0x")))
        except SandboxError:
            raise
        except Exception:  # the library's errors may show what they were given
            raise InvalidRequestError(
                ErrorCode.KEY_MALFORMED, f"key file `{path.name}` holds no key, or its passphrase does not fit"
            ) from None

    @property
    def address(self) -> ChecksumAddress:
        """Return the account's address in EIP-55 form."""
        return self._account.address

    def sign(self, transaction: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """Sign a transaction; return its bytes and its hash. The chain id must be in it (EIP-155, EIP-1559)."""
        if not isinstance(transaction.get("chainId"), int):
            # SECURITY: without it, the signature would hold on every chain.
            raise InvalidRequestError(ErrorCode.ANCHOR_MALFORMED, "expected a transaction with its chain id")
        signed = self._account.sign_transaction(cast("Any", dict(transaction)))
        return bytes(signed.raw_transaction), bytes(signed.hash)

    def __repr__(self) -> str:
        return f"EvmAccount({self.address})"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not pickled")


def hash_origin(origin: str) -> bytes:
    """Return what the contract knows a log by (docs/spec/anchor.md, "Contract")."""
    return bytes.fromhex(digest_bytes(f"yingbi.anchor.origin.v1\n{origin}\n".encode()).removeprefix("sha256:"))


class EvmAnchor:
    """One log's `LogAnchor` contract on one EVM chain, behind one JSON-RPC node (docs/spec/anchor.md).

    A head counts as confirmed with `confirmations` blocks on top of the one that shows it. `account` may be left out
    for reading and proving. The account must sign nothing else: its next nonce is always taken, so that a transaction
    under way is replaced and never doubled. Not for use by two threads at once.

    Args:
        rpc: URL (`https`, or `http` to this machine), or a web3 provider; a URL's own token is never logged.
        contract: its address, lower case or EIP-55.
        chain_id: the only chain that is read, and that is signed for.
        origin: the log's origin; the contract must have been deployed for it.
        account: the anchorer's key.
        confirmations: blocks on top of the one that counts.
        deployed_at: no older block is searched for anchors.
        limits: bounds on time and money.
    """

    def __init__(
        self,
        rpc: str | BaseProvider,
        *,
        contract: str,
        chain_id: int,
        origin: str,
        account: EvmAccount | None = None,
        confirmations: int = 12,
        deployed_at: int = 0,
        limits: EvmLimits | None = None,
    ) -> None:
        if not 0 <= confirmations <= _MAX_CONFIRMATIONS:
            raise _misconfigured(f"expected 0 to {_MAX_CONFIRMATIONS} confirmations")
        self._wire = _Wire(rpc, chain_id, limits or EvmLimits())
        self._w3 = self._wire.w3
        self._address = _parse_address(contract)
        self._origin = origin
        self._account = account
        self._confirmations = confirmations
        self._deployed_at = deployed_at
        self._calls = self._w3.eth.contract(address=self._address, abi=_CONTRACT.abi)
        self._is_checked = False

    @classmethod
    def deploy(
        cls,
        rpc: str | BaseProvider,
        *,
        chain_id: int,
        origin: str,
        account: EvmAccount,
        anchorer: str | None = None,
        wait_s: float = 180.0,
        limits: EvmLimits | None = None,
    ) -> tuple[str, int]:
        """Deploy a contract for `origin`; return its address and block. `anchorer` is the account unless given.

        Raises:
            UnavailableError: the chain cannot be reached, or did not include it within `wait_s`.
            TamperDetectedError: the chain refused it, or runs other code than was sent.
        """
        wire = _Wire(rpc, chain_id, limits or EvmLimits())
        owner = _parse_address(anchorer) if anchorer is not None else account.address
        with _reaching("deploy the contract"):
            factory = wire.w3.eth.contract(abi=_CONTRACT.abi, bytecode=_CONTRACT.bytecode)
            data = factory.constructor(hash_origin(origin), owner).data_in_transaction
            signed = wire.sign(account, to=None, data=bytes(HexBytes(data)), replaces=None)
            receipt = wire.send_and_wait(signed, wait_s)
            address = receipt["contractAddress"]
            if address is None or bytes(Web3.keccak(wire.w3.eth.get_code(address))) != _CONTRACT.runtime_code_hash:
                raise _refused("the chain does not run the code that was sent")
            return address, receipt["blockNumber"]

    def latest(self) -> ChainView:
        """Read the last head at the tip and at the confirmed depth.

        Raises:
            UnavailableError: the node does not answer, or not in a form that can be used.
            InvalidRequestError: another chain, or another contract than configured.
        """
        with _reaching("give its last head"):
            self._check_contract()
            number = self._w3.eth.block_number
            tip = self._head_at(number)
            return ChainView(tip=tip, confirmed=self._confirmed_head(number))

    def prepare(self, checkpoint: Checkpoint, tip: ChainHead, *, replaces: Submission | None = None) -> Submission:
        """Sign the transaction that puts `checkpoint` after `tip`; send nothing.

        It is tried on the node first, so that what the contract would refuse costs nothing.

        Raises:
            TamperDetectedError: the contract would refuse it (`anchor-refused`).
            UnavailableError: the node does not answer, another head came first, or the fee is over its limit.
        """
        if checkpoint.origin != self._origin:
            raise InvalidRequestError(ErrorCode.ANCHOR_MALFORMED, "expected a checkpoint of the anchored log")
        args = [checkpoint.size, checkpoint.root, tip.chain_value]
        with _reaching("take a head"):
            self._check_contract()
            data = bytes(HexBytes(self._calls.encode_abi("anchor", args=args)))
            signed = self._wire.sign(self._signer(), to=self._address, data=data, replaces=replaces)
        return Submission(tx_hash=signed.tx_hash, transaction=signed.transaction, follows=tip.chain_value)

    def submit(self, submission: Submission) -> None:
        """Send a prepared transaction; that the node has it already is no error.

        Raises:
            UnavailableError: the node does not answer or does not take it.
        """
        with _reaching("take a transaction"):
            self._wire.send(submission.transaction, submission.tx_hash)

    def status(self, submission: Submission) -> TransactionState:
        """Ask what became of a submission; one of another chain, contract or past nonce is `replaced` for good.

        Raises:
            UnavailableError: the node does not answer.
        """
        fields = _decode_transaction(submission.transaction)
        if fields.chain_id != self._wire.chain_id or fields.to != bytes(HexBytes(self._address)):
            return TransactionState.REPLACED
        with _reaching("tell of a transaction"):
            # INVARIANT: the count is read before the receipt: a nonce used by then has its receipt by now.
            used = self._w3.eth.get_transaction_count(self._signer().address, "latest")
            receipt = self._wire.find_receipt(submission.tx_hash)
            if receipt is not None:
                return TransactionState.INCLUDED if receipt["status"] == 1 else TransactionState.REFUSED
            if fields.nonce < used:
                return TransactionState.REPLACED
            return TransactionState.PENDING if self._wire.has(submission.tx_hash) else TransactionState.UNKNOWN

    def prove(self, checkpoint: Checkpoint) -> bytes:
        """Return a proof file that `checkpoint` was anchored (docs/spec/anchor.md, "Proof"), at the confirmed depth.

        The node's word is in it, not its truth: check it with the verifier and a block hash from elsewhere.

        Raises:
            UnavailableError: not anchored as deep as that, or the node lacks `eth_getProof` or older logs.
        """
        if checkpoint.origin != self._origin:
            raise InvalidRequestError(ErrorCode.ANCHOR_MALFORMED, "expected a checkpoint of the anchored log")
        with _reaching("prove a head"):
            self._check_contract()
            number = max(self._w3.eth.block_number - self._confirmations, 0)
            chain_before, later = self._history(checkpoint, self._head_at(number))
            proof = self._storage_proof(number)
            block = self._w3.eth.get_block(number)
            header = _encode_header(block)
            if not proof["accountProof"] or Web3.keccak(proof["accountProof"][0]) != block["stateRoot"]:
                raise UnavailableError(ErrorCode.ANCHOR_UNAVAILABLE, "the chain moved while a head was proved")
        return canonical_bytes(
            {
                "account_proof": [_hex(node) for node in proof["accountProof"]],
                "block_hash": _hex(block["hash"]),
                "chain_before": _hex(chain_before),
                "chain_id": self._wire.chain_id,
                "checkpoint": format_checkpoint(checkpoint).decode(),
                "contract": self._address.lower(),
                "header": _hex(header),
                "later": [{"root": _hex(head.root), "size": head.size} for head in later],
                "storage_proofs": _storage_proofs(proof["storageProof"]),
                "v": 1,
            }
        )

    def propose_anchorer(self, address: str, *, wait_s: float = 180.0) -> None:
        """Offer the anchorer's right to `address`, which must accept it (docs/spec/anchor.md, "Change of the key").

        Raises:
            UnavailableError: the chain cannot be reached, or did not include it within `wait_s`.
            TamperDetectedError: the contract refused.
        """
        self._transact("propose_anchorer", [_parse_address(address)], wait_s)

    def accept_anchorer(self, *, wait_s: float = 180.0) -> None:
        """Take the anchorer's right with the account of this anchor, which was proposed before.

        Raises:
            UnavailableError: the chain cannot be reached, or did not include it within `wait_s`.
            TamperDetectedError: the contract refused.
        """
        self._transact("accept_anchorer", [], wait_s)

    def _transact(self, name: str, args: list[object], wait_s: float) -> None:
        with _reaching("take a transaction"):
            self._check_contract()
            data = bytes(HexBytes(self._calls.encode_abi(name, args=args)))
            signed = self._wire.sign(self._signer(), to=self._address, data=data, replaces=None)
            self._wire.send_and_wait(signed, wait_s)

    def _signer(self) -> EvmAccount:
        if self._account is None:
            raise _misconfigured("expected the anchorer's account")
        return self._account

    def _check_contract(self) -> None:
        if self._is_checked:
            return
        self._wire.check_chain_id()
        # SECURITY: other code might take back what it took, or answer with what was asked for.
        if bytes(Web3.keccak(self._w3.eth.get_code(self._address))) != _CONTRACT.runtime_code_hash:
            raise _misconfigured(f"expected the LogAnchor contract at `{self._address}`")
        if self._read("origin_hash", "latest") != hash_origin(self._origin):
            raise _misconfigured("expected a contract that was deployed for this log's origin")
        self._is_checked = True

    def _read(self, name: str, block: int | str) -> bytes:
        transaction: TxParams = {"to": self._address, "data": self._calls.encode_abi(name)}
        # SECURITY: never follow an off-chain lookup (EIP-3668): a node could make this process fetch any URL.
        return bytes(self._w3.eth.call(transaction, cast("Any", block), ccip_read_enabled=False))

    def _head_at(self, number: int) -> ChainHead:
        encoded, root, chain_value = _split_words(self._read("head", number), 3)
        size = int.from_bytes(encoded)
        if size > MAX_TREE_SIZE:
            raise _BadAnswerError("a size that the contract refuses")
        return ChainHead(size=size, root=root, chain_value=chain_value, block_number=number)

    def _confirmed_head(self, newest: int) -> ChainHead:
        number = max(newest - self._confirmations, 0)
        if self._w3.eth.get_code(self._address, number):
            return self._head_at(number)
        # The contract is younger than that.
        genesis = bytes(Web3.keccak(hash_origin(self._origin)))
        return ChainHead(size=0, root=_NO_HASH, chain_value=genesis, block_number=number)

    def _history(self, checkpoint: Checkpoint, head: ChainHead) -> "tuple[bytes, list[_Anchored]]":
        """Return the chain value before `checkpoint` was anchored, and the heads after it up to `head`."""
        if checkpoint.size == 0 or head.size < checkpoint.size:
            raise UnavailableError(
                ErrorCode.ANCHOR_UNAVAILABLE,
                f"size {checkpoint.size} is not anchored {self._confirmations} blocks deep",
                hint="wait for more blocks",
            )
        later: list[_Anchored] = []
        expected = head.chain_value
        for event in self._anchored_backwards(head.block_number):
            if event.chain_value != expected or event.chain_value != _link(event.previous, event.size, event.root):
                raise UnavailableError(ErrorCode.ANCHOR_UNAVAILABLE, "the node's events do not make up the chain value")
            if event.size <= checkpoint.size:
                if (event.size, event.root) != (checkpoint.size, checkpoint.root):
                    break
                return event.previous, later[::-1]
            later.append(event)
            expected = event.previous
            if len(later) > _MAX_LATER_HEADS:
                break
        raise UnavailableError(
            ErrorCode.ANCHOR_UNAVAILABLE,
            f"size {checkpoint.size} is not among the anchored heads that can be reached",
            hint="prove the next larger anchored size, and its consistency with this one",
        )

    def _anchored_backwards(self, last: int) -> "Iterator[_Anchored]":
        while last >= self._deployed_at:
            first = max(last - self._wire.limits.log_page_blocks + 1, self._deployed_at)
            rows = self._w3.eth.get_logs(
                {"address": self._address, "fromBlock": first, "toBlock": last, "topics": [_hex(_ANCHORED)]}
            )
            for row in sorted(rows, key=lambda item: (item["blockNumber"], item["logIndex"]), reverse=True):
                size, root, chain_value = (bytes(topic) for topic in row["topics"][1:])
                (previous,) = _split_words(bytes(row["data"]), 1)
                yield _Anchored(size=int.from_bytes(size), root=root, chain_value=chain_value, previous=previous)
            last = first - 1

    def _storage_proof(self, number: int) -> Mapping[str, Any]:
        # Nodes want slots as 32 bytes; web3 would shorten integers.
        get_proof: Any = self._w3.eth.get_proof  # annotated by web3 as if it took one tuple of integers
        slots = [_hex(slot.to_bytes(HASH_BYTES)) for slot in _SLOTS.values()]
        return cast("Mapping[str, Any]", get_proof(self._address, slots, number))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Anchored:
    size: int
    root: bytes
    chain_value: bytes
    previous: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    transaction: bytes
    tx_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _TransactionFields:
    chain_id: int | None
    nonce: int
    to: bytes
    max_fee: int
    tip: int


class _Wire:
    """A node, the chain it must serve, and how transactions get there."""

    def __init__(self, rpc: str | BaseProvider, chain_id: int, limits: EvmLimits) -> None:
        if isinstance(chain_id, bool) or not 1 <= chain_id <= _MAX_CHAIN_ID:
            raise _misconfigured("expected a chain id from 1 to 2^53 - 1")
        self.chain_id = chain_id
        self.limits = limits
        provider = _HttpProvider(rpc, limits.timeout_s) if isinstance(rpc, str) else rpc
        # Only what shapes answers: no names to look up, no fees or gas decided elsewhere, long `extraData` allowed.
        middleware = [(ExtraDataToPOAMiddleware, "extra_data"), (AttributeDictMiddleware, "attributes")]
        self.w3 = Web3(provider, middleware=cast("Any", middleware))

    def check_chain_id(self) -> None:
        found: object = self.w3.eth.chain_id
        if not isinstance(found, int):
            raise _BadAnswerError("no chain id")
        if found != self.chain_id:
            raise _misconfigured(f"expected a node of chain {self.chain_id}, got chain {found}")

    def sign(
        self, account: EvmAccount, *, to: ChecksumAddress | None, data: bytes, replaces: Submission | None
    ) -> _Signed:
        self.check_chain_id()
        call: dict[str, Any] = {"from": account.address, "data": _hex(data), "value": 0}
        if to is not None:
            call["to"] = to
        # The latest count, not the pending one: a transaction under way is replaced, never joined by a second.
        nonce = self.w3.eth.get_transaction_count(account.address, "latest")
        call |= {"chainId": self.chain_id, "nonce": nonce, "gas": self._gas(call)}
        call |= self._fees(_decode_transaction(replaces.transaction) if replaces is not None else None)
        del call["from"]
        transaction, tx_hash = account.sign(call)
        return _Signed(transaction=transaction, tx_hash=tx_hash)

    def send(self, transaction: bytes, tx_hash: bytes) -> None:
        try:
            self.w3.eth.send_raw_transaction(transaction)
        except Web3RPCError:
            if not self.has(tx_hash):
                raise

    def send_and_wait(self, signed: _Signed, wait_s: float) -> TxReceipt:
        self.send(signed.transaction, signed.tx_hash)
        receipt = self.w3.eth.wait_for_transaction_receipt(HexBytes(signed.tx_hash), timeout=wait_s)
        if receipt["status"] != 1:
            raise _refused("the transaction was included and failed")
        return receipt

    def has(self, tx_hash: bytes) -> bool:
        try:
            self.w3.eth.get_transaction(HexBytes(tx_hash))
        except TransactionNotFound:
            return False
        return True

    def find_receipt(self, tx_hash: bytes) -> TxReceipt | None:
        try:
            return self.w3.eth.get_transaction_receipt(HexBytes(tx_hash))
        except TransactionNotFound:
            return None

    def _gas(self, call: Mapping[str, Any]) -> int:
        needed = self.w3.eth.estimate_gas(cast("TxParams", dict(call)))
        gas = needed * _GAS_MARGIN_PERCENT // 100
        most = self.limits.max_gas if "to" in call else self.limits.max_deploy_gas
        if gas > most:
            raise _refused(f"expected to need at most {most} gas, got {gas}")
        return gas

    def _fees(self, replaced: _TransactionFields | None) -> dict[str, int]:
        base = self.w3.eth.get_block("latest").get("baseFeePerGas")
        price = self.w3.eth.gas_price
        tip = max(price - base, 0) if base is not None else price
        most = 2 * base + tip if base is not None else price
        if replaced is not None:
            tip, most = max(tip, _bump(replaced.tip)), max(most, _bump(replaced.max_fee))
        if most > self.limits.max_fee_per_gas_wei:
            raise UnavailableError(
                ErrorCode.ANCHOR_UNAVAILABLE,
                f"expected a fee of at most {self.limits.max_fee_per_gas_wei} wei, got {most}",
            )
        if base is None:
            return {"gasPrice": most}
        return {"type": 2, "maxFeePerGas": most, "maxPriorityFeePerGas": min(tip, most)}


class _HttpProvider(JSONBaseProvider):
    """JSON-RPC, one POST a call: TLS, a deadline, a size limit; no redirects, proxies, retries or logged URLs."""

    def __init__(self, url: str, timeout_s: float) -> None:
        super().__init__()
        parts, host, port = _split_url(url)
        if parts.scheme == "http" and not is_loopback(host):
            raise RefusedError(
                ErrorCode.INSECURE_TRANSPORT, "expected https for an RPC node on another machine", hint="use https"
            )
        self._host, self._port, self._timeout_s = host, port, timeout_s
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        deadline = time.monotonic() + self._timeout_s
        connection = self._connect()
        try:
            body = self.encode_rpc_request(method, params)
            connection.request("POST", self._target, body, {"Content-Type": "application/json", "Accept": "*/*"})
            with connection.getresponse() as response:
                data = _read_bounded(response, deadline)
            try:
                # Some nodes send JSON-RPC errors with an HTTP status of their own.
                return self.decode_rpc_response(data)
            except ValueError:
                raise _BadAnswerError(f"no JSON, HTTP status {response.status}") from None
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._tls)


def _split_url(url: str) -> tuple[SplitResult, str, int | None]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in ("http", "https") or parts.username is not None:
        raise _misconfigured("expected an RPC URL such as `https://node.example/`, without user and password")
    return parts, host, port


class _BadAnswerError(Exception):
    """An answer that is no JSON-RPC; the text is ours."""


def _read_bounded(response: http.client.HTTPResponse, deadline: float) -> bytes:
    data = bytearray()
    while chunk := response.read1(_CHUNK_BYTES):
        data += chunk
        if len(data) > _MAX_ANSWER_BYTES:
            raise _BadAnswerError(f"more than {_MAX_ANSWER_BYTES} bytes")
        if time.monotonic() > deadline:
            raise _BadAnswerError("no end before the deadline")
    return bytes(data)


@contextmanager
def _reaching(what: str) -> Iterator[None]:
    """Turn whatever web3 raises, at whatever a node answered, into an error without the node's words."""
    try:
        yield
    except SandboxError:
        raise
    except Exception as error:  # a hostile answer makes the formatters raise anything
        raise _translate(what, error) from None


def _translate(what: str, error: Exception) -> SandboxError:
    text = str(error).lower()
    # Providers disagree about the type, not about the word.
    if isinstance(error, ContractLogicError) or "execution reverted" in text:
        if _RACE in text:
            return UnavailableError(ErrorCode.ANCHOR_UNAVAILABLE, _RACE, hint="look at the chain again")
        reason = next((reason for reason in _REASONS if reason in text), "no known reason")
        return _refused(f"the contract refuses: {reason}")
    known = next((fault for fault in _FAULTS if fault in text), type(error).__name__)
    detail = str(error) if isinstance(error, _BadAnswerError) else known
    return UnavailableError(ErrorCode.ANCHOR_UNAVAILABLE, f"the chain did not {what}", detail=detail)


def _refused(message: str) -> TamperDetectedError:
    return TamperDetectedError(
        ErrorCode.ANCHOR_REFUSED,
        message,
        hint="check that the account is still the anchorer, and who else uses its key",
    )


def _misconfigured(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.CONFIG_INVALID, message)


def _malformed(message: str) -> NoReturn:
    raise InvalidRequestError(ErrorCode.ANCHOR_MALFORMED, message)


def _parse_address(text: str) -> ChecksumAddress:
    if not _ADDRESS.fullmatch(text) or not (text == text.lower() or Web3.is_checksum_address(text)):
        raise _misconfigured("expected an address of 0x and 40 hexadecimal digits, lower case or with its checksum")
    return Web3.to_checksum_address(text)


def _decode_transaction(transaction: bytes) -> _TransactionFields:
    try:
        if transaction[0] < 0x80:
            typed = TypedTransaction.from_bytes(HexBytes(transaction)).as_dict()
            fees = typed["maxFeePerGas"], typed["maxPriorityFeePerGas"]
            return _TransactionFields(
                chain_id=typed["chainId"], nonce=typed["nonce"], to=bytes(typed["to"]), max_fee=fees[0], tip=fees[1]
            )
        nonce, price, _gas, to, _value, _data, v, _r, _s = cast("list[bytes]", rlp.decode(transaction))
    except Exception:
        _malformed("expected a signed transaction")
    parity = int.from_bytes(v) - 35  # EIP-155: v = 35 + 2 * chain id + parity
    fee = int.from_bytes(price)
    return _TransactionFields(
        chain_id=parity // 2 if parity >= 0 else None, nonce=int.from_bytes(nonce), to=to, max_fee=fee, tip=fee
    )


def _encode_header(block: BlockData) -> bytes:
    members = dict(block)
    members["extraData"] = members.get("extraData", members.get("proofOfAuthorityData"))
    names = (*_HEADER_MEMBERS, *(name for name in _FORK_MEMBERS if members.get(name) is not None))
    header = bytes(rlp.encode([_header_item(members[name]) for name in names]))
    if Web3.keccak(header) != members["hash"]:
        # Chains whose block hash leaves out part of the header (IBFT, QBFT), or with members not known here.
        raise UnavailableError(
            ErrorCode.ANCHOR_UNAVAILABLE,
            "the node's block does not have the hash of its header",
            hint="this chain hashes its headers in another way; its heads cannot be proved offline",
        )
    return header


def _storage_proofs(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    nodes = {int.from_bytes(row["key"]): [_hex(node) for node in row["proof"]] for row in rows}
    return {name: nodes[slot] for name, slot in _SLOTS.items()}


def _header_item(value: object) -> bytes:
    if isinstance(value, int):
        return value.to_bytes((value.bit_length() + 7) // 8)
    return bytes(HexBytes(cast("str | bytes", value)))


def _split_words(data: bytes, count: int) -> tuple[bytes, ...]:
    if len(data) != count * HASH_BYTES:
        raise _BadAnswerError("a contract's answer of another length")
    return tuple(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))


def _link(previous: bytes, size: int, root: bytes) -> bytes:
    return bytes(Web3.keccak(previous + size.to_bytes(HASH_BYTES) + root))


def _bump(fee: int) -> Wei:
    return Wei(fee * _BUMP_PERCENT // 100 + 1)


def _hex(data: bytes) -> str:
    return "0x" + bytes(data).hex()

"""What the EVM client decides without a chain: keys, URLs, settings, and transactions it did not sign for here."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_tester import EthereumTester  # type: ignore[import-untyped]
from web3 import EthereumTesterProvider

from ledger.anchor import Submission, TransactionState
from ledger.anchor_evm import EvmAccount, EvmAnchor, hash_origin
from yingbi.errors import ErrorCode, InvalidRequestError, RefusedError, SandboxError

_SECRET = bytes.fromhex("4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318")
_ADDRESS = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"  # published with that secret in eth-account's documentation
_CONTRACT = "0x5fbdb2315678afecb367f032d93f642f64180aa3"


def _anchor(rpc: Any = "https://node.example/", **options: Any) -> EvmAnchor:
    usual: dict[str, Any] = {"contract": _CONTRACT, "chain_id": 1, "origin": "log.example/1"}
    return EvmAnchor(rpc, **(usual | options))


def _write(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [_SECRET.hex(), "0x" + _SECRET.hex(), _SECRET.hex().upper() + "\n"])
def test_a_key_file_of_digits_is_read(tmp_path: Path, text: str) -> None:
    assert EvmAccount.load(_write(tmp_path / "key", text.encode())).address == _ADDRESS


def test_an_encrypted_keystore_is_read_with_its_passphrase(tmp_path: Path) -> None:
    keystore = Account.encrypt(_SECRET, "open sesame", kdf="pbkdf2", iterations=2)
    path = _write(tmp_path / "keystore.json", json.dumps(keystore).encode())
    assert EvmAccount.load(path, passphrase="open sesame").address == _ADDRESS
    for passphrase in ("open barley", None):
        with pytest.raises(InvalidRequestError) as caught:
            EvmAccount.load(path, passphrase=passphrase)
        assert caught.value.code is ErrorCode.KEY_MALFORMED


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = _write(tmp_path / "key", _SECRET.hex().encode(), mode)
    with pytest.raises(RefusedError) as caught:
        EvmAccount.load(path)
    assert caught.value.code is ErrorCode.KEY_EXPOSED


@pytest.mark.parametrize(
    "data", [b"", b"zz", _SECRET, _SECRET.hex().encode()[:-2], b"00" * 32, b"ff" * 32, b"{}", b"{", b"\xff" * 64]
)
def test_a_file_without_a_key_is_refused_without_showing_it(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        EvmAccount.load(_write(tmp_path / "key", data))
    assert caught.value.code is ErrorCode.KEY_MALFORMED
    assert caught.value.__cause__ is None
    assert _SECRET.hex()[:16] not in f"{caught.value!r}{caught.value.detail}{caught.value.hint}"


def test_a_missing_key_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="`absent` cannot be read"):
        EvmAccount.load(tmp_path / "absent")


def test_an_account_never_shows_its_secret() -> None:
    account = EvmAccount.from_secret(_SECRET)
    assert repr(account) == f"EvmAccount({_ADDRESS})"
    with pytest.raises(TypeError):
        pickle.dumps(account)


def test_nothing_is_signed_without_a_chain_id() -> None:
    account = EvmAccount.from_secret(_SECRET)
    transaction = {"nonce": 0, "gas": 21_000, "gasPrice": 1, "to": _ADDRESS, "value": 0, "data": "0x"}
    for wrong in (transaction, transaction | {"chainId": None}, transaction | {"chainId": "0x1"}):
        with pytest.raises(InvalidRequestError) as caught:
            account.sign(wrong)
        assert caught.value.code is ErrorCode.ANCHOR_MALFORMED
    assert account.sign(transaction | {"chainId": 1})


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://node.example/",
        "https://node.example:8545/v3/token?x=1",
        "http://127.0.0.1:8545",
        "http://127.8.9.1:8545",
        "http://localhost",
        "http://[::1]:8545/",
    ],
)
def test_urls_that_are_safe_are_taken(url: str) -> None:
    _anchor(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://node.example/",
        "http://10.0.0.1:8545",
        "http://192.168.1.1",
        "http://[fe80::1]/",
        "http://localhost.example/",
        "http://127.0.0.1.example/",
        "http://0.0.0.0:8545",
        "HTTP://node.example/",
    ],
)
def test_plain_http_to_another_machine_is_refused(url: str) -> None:
    with pytest.raises(RefusedError) as caught:
        _anchor(url)
    assert caught.value.code is ErrorCode.INSECURE_TRANSPORT
    assert "example" not in caught.value.message


@pytest.mark.parametrize(
    "options",
    [
        {"rpc": "ws://127.0.0.1/"},
        {"rpc": "file:///etc/passwd"},
        {"rpc": "node.example"},
        {"rpc": ""},
        {"rpc": "https:///path"},
        {"rpc": "https://[::1"},
        {"rpc": "https://node.example:port/"},
        {"rpc": "https://node.example:99999/"},
        {"rpc": "https://user:hunter2@node.example/"},
        {"rpc": "http://user@127.0.0.1/"},
        {"contract": ""},
        {"contract": "0x00"},
        {"contract": _CONTRACT[2:]},
        {"contract": _CONTRACT + "00"},
        {"contract": _CONTRACT.replace("b", "B", 1)},
        {"contract": "log.eth"},
        {"chain_id": 0},
        {"chain_id": -1},
        {"chain_id": 2**53},
        {"chain_id": True},
        {"confirmations": -1},
        {"confirmations": 10_001},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        _anchor(**options)
    assert caught.value.code is ErrorCode.CONFIG_INVALID
    assert "hunter2" not in str(caught.value)


def test_a_contract_is_named_in_lower_case_or_with_its_checksum() -> None:
    _anchor(contract=_CONTRACT)
    _anchor(contract="0x5FbDB2315678afecb367f032d93F642f64180aa3")


def test_an_origin_is_hashed_as_specified() -> None:
    """Computed with `printf 'yingbi.anchor.origin.v1\nlog.example/1\n' | sha256sum`."""
    assert hash_origin("log.example/1").hex() == "5c3e694b5343ee17ed82f4454cdeb7d6a4ebf2c4fd9d227dab00bc6c63b949d3"


# --- transactions of another time or place ----------------------------------------------------------------------------


def _signed(**fields: Any) -> Submission:
    usual: dict[str, Any] = {
        "nonce": 0,
        "gas": 100_000,
        "maxFeePerGas": 10,
        "maxPriorityFeePerGas": 1,
        "to": _CONTRACT,
        "value": 0,
        "data": "0x",
        "chainId": 1,
    }
    transaction = {name: value for name, value in (usual | fields).items() if value is not None}
    if isinstance(transaction["to"], str):
        transaction["to"] = bytes.fromhex(transaction["to"][2:])
    data, tx_hash = EvmAccount.from_secret(_SECRET).sign(transaction)
    return Submission(tx_hash=tx_hash, transaction=data, follows=bytes(32))


@pytest.mark.parametrize(
    "fields",
    [
        {"chainId": 2},
        {"to": "0x" + "11" * 20},
        {"gasPrice": 1, "maxFeePerGas": None, "maxPriorityFeePerGas": None, "chainId": 2},
        {"gasPrice": 1, "maxFeePerGas": None, "maxPriorityFeePerGas": None, "to": "0x" + "11" * 20},
    ],
)
def test_a_transaction_for_another_chain_or_contract_will_never_be_included_here(fields: dict[str, Any]) -> None:
    """A journal of another setting must not be believed; no node is asked."""
    assert _anchor("http://127.0.0.1:1/").status(_signed(**fields)) is TransactionState.REPLACED


@pytest.mark.parametrize(
    "fields", [{}, {"gasPrice": 1, "maxFeePerGas": None, "maxPriorityFeePerGas": None}], ids=["EIP-1559", "legacy"]
)
def test_a_transaction_for_this_contract_is_asked_about(fields: dict[str, Any]) -> None:
    provider = EthereumTesterProvider(EthereumTester())
    anchor = _anchor(provider, account=EvmAccount.from_secret(_SECRET))
    assert anchor.status(_signed(**fields)) is TransactionState.UNKNOWN


@pytest.mark.parametrize(
    "data", [b"\x00", b"\x02", b"\x02\xc0", b"\xc0", b"\x7f\xc0", b"\xff" * 40, b"\xc3\x01\x02\x03"]
)
def test_a_journal_without_a_transaction_is_refused(data: bytes) -> None:
    broken = Submission(tx_hash=bytes(32), transaction=data, follows=bytes(32))
    with pytest.raises(InvalidRequestError) as caught:
        _anchor().status(broken)
    assert caught.value.code is ErrorCode.ANCHOR_MALFORMED


def test_the_recursion_limit_stays_what_it_was() -> None:
    """A dependency of web3 raises it to 100,000, at which Python's JSON reader crashes on deeply nested text."""
    code = "import sys; n = sys.getrecursionlimit(); import ledger.anchor_evm; sys.exit(sys.getrecursionlimit() != n)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False).returncode == 0
    assert sys.getrecursionlimit() < 20_000


def test_the_errors_are_of_the_catalogue() -> None:
    faults: list[Callable[[], object]] = [lambda: _anchor("http://node.example"), lambda: _anchor(chain_id=0)]
    for fault in faults:
        with pytest.raises(SandboxError) as caught:
            fault()
        message = caught.value.message
        assert message[0].islower()
        assert not message.endswith(".")
        assert "\n" not in message

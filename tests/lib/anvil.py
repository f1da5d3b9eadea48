"""A real Ethereum node for tests: anvil, on a free port of this machine."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from web3 import Web3
from web3.types import RPCEndpoint

from ledger.anchor_evm import EvmAccount
from tests.lib.waiting import wait_until

__all__ = ["ACCOUNTS", "CHAIN_ID", "Anvil", "find_anvil", "start_anvil"]

CHAIN_ID = 31337
_LISTENING = re.compile(rb"Listening on 127\.0\.0\.1:([0-9]+)")
_MNEMONIC = "test test test test test test test test test test test junk"
# Published test keys of that mnemonic (m/44'/60'/0'/0/n); worth nothing anywhere.
ACCOUNTS = tuple(
    EvmAccount.from_secret(bytes.fromhex(secret))
    for secret in (
        "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
        "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
        "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    )
)


def find_anvil() -> str | None:
    """Return anvil's path: `YINGBI_ANVIL`, then `PATH`, then this repository's `node_modules`."""
    root = Path(__file__).resolve().parents[2] / "node_modules"
    # The program itself rather than its JavaScript wrapper, which would have to pass our signals on.
    packaged = sorted(root.glob("@foundry-rs/anvil-*/bin/anvil"))
    candidates = [os.environ.get("YINGBI_ANVIL"), shutil.which("anvil"), *map(str, packaged)]
    return next((path for path in candidates if path and os.access(path, os.X_OK)), None)


class Anvil:
    """A running node."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._w3 = Web3(Web3.HTTPProvider(url))

    def call(self, method: str, *params: object) -> Any:
        """Make one JSON-RPC call and return its result."""
        response = self._w3.provider.make_request(RPCEndpoint(method), list(params))
        if "error" in response:
            raise RuntimeError(f"{method}: {response['error']}")
        return response["result"]

    def mine(self, blocks: int = 1) -> None:
        """Make blocks, with what waits in the pool."""
        self.call("anvil_mine", hex(blocks))

    def block_hash(self, number: int) -> bytes:
        """Return the hash of a block: what an auditor would ask another node for."""
        return bytes.fromhex(self.call("eth_getBlockByNumber", hex(number), False)["hash"][2:])


@contextmanager
def start_anvil(path: str, *arguments: str) -> Iterator[Anvil]:
    """Run anvil until the end of the block. It mines only when told."""
    command = [path, "--host", "127.0.0.1", "--port", "0", "--chain-id", str(CHAIN_ID), "--no-mining"]
    command += ["--mnemonic", _MNEMONIC, "--accounts", "3", *arguments]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile(dir=folder) as output:
        command += ["--cache-path", folder]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield Anvil(f"http://127.0.0.1:{_wait_for_port(process, output)}")
        finally:
            process.terminate()
            process.wait(10)


def _wait_for_port(process: "subprocess.Popen[bytes]", output: IO[bytes]) -> int:
    def told() -> re.Match[bytes] | None:
        return _LISTENING.search(os.pread(output.fileno(), 1 << 16, 0))

    wait_until(lambda: told() or process.poll() is not None, seconds=30)
    match = told()
    if match is None:
        raise RuntimeError("anvil did not start")
    return int(match[1])

"""A witness in a process of its own: `python -m tests.lib.witness_process CONFIG`, stopped by signals."""

import json
import select
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from ledger.note import Cosigner, NoteVerifier
from ledger.serving import ServerTls, serve
from ledger.witness import Witness
from ledger.witness_http import create_witness_app
from ledger.witness_store import SqlWitnessStore
from yingbi.clock import SystemClock
from yingbi.keys import SigningKey

_ROOT = Path(__file__).resolve().parents[2]
_START_TIMEOUT_S = 20


@dataclass(frozen=True)
class WitnessConfig:
    """What a witness process needs; `log` is the log's vkey."""

    store: str
    log: str
    seed: int = 7
    name: str = "witness.bank-a.example"
    port: int = 0
    certificate: str | None = None
    key: str | None = None

    @property
    def verifier(self) -> NoteVerifier:
        return self.cosigner.verifier

    @property
    def cosigner(self) -> Cosigner:
        return Cosigner(self.name, SigningKey.from_seed(bytes([self.seed]) * 32), SystemClock())


class WitnessProcess:
    """Starts the process and waits until it listens; use it as a context manager."""

    def __init__(self, config: WitnessConfig) -> None:
        command = [sys.executable, "-m", "tests.lib.witness_process", json.dumps(asdict(config))]
        self._process = subprocess.Popen(
            command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _START_TIMEOUT_S)
        self.url = self._process.stdout.readline().strip() if ready else ""
        if not self.url:
            self.kill()
            raise RuntimeError("the witness process did not start")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        """SIGKILL: nothing is finished, nothing is flushed."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; return the exit code."""
        return self._end(signal.SIGTERM)

    def __enter__(self) -> "WitnessProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _end(self, number: signal.Signals) -> int:
        if self._process.poll() is None:
            self._process.send_signal(number)
        code = self._process.wait(timeout=30)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code


def main(argument: str) -> None:
    """Run a witness until it is stopped; the first line written is its URL."""
    config = WitnessConfig(**json.loads(argument))
    store = SqlWitnessStore.open(Path(config.store))
    witness = Witness([config.cosigner], [NoteVerifier.parse(config.log)], store=store, clock=SystemClock())
    tls = ServerTls(certificate=Path(config.certificate), key=Path(config.key or "")) if config.certificate else None
    serve(
        create_witness_app(witness),
        host="127.0.0.1",
        port=config.port,
        tls=tls,
        announce=lambda url: print(url, flush=True),
    )
    store.close()


if __name__ == "__main__":
    main(sys.argv[1])

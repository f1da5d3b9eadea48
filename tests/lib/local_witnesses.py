"""Witnesses in this process: the real rules and the log's real client, with a transport that needs no socket."""

import threading
import time
from collections.abc import Sequence

import httpx

from ledger.note import Cosigner, NoteVerifier
from ledger.trust_policy import TrustPolicy, parse_trust_policy
from ledger.witness import MemoryWitnessStore, Witness, parse_add_checkpoint
from ledger.witness_client import make_witness_clients
from ledger.witness_round import HttpWitnesses
from yingbi.clock import Clock
from yingbi.keys import SigningKey
from yingbi.verify import Trust, load_trust

__all__ = ["LocalWitness", "LocalWitnesses"]


class LocalWitness:
    """A witness that can be down, slow, or made to wait until it is let go."""

    def __init__(self, number: int, logs: Sequence[NoteVerifier], clock: Clock) -> None:
        self.name = f"w{number}"
        self.cosigner = Cosigner(f"{self.name}.example", SigningKey.from_seed(bytes([200 + number]) * 32), clock)
        self.store = MemoryWitnessStore()
        self.witness = Witness([self.cosigner], logs, store=self.store, clock=clock)
        self.is_down = False
        self.delay_s = 0.0
        self.gate = threading.Event()
        self.gate.set()
        self.sizes: list[int] = []
        """Sizes of the checkpoints that it was asked about."""

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.is_down:
            raise httpx.ConnectError("refused")
        self.sizes.append(parse_add_checkpoint(request.content).checkpoint.size)
        self.gate.wait(10)
        time.sleep(self.delay_s)
        answer = self.witness.add_checkpoint(request.content)
        headers = {"content-type": answer.content_type}
        return httpx.Response(answer.status, content=iter([answer.body]), headers=headers)


class LocalWitnesses:
    """Some witnesses of one log and the policy that asks for `threshold` of them; 0 asks for none."""

    def __init__(self, logs: Sequence[NoteVerifier], clock: Clock, *, count: int = 2, threshold: int = 2) -> None:
        self._clock = clock
        self.members = [LocalWitness(number, logs, clock) for number in range(1, count + 1)]
        lines = [f"log {log.encode()}" for log in logs]
        lines += [
            f"witness {item.name} {item.cosigner.verifier.encode()} https://{item.name}.example"
            for item in self.members
        ]
        if threshold:
            lines.append(f"group quorum {threshold} {' '.join(item.name for item in self.members)}")
        self.text = "\n".join([*lines, f"quorum {'quorum' if threshold else 'none'}", ""]).encode()

    @property
    def policy(self) -> TrustPolicy:
        return parse_trust_policy(self.text)

    @property
    def trust(self) -> Trust:
        return load_trust(self.text)

    def round(self, *, deadline_s: float = 5.0) -> HttpWitnesses:
        """Return what the log asks, with a memory of its own."""
        answers = {f"{item.name}.example": item.answer for item in self.members}
        http = httpx.Client(transport=httpx.MockTransport(lambda request: answers[request.url.host](request)))
        clients = make_witness_clients(self.policy, http, clock=self._clock)
        return HttpWitnesses(clients, self.policy, deadline_s=deadline_s)

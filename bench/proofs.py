"""Proofs from stored tiles, their verification, the size of receipts, and the audit of a whole log."""

import json
import random
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from bench.figures import Figure, median_rate
from bench.logs import ORIGIN, ROOT, SIGNER, fill_log, make_statements, new_log
from ledger.note import Cosigner, parse_note
from ledger.proof import verify_inclusion
from ledger.publish import export_log
from ledger.reader import LogReader
from ledger.receipt import add_cosignatures, format_receipt
from ledger.store_sql import SqlStore
from ledger.tree import hash_leaf
from yingbi.clock import SystemClock
from yingbi.keys import SigningKey
from yingbi.receipts import InclusionProof, Receipt

__all__ = ["measure_audit", "measure_proofs"]

_PROOFS = 2000
_SEED = 20261121
_AUDIT = """
import resource, sys, time
from datetime import UTC, datetime
from pathlib import Path
from yingbi.verify import audit_log, load_trust
def main():
    start = time.perf_counter()
    trust = load_trust(Path(sys.argv[2]).read_bytes())
    terms = {"now": datetime.now(UTC), "statements": sys.argv[3] == "statements", "workers": int(sys.argv[4])}
    report = audit_log(Path(sys.argv[1]), trust, **terms)
    seconds = time.perf_counter() - start
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(seconds, peak / 1024, report.verdict)
if __name__ == "__main__":
    main()
"""


def measure_proofs(folder: Path, size: int, *, target_ms: float) -> list[Figure]:
    """Measure inclusion proofs at random places of a log of `size`, read from SQLite, the cache cold at first."""
    store = SqlStore.open(_filled(folder, size))
    reader = LogReader(store)
    signed = reader.published()
    places = random.Random(_SEED)
    indexes = [places.randrange(size) for _ in range(_PROOFS)]
    times, proofs = [], []
    for index in indexes:
        start = perf_counter()
        proofs.append(reader.receipt(index, signed).proof)
        times.append((perf_counter() - start) * 1000)
    leaves = [hash_leaf(store.read_entries(index, index + 1)[0]) for index in indexes]
    root = signed.checkpoint.root
    rate, runs = median_rate(lambda: _verify(proofs, leaves, root), runs=5)
    cosigner = Cosigner("w1.bank-a", SigningKey.from_seed(b"\x03" * 32), SystemClock())
    cosigned = add_cosignatures(signed, [cosigner.sign(parse_note(signed.note).text)])
    longest = max(proofs, key=lambda proof: len(proof.path))
    length = len(format_receipt(Receipt(proof=longest, signed=cosigned)))
    store.close()
    name = f"at {size:,} entries"
    return [
        Figure(
            name=f"inclusion proof from stored tiles {name} (p50)",
            value=statistics.median(times),
            unit="ms",
            runs=[statistics.quantiles(times, n=20)[-1]],
            target=f"under {target_ms} ms",
            baseline="runs column: p95",
        ),
        Figure(name=f"inclusion proofs verified {name}", value=rate, unit="/s", runs=runs, target="at least 35,000/s"),
        Figure(
            name=f"receipt with one cosignature {name}",
            value=length,
            unit="bytes",
            runs=[length],
            target="at most 1.2 kB",
            baseline=f"longest of {_PROOFS}: {len(longest.path)} hashes; origin `{ORIGIN}`",
        ),
    ]


def measure_audit(folder: Path, size: int, *, with_statements: bool) -> list[Figure]:
    """Measure the offline verifier on an exported log, as a process of its own."""
    store = SqlStore.open(_filled(folder, size))
    export_log(store, (SIGNER.verifier,), folder / "export")
    store.close()
    trust = folder / "trust.json"
    policy = f"log {SIGNER.verifier.encode()}\nquorum none\n"
    value = {"v": 1, "policy": policy, "statement_roots": [ROOT.public.to_jwk()]}
    trust.write_text(json.dumps(value), encoding="utf-8")
    figures = []
    for kind in ["structure"] + (["statements"] if with_statements else []):
        command = [sys.executable, "-c", _AUDIT, str(folder / "export"), str(trust), kind, "2"]
        seconds, peak_mib, verdict = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split(
            " ", 2
        )
        figures.append(
            Figure(
                name=f"audit of {size:,} entries, {kind}",
                value=float(seconds),
                unit="s",
                runs=[float(seconds)],
                target="under 25 s at 1,000,000, bounded memory",
                baseline=f"largest process {float(peak_mib):,.0f} MiB; {verdict.strip()}",
            )
        )
    return figures


def _filled(folder: Path, size: int) -> str:
    if not (folder / "log.sqlite").exists():
        log, store = new_log(folder)
        fill_log(log, make_statements(1000), size)
        log.close()
        store.close()
    return f"sqlite:///{folder}/log.sqlite"


def _verify(proofs: list[InclusionProof], leaves: list[bytes], root: bytes) -> int:
    for proof, leaf in zip(proofs, leaves, strict=True):
        verify_inclusion(proof, leaf, root)
    return len(proofs)

"""Anchor proofs joined with signed checkpoints, and files told apart by how they begin."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from ledger.checkpoint import format_checkpoint
from ledger.note import Cosigner, TextSigner, sign_note
from yingbi.clock import FixedClock
from yingbi.keys import SigningKey
from yingbi.receipts import Checkpoint
from yingbi.verify import Finding, Outcome, Report, Trust, Verdict, load_trust
from yingbi.verify.__main__ import main
from yingbi.verify.anchored import verify_anchored_checkpoint
from yingbi.verify.files import verify_file

VECTORS: Final = Path(__file__).parents[2] / "vectors" / "anchor"
EXPECTED: Final[dict[str, Any]] = json.loads((VECTORS / "expected.json").read_bytes())
ORIGIN: Final = str(EXPECTED["origin"])
NOW: Final = datetime(2027, 2, 1, tzinfo=UTC)
LOG: Final = TextSigner(ORIGIN, SigningKey.from_seed(b"L" * 32))
WITNESS: Final = Cosigner("witness.example", SigningKey.from_seed(b"W" * 32), FixedClock(NOW))


def load(*, has_block: bool = True) -> Trust:
    policy = f"log {LOG.verifier.encode()}\nwitness w {WITNESS.verifier.encode()}\nquorum w\n"
    anchors = [{name: EXPECTED[name] for name in ("chain_id", "contract", "block_hash")}]
    return load_trust(json.dumps({"v": 1, "policy": policy, "anchors": anchors if has_block else []}).encode())


def sign(name: str = "last.json", **changes: Any) -> bytes:
    """Sign and cosign the head that the proof `name` is about, or a changed one."""
    head = EXPECTED["heads"][name]
    fields = {"origin": ORIGIN, "size": head["size"], "root": bytes.fromhex(head["root"]), **changes}
    return sign_note(format_checkpoint(Checkpoint(**fields)), [LOG, WITNESS])


def verify(checkpoint: bytes | None, name: str = "last.json", trust: Trust | None = None) -> Report:
    proof = (VECTORS / name).read_bytes()
    return verify_anchored_checkpoint(proof, checkpoint, trust or load(), now=NOW)


@pytest.mark.parametrize("name", EXPECTED["heads"])
def test_a_signed_head_that_the_chain_has_is_verified(name: str) -> None:
    report = verify(sign(name), name)
    assert report.verdict is Verdict.VERIFIED
    assert f"block {EXPECTED['block_number']} of chain {EXPECTED['chain_id']}" in report.checks[-1].message


def test_without_the_checkpoint_nothing_is_known_of_the_log() -> None:
    report = verify(None)
    assert report.verdict is Verdict.COULD_NOT_CHECK
    assert [item for check in report.checks for item in check.ask_for] == [
        f"the checkpoint of {ORIGIN} at size {EXPECTED['heads']['last.json']['size']}"
    ]


def test_without_a_block_to_believe_it_says_which_to_ask_for() -> None:
    report = verify(sign(), trust=load(has_block=False))
    assert report.verdict is Verdict.COULD_NOT_CHECK
    (wanted,) = report.checks[-1].ask_for
    assert f"block {EXPECTED['block_number']} of chain {EXPECTED['chain_id']}" in wanted


def test_another_root_at_the_anchored_size_is_a_split_view() -> None:
    report = verify(sign(root=b"\x01" * 32))
    assert report.verdict is Verdict.INVALID
    assert report.first_failure is not None
    assert report.first_failure.finding is Finding.SPLIT_VIEW


def test_a_checkpoint_of_another_size_proves_nothing_yet() -> None:
    report = verify(sign("older.json"))
    assert report.verdict is Verdict.COULD_NOT_CHECK
    assert report.checks[-1].outcome is Outcome.MISSING


def test_a_tampered_proof_is_invalid() -> None:
    proof = json.loads((VECTORS / "last.json").read_bytes())
    proof["header"] = proof["header"][:-2] + ("00" if proof["header"][-2:] != "00" else "01")
    data = json.dumps(proof, sort_keys=True, separators=(",", ":")).encode()
    report = verify_anchored_checkpoint(data, sign(), load(), now=NOW)
    assert report.verdict is Verdict.INVALID
    assert report.first_failure is not None
    assert report.first_failure.finding is Finding.NOT_ANCHORED


def test_the_checkpoint_itself_is_verified_too() -> None:
    note = sign()
    forged = note[: note.rindex(b" ") + 1] + base64.b64encode(WITNESS.verifier.key_id + b"\x00" * 72) + b"\n"
    assert verify(forged).verdict is Verdict.INVALID


def test_files_are_told_apart() -> None:
    proof = (VECTORS / "last.json").read_bytes()
    assert verify_file(proof, load(), checkpoint=sign(), now=NOW).verdict is Verdict.VERIFIED
    assert verify_file(sign(), load(), now=NOW).verdict is Verdict.VERIFIED
    receipt = b"c2sp.org/tlog-proof@v1\nindex 0\n\n" + sign()
    assert verify_file(receipt, load(), now=NOW).verdict is Verdict.COULD_NOT_CHECK
    assert verify_file(b"nonsense", load(), now=NOW).verdict is Verdict.INVALID


def test_the_command_line_verifies_an_anchor_proof(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "checkpoint").write_bytes(sign())
    anchors = [{name: EXPECTED[name] for name in ("chain_id", "contract", "block_hash")}]
    policy = f"log {LOG.verifier.encode()}\nwitness w {WITNESS.verifier.encode()}\nquorum w\n"
    (tmp_path / "trust").write_text(json.dumps({"v": 1, "policy": policy, "anchors": anchors}), encoding="utf-8")
    words = ["anchor", str(VECTORS / "last.json"), "--trust", str(tmp_path / "trust"), "--now", NOW.isoformat()]
    assert main(words) == 3
    assert main([*words, "--checkpoint", str(tmp_path / "checkpoint")]) == 0
    assert "VERIFIED" in capsys.readouterr().out

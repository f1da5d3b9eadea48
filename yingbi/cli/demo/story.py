"""The story: a bank asks three questions, a unit stops everything at once, an auditor proves what happened."""

import json
from collections.abc import Mapping
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from yingbi.cli.demo.cast import APPROVER, Cast
from yingbi.cli.demo.setting import AGREEMENT, BANK, PURPOSE, TAX
from yingbi.cli.demo.stage import Stage
from yingbi.cli.demo.telling import Teller, say
from yingbi.client import Client, Job, JobRefusedError, TableResult
from yingbi.client.decisions import reason_text
from yingbi.errors import ErrorCode, SandboxError

__all__ = ["ask", "audit", "stop_everything"]

_BY_STREET: Final = "select street, avg(tax_paid), count(*) from tax.annual_filings where year = '2025' group by street"
_SMALL: Final = (
    "select size, sum(tax_paid) from tax.annual_filings "
    "where year = '2025' and street = '福保街道' and size in ('large', 'medium') group by size"
)
_REVENUE: Final = "select street, sum(revenue) from tax.annual_filings group by street"
_STREETS: Final = 10
_TIMEOUT_S: Final = 60.0


def ask(console: Teller, stage: Stage, cast: Cast) -> None:
    """Ask a question that is answered, one that is held, and one that is refused."""
    bank = cast.client(BANK, agreement=AGREEMENT, purpose=PURPOSE)
    say(console, "ask.answered")
    answered = _submit(console, bank, _BY_STREET)
    _expect(answered.state in ("released", "delivered"), f"the first question ended as `{answered.state}`")
    result = answered.released()
    if not isinstance(result, TableResult) or len(result.rows) != _STREETS:
        raise _failed("the first answer is not a table of ten streets")
    console.print(str(result), markup=False)
    _keep(stage, answered, result)
    say(console, "ask.held")
    held = _submit(console, bank, _SMALL)
    _expect(held.state == "held", f"the second question ended as `{held.state}`")
    console.print("\n".join(held.status.why()), markup=False)
    _keep(stage, held, None)
    say(console, "ask.refused")
    console.print(_REVENUE, style="dim", markup=False)
    try:
        bank.sql(_REVENUE).submit(agreement=AGREEMENT, purpose=PURPOSE)
    except JobRefusedError as error:
        _show_refusal(console, error)
        _expect(any(reason.get("grant") for reason in error.reasons), "the refusal names no grant that would do")
    else:
        raise _failed("the third question was not refused")


def stop_everything(console: Teller, stage: Stage, cast: Cast) -> None:
    """Have the unit's officer stop its node with one command: what was answered a minute ago is not any more."""
    say(console, "stop")
    officer = ("--person", TAX.officer, "--key", cast.key_file(TAX.officer))
    stage.command("node", "withdraw", *officer, "--node", TAX.name)
    # The node stops at once, the hub when it has heard of it: until then it takes questions that nobody answers.
    _wait_for_freeze(cast)
    bank = cast.client(BANK)
    try:
        _submit(console, bank, _BY_STREET)
    except JobRefusedError as error:
        _show_refusal(console, error)
        _expect(any(reason["code"] == "frozen" for reason in error.reasons), "the refusal does not say why")
    else:
        raise _failed("a question to a node that was withdrawn was not refused")


def audit(console: Teller, stage: Stage, cast: Cast, federations: Mapping[str, str]) -> None:
    """Export what is public, and prove offline, from files and public keys alone, what happened.

    Args:
        console: to tell it on.
        stage: where it plays.
        cast: who plays.
        federations: the ids of federations, and the bank that each is for.
    """
    say(console, "audit")
    folder = stage.folder
    stage.command("log", "export", "log", "--log", "hub/log")
    (folder / "log" / "witness.vkey").write_text(_witness_key(folder), encoding="utf-8")
    documents = _documents(stage, cast)
    for federation, bank in federations.items():
        kept, profile = f"kept/{federation}.json", stage.folder / "profiles" / f"{cast.key_file(bank).stem}.toml"
        stage.command("audit", "fetch", federation, "--out", "federations", "--kept", kept, "--profile", profile)
    common = ["--log", "log", "--trust", "roots.json", "--documents", documents]
    if federations:
        common += ["--federations", "federations"]
    stage.command("audit", "bundle", *common, "--receipts", "receipts", "--out", "bundle.zip")
    _show(
        console, "verify bundle.zip --trust roots.json", stage.command("verify", "bundle.zip", "--trust", "roots.json")
    )
    if federations:
        _show(console, "audit federations", stage.command("audit", "federations", *common))
    _show(console, "audit controls", stage.command("audit", "controls", *common))
    say(console, "tamper")
    _try_tampering(console, stage)


def _submit(console: Teller, bank: Client, sql: str) -> Job:
    console.print(sql, style="dim", markup=False)
    job = bank.sql(sql).submit(agreement=AGREEMENT, purpose=PURPOSE)
    return job.wait(timeout_s=_TIMEOUT_S, progress=False)


def _wait_for_freeze(cast: Cast) -> None:
    client, end = cast.client(APPROVER), monotonic() + _TIMEOUT_S
    while not client.run(client.hub.listing(("incidents",))):
        _expect(monotonic() < end, "the hub did not hear that the unit has stopped its node")
        sleep(0.1)


def _show_refusal(console: Teller, error: JobRefusedError) -> None:
    for reason in error.reasons:
        console.print(reason_text(reason), markup=False)


def _keep(stage: Stage, job: Job, result: TableResult | None) -> None:
    """Keep what the bank would: its result and the receipts of everything that happened to its job."""
    for name in ("results", "receipts"):
        (stage.folder / name).mkdir(exist_ok=True)
    if result is not None:
        path = stage.folder / "results" / f"{job.id}.json"
        path.write_text(json.dumps(result.content, ensure_ascii=False, indent=1), encoding="utf-8")
    for receipt in job.receipts():
        name = f"{receipt.index:06}-{receipt.type}"
        (stage.folder / "receipts" / f"{name}.entry").write_bytes(receipt.entry)
        (stage.folder / "receipts" / f"{name}.tlog-proof").write_bytes(receipt.receipt)


def _documents(stage: Stage, cast: Cast) -> Path:
    """Fetch the texts that entries name by digest: terms and catalogue entries, as an auditor of the bureau may."""
    folder = stage.folder / "documents"
    folder.mkdir(exist_ok=True)
    client = cast.client("person:approver")
    agreements = client.run(client.hub.listing(("agreements",)))
    found = [client.run(client.hub.get(("documents", str(one["terms"])))) for one in agreements]
    found += [row["document"] for row in client.run(client.hub.listing(("datasets",)))]
    for number, document in enumerate(found):
        (folder / f"{number:03}.json").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return folder


def _try_tampering(console: Teller, stage: Stage) -> None:
    """Change one byte of a copy of the exported log; the verifier has to find it."""
    import shutil
    import subprocess
    import sys

    copy = stage.folder / "tampered"
    shutil.copytree(stage.folder / "log", copy)
    bundle = next(path for path in sorted((copy / "tile" / "entries").rglob("*")) if path.is_file())
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    done = subprocess.run(  # noqa: S603 - our own interpreter and arguments
        [sys.executable, "-m", "yingbi", "verify", str(copy), "--trust", str(stage.folder / "roots.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    console.print(done.stdout.rstrip(), markup=False)
    _expect(done.returncode == 1, "a changed byte was not found")


def _witness_key(folder: Path) -> str:
    policy = json.loads((folder / "roots.json").read_text("utf-8"))["policy"]
    (line,) = (line for line in policy.splitlines() if line.startswith("witness "))
    return str(line.split()[2]) + "\n"


def _show(console: Teller, command: str, output: str) -> None:
    console.print(f"$ yingbi {command}", style="dim", markup=False)
    console.print(output.rstrip(), markup=False)


def _expect(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise _failed(otherwise)


def _failed(what: str) -> SandboxError:
    return SandboxError(ErrorCode.INTERNAL, f"the demonstration does not hold: {what}")

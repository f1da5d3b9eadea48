"""`yingbi audit`: evidence bundles, stories, samples and control tests, from published files (docs/auditing.md).

Exit codes: 0 nothing found, 1 findings (or a log that is not sound), 3 something needed is missing.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from yingbi.canonical import canonical_bytes
from yingbi.cli.audit_sources import import_replay, open_source
from yingbi.cli.job import ProfileOption, opened_client
from yingbi.cli.output import (
    JsonFlag,
    fail,
    printable,
    progress_bar,
    read_file,
    show_fields,
    show_list,
    show_rows,
    write_bytes,
)
from yingbi.cli.reports import show_report
from yingbi.cli.sources import Read
from yingbi.cli.text import language, t
from yingbi.cli.verify import Origin, load_trust_file, make_terms
from yingbi.errors import ErrorCode, ExitCode, InvalidRequestError, NotFoundError
from yingbi.keys import VerifyKey
from yingbi.verify import Verdict, audit_log

if TYPE_CHECKING:
    from yingbi.audit.case import Case
    from yingbi.audit.contributions import Evidence
    from yingbi.audit.controls import ControlResult
    from yingbi.audit.folding import Documents
    from yingbi.audit.sampling import Sample
    from yingbi.audit.tracing import Trace

__all__ = ["app"]

_MAX_SHOWN: Final = 20

app = typer.Typer(help=t("audit.help"), no_args_is_help=True)

LogOption = Annotated[str, typer.Option("--log", help=t("audit.option.log"))]
TrustOption = Annotated[Path, typer.Option("--trust", help=t("verify.option.trust"))]
DocumentsOption = Annotated[list[Path] | None, typer.Option("--documents", help=t("audit.option.documents"))]
FederationsOption = Annotated[
    Path | None, typer.Option("--federations", help=t("audit.option.federations"), file_okay=False)
]
BureauOption = Annotated[str | None, typer.Option("--bureau", help=t("audit.option.bureau"))]
CaFile = Annotated[Path | None, typer.Option("--ca", help=t("option.ca"))]


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """A log that was found sound, read and folded."""

    case: "Case"
    documents: "Documents"
    read: Read
    evidence: "Evidence | None"


@app.command("bundle", help=t("audit.bundle.help"))
def bundle(
    log: LogOption,
    trust_file: TrustOption,
    out: Annotated[Path, typer.Option("--out", "-o", help=t("option.out"), dir_okay=False)],
    documents: DocumentsOption = None,
    federations: FederationsOption = None,
    job: Annotated[str | None, typer.Option("--job", help=t("audit.option.only_job"))] = None,
    since: Annotated[int | None, typer.Option("--since", min=0, help=t("audit.option.since_index"))] = None,
    receipts: Annotated[Path | None, typer.Option("--receipts", help=t("audit.option.receipts"))] = None,
    anchors: Annotated[Path | None, typer.Option("--anchors", help=t("audit.option.anchors"))] = None,
    include: Annotated[
        bool, typer.Option("--with-documents/--without-documents", help=t("audit.option.include_documents"))
    ] = True,
    bureau: BureauOption = None,
    origin: Origin = None,
    ca_file: CaFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Pack a log and what belongs to it into an evidence bundle."""
    from yingbi.audit.bundle import Contents, build_bundle, chosen_jobs
    from yingbi.audit.controls import run_controls

    if job is not None and since is not None:
        raise InvalidRequestError(ErrorCode.USAGE, "expected `--job` or `--since`, not both")
    with _open(log, trust_file, documents, federations, bureau, origin, ca_file, as_json=as_json) as opened:
        contents = Contents(
            documents=opened.documents if include else None,
            jobs=chosen_jobs(opened.case, job=job, since=since),
            receipts=[] if receipts is None else [read_file(path) for path in sorted(receipts.glob("*.tlog-proof"))],
            anchors=[] if anchors is None else [_read_anchor(path) for path in sorted(anchors.glob("*.json"))],
            evidence=opened.evidence,
        )
        built = build_bundle(out, opened.case, run_controls(opened.case), opened.read, contents)
    with out.open("rb") as file:
        sha512 = hashlib.file_digest(file, "sha512").hexdigest()
    fields = {
        "file": str(out),
        "size_bytes": out.stat().st_size,
        "files": built.files,
        "jobs": built.jobs,
        "identifier": built.identifier,
        "sha512": sha512,
        "absent": "\n".join(built.absent) or None,
    }
    show_fields(t("audit.bundle.title"), fields, as_json=as_json)


@app.command("trace", help=t("audit.trace.help"))
def trace(
    log: LogOption,
    trust_file: TrustOption,
    result: Annotated[str | None, typer.Option("--result", help=t("audit.option.result"))] = None,
    job: Annotated[str | None, typer.Option("--job", help=t("audit.option.job"))] = None,
    documents: DocumentsOption = None,
    federations: FederationsOption = None,
    html: Annotated[Path | None, typer.Option("--html", help=t("audit.option.html"), dir_okay=False)] = None,
    bureau: BureauOption = None,
    origin: Origin = None,
    ca_file: CaFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Tell the whole story of one result."""
    from yingbi.audit.pages import render_story
    from yingbi.audit.tracing import find_job, trace_job

    if (result is None) is (job is None):
        raise InvalidRequestError(ErrorCode.USAGE, "expected `--result DIGEST` or `--job ID`")
    with _open(log, trust_file, documents, federations, bureau, origin, ca_file, as_json=as_json) as opened:
        story = trace_job(opened.case, job or find_job(opened.case, str(result)))
    if html is not None:
        write_bytes(render_story(story.to_json(), language()).encode(), html)
    if as_json:
        typer.echo(json.dumps(story.to_json()))
    else:
        _show_trace(story)


@app.command("sample", help=t("audit.sample.help"))
def sample(
    log: LogOption,
    trust_file: TrustOption,
    nonce: Annotated[str, typer.Option("--nonce", help=t("audit.option.nonce"))],
    confidence: Annotated[int, typer.Option("--confidence", help=t("audit.option.confidence"))] = 95,
    tolerable: Annotated[int, typer.Option("--tolerable", help=t("audit.option.tolerable"))] = 5,
    documents: DocumentsOption = None,
    federations: FederationsOption = None,
    bureau: BureauOption = None,
    origin: Origin = None,
    ca_file: CaFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw a sample of jobs."""
    from yingbi.audit.sampling import draw

    with _open(log, trust_file, documents, federations, bureau, origin, ca_file, as_json=as_json) as opened:
        drawn = draw(opened.case, confidence=confidence, tolerable=tolerable, nonce=nonce)
    if as_json:
        typer.echo(json.dumps(asdict(drawn)))
    else:
        _show_sample(drawn)


@app.command("controls", help=t("audit.controls.help"))
def controls(
    log: LogOption,
    trust_file: TrustOption,
    documents: DocumentsOption = None,
    federations: FederationsOption = None,
    csv: Annotated[Path | None, typer.Option("--csv", help=t("audit.option.csv"), dir_okay=False)] = None,
    paper: Annotated[Path | None, typer.Option("--working-paper", help=t("audit.option.paper"), dir_okay=False)] = None,
    bureau: BureauOption = None,
    origin: Origin = None,
    ca_file: CaFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Run the control tests; end with 1 if one of them finds something."""
    from yingbi.audit.controls import run_controls
    from yingbi.audit.findings import findings_csv
    from yingbi.audit.papers import working_paper

    with _open(log, trust_file, documents, federations, bureau, origin, ca_file, as_json=as_json) as opened:
        results = run_controls(opened.case)
    findings = [finding for result in results for finding in result.findings]
    if csv is not None:
        write_bytes(findings_csv(findings), csv)
    if paper is not None:
        write_bytes(working_paper(opened.case, results, language()), paper)
    _show_controls(results, as_json=as_json)
    # What was left out on purpose is told, and is no reason to fail: as for a bundle without documents.
    raise typer.Exit(_exit_code(results, is_whole=opened.evidence is not None))


@app.command("fetch", help=t("audit.fetch.help"))
def fetch(
    federation: Annotated[str, typer.Argument(help=t("audit.argument.federation"))],
    out: Annotated[Path, typer.Option("--out", "-o", help=t("audit.option.fetch_out"), file_okay=False)],
    kept: Annotated[Path | None, typer.Option("--kept", help=t("audit.option.kept"), dir_okay=False)] = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Fetch terms and contributions of a federation from a hub; end with 3 where some are not to be had."""
    from yingbi.client.federation_evidence import fetch_evidence

    fetched, absent = 0, []
    with opened_client(profile) as client:
        for steps in client.run(fetch_evidence(client.hub, federation)):
            path, data = client.run(steps)
            if data is None and path.endswith("/terms.json") and kept is not None:
                data = _kept_terms(kept)
            if data is None:
                absent.append(path)
                continue
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(data, out / path)
            fetched += 1
    fields = {"folder": str(out), "files": fetched, "absent": "\n".join(absent) or None}
    show_fields(t("audit.fetch.title"), fields, as_json=as_json)
    raise typer.Exit(int(ExitCode.COULD_NOT_CHECK if absent else ExitCode.OK))


def _kept_terms(path: Path) -> bytes:
    """Return the terms in what a partner keeps of a federation (`yingbi federation run --keep`)."""
    try:
        return canonical_bytes(json.loads(read_file(path))["terms"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InvalidRequestError(ErrorCode.USAGE, "expected what `yingbi federation run --keep` has written") from None


@app.command("federations", help=t("audit.federations.help"))
def federations(
    log: LogOption,
    trust_file: TrustOption,
    documents: DocumentsOption = None,
    evidence: FederationsOption = None,
    bureau: BureauOption = None,
    origin: Origin = None,
    ca_file: CaFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Hold federations against their evidence, round by round; end as `controls` does, on what is about them."""
    from yingbi.audit.controls import CONTROLS, run_controls
    from yingbi.audit.federation_report import federation_rows

    about = [control for control in CONTROLS if control.name.startswith("federation-")]
    with _open(log, trust_file, documents, evidence, bureau, origin, ca_file, as_json=as_json) as opened:
        results, rows = run_controls(opened.case, about), federation_rows(opened.case, None)
    if as_json:
        typer.echo(json.dumps({"federations": rows, **_controls_json(results)}))
    else:
        _show_federations(rows)
        _show_controls(results, as_json=False)
    raise typer.Exit(_exit_code(results))


def _exit_code(results: "tuple[ControlResult, ...]", *, is_whole: bool = True) -> int:
    """Return 1 where something was found, 3 where something of what is here could not be looked at, else 0."""
    if any(result.findings for result in results):
        return int(ExitCode.INVALID)
    is_unchecked = is_whole and any(result.unchecked for result in results)
    return int(ExitCode.COULD_NOT_CHECK if is_unchecked else ExitCode.OK)


@contextmanager
def _open(
    log: str,
    trust_file: Path,
    documents: list[Path] | None,
    federations: Path | None,
    bureau: str | None,
    origin: str | None,
    ca_file: Path | None,
    *,
    as_json: bool,
) -> Iterator[_Opened]:
    """Check that a log is sound, then read it. What is missing, or wrong with it, ends the command here."""
    from yingbi.audit.case import Case
    from yingbi.audit.contributions import Evidence, read_evidence_folder
    from yingbi.audit.facts import read_once
    from yingbi.audit.folding import fold_log, load_documents, missing_terms

    trust = load_trust_file(trust_file)
    if not trust.statement_roots:
        raise InvalidRequestError(ErrorCode.POLICY_MALFORMED, "expected `statement_roots` in the trust file")
    with open_source(log, ca_file) as source, progress_bar(t("audit.progress")) as progress:
        read = read_once(source.read)
        # The signatures of statements are for the control tests, which name every wrong one.
        report = audit_log(read, trust, statements=False, progress=progress, **make_terms(None, 300, origin))
        if report.verdict not in (Verdict.VERIFIED, Verdict.LOG_SIGNED_ONLY):
            show_report(report, as_json=as_json)
            raise typer.Exit(report.exit_code)
        if report.verdict is Verdict.LOG_SIGNED_ONLY and not as_json:
            typer.echo(t("audit.log_signed_only"), err=True)
        texts = load_documents(documents or [], source.texts)
        if absent := missing_terms(read, texts.find_terms):
            _end_without(absent, as_json=as_json)
        roots = [VerifyKey(key.public) for key in trust.statement_roots.values()]
        reading = fold_log(read, roots, find_terms=texts.find_terms, bureau=bureau)
        evidence = source.evidence if federations is None else read_evidence_folder(federations)
        case = Case(reading=reading, evidence=evidence or Evidence(), make_replay=import_replay())
        yield _Opened(case=case, documents=texts, read=read, evidence=evidence)


def _read_anchor(path: Path) -> tuple[bytes, bytes | None]:
    beside = path.with_suffix(".checkpoint")
    return read_file(path), read_file(beside) if beside.exists() else None


def _end_without(absent: tuple[str, ...], *, as_json: bool) -> None:
    error = NotFoundError(ErrorCode.TERMS_NOT_FOUND, t("audit.terms_missing"), hint=" ".join(absent))
    try:
        fail(error, as_json=as_json)
    except typer.Exit:
        raise typer.Exit(int(ExitCode.COULD_NOT_CHECK)) from None


def _show_trace(story: "Trace") -> None:
    from yingbi.audit.texts import load_texts

    console, texts = Console(highlight=False, emoji=False), load_texts(language())
    tree = Tree(Text(f"{story.job} {texts.code('state', story.state)}", style="bold"))
    branches: dict[str, Tree] = {}
    for step in story.steps:
        fact = step.fact
        if step.phase not in branches:
            branches[step.phase] = tree.add(Text(texts(f"phase.{step.phase}"), style="bold cyan"))
        signers = "; ".join(f"{party} ({', '.join(duties)})" if duties else party for party, duties in step.signers)
        line = Text(printable(f"{fact.index} {fact.time} {fact.type}  {signers}"))
        if fact.refusal is not None:
            line.append(f"  {t('audit.trace.without_effect')}: {printable(fact.refusal.message)}", style="red")
        branches[step.phase].add(line)
    console.print(tree)
    console.print(Text(t("audit.trace.receipts", size=story.size)))


def _show_sample(drawn: "Sample") -> None:
    rows = [(item.partner, item.grade, item.operation, item.size, "\n".join(item.drawn)) for item in drawn.strata]
    show_rows(t("audit.sample.title"), ("partner", "grade", "operation", "jobs", "drawn"), rows, as_json=False)
    always = [(item.reason, item.subject, ", ".join(map(str, item.indexes))) for item in drawn.mandatory]
    show_rows(t("audit.sample.mandatory"), ("reason", "subject", "indexes"), always, as_json=False)
    count = sum(len(item.drawn) for item in drawn.strata)
    text = t("audit.sample.seed", drawn=count, population=drawn.population, wanted=drawn.wanted, seed=drawn.seed)
    typer.echo(text)


def _show_controls(results: "tuple[ControlResult, ...]", *, as_json: bool) -> None:
    from yingbi.audit.texts import load_texts

    findings = [finding for result in results for finding in result.findings]
    if as_json:
        typer.echo(json.dumps(_controls_json(results)))
        return
    texts = load_texts(language())
    table = [
        (item.control.id, texts(f"control.{item.control.name}"), item.population, len(item.findings))
        for item in results
    ]
    show_rows(t("audit.controls.title"), ("control", "title", "population", "findings"), table, as_json=False)
    unchecked = [(item.control.id, text) for item in results for text in item.unchecked]
    for name, text in unchecked[:_MAX_SHOWN]:
        typer.echo(t("audit.controls.unchecked", control=name, what=printable(text)))
    if len(unchecked) > _MAX_SHOWN:
        typer.echo(t("audit.controls.more", count=len(unchecked) - _MAX_SHOWN))
    if not findings:
        typer.echo(t("audit.controls.clean"))
        return
    cells = [
        (item.control, str(item.severity), item.subject, ", ".join(map(str, item.indexes)), item.message)
        for item in findings
    ]
    names = t("audit.controls.findings")
    show_rows(names, ("control", "severity", "subject", "indexes", "message"), cells, as_json=False)


def _controls_json(results: "tuple[ControlResult, ...]") -> dict[str, Any]:
    from yingbi.audit.texts import load_texts

    rows = [
        {
            "id": result.control.id,
            "name": result.control.name,
            "supports": load_texts("en")(f"supports.{result.control.name}"),
            "severity": str(result.control.severity),
            "population": result.population,
            "findings": [finding.row() for finding in result.findings],
            "unchecked": list(result.unchecked),
        }
        for result in results
    ]
    findings = sum(len(result.findings) for result in results)
    return {"controls": rows, "findings": findings, "unchecked": sum(len(result.unchecked) for result in results)}


def _show_federations(rows: list[dict[str, Any]]) -> None:
    names = [t("audit.federations.federation"), t("audit.federations.members"), t("audit.federations.rounds")]
    names += [t("audit.federations.again"), t("audit.federations.rho"), t("audit.federations.state")]
    table = [
        (row["federation"], "\n".join(row["nodes"]), row["rounds"], row["recomputed"], row["rho"], row["state"])
        for row in rows
    ]
    show_list(t("audit.federations.title"), names, table, whole=(0,))
    columns = [t("audit.federations.federation"), t("audit.federations.attempt"), t("audit.federations.given")]
    attempts = [
        (row["federation"], f"{one['round']}-{one['attempt']}", f"{one['given']}/{one['participants']}", one["outcome"])
        for row in rows
        for one in row["attempts"]
    ]
    show_list(t("audit.federations.attempts"), [*columns, t("audit.federations.again")], attempts)

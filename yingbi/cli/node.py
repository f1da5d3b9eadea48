"""`yingbi node`: make a node, check its cage, and take questions through its gate as its operator."""

import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from yingbi.canonical import JsonValue, canonical_bytes
from yingbi.cli.keys import PassphraseFile, read_passphrase
from yingbi.cli.output import (
    JsonFlag,
    OutFile,
    missing_extra,
    printable,
    progress_bar,
    read_file,
    show_fields,
    show_rows,
    write_bytes,
)
from yingbi.cli.released import show_result
from yingbi.cli.text import t
from yingbi.errors import ErrorCode, ExitCode, InvalidRequestError, NotFoundError

if TYPE_CHECKING:
    from policies.compiled import CompiledAgreement
    from sandbox.disclosure.held import HeldQueue
    from sandbox.node.gate import Gate
    from sandbox.node.home import NodeHome
    from sandbox.node.judging import Asking, Explanation
    from sandbox.node.status import NodeStatus
    from sandbox.node.veto import VetoKind

__all__ = ["NodeOption", "app", "import_node"]

app = typer.Typer(help=t("node.help"), no_args_is_help=True)
held_app = typer.Typer(help=t("node.held.help"), no_args_is_help=True)
app.add_typer(held_app, name="held")

NodeOption = Annotated[Path, typer.Option("--node", envvar="YINGBI_NODE", help=t("node.option.node"))]
Agreements = Annotated[list[Path], typer.Option("--agreement", help=t("node.option.agreement"))]
Licensed = Annotated[list[str] | None, typer.Option("--licensed", help=t("node.option.licensed"))]
Partner = Annotated[str, typer.Option("--partner", help=t("node.option.partner"))]
Purpose = Annotated[str, typer.Option("--purpose", help=t("node.option.purpose"))]
Intermediary = Annotated[str | None, typer.Option("--intermediary", help=t("node.option.intermediary"))]
Sql = Annotated[str | None, typer.Argument(help=t("node.argument.sql"))]
PlanFile = Annotated[Path | None, typer.Option("--plan", help=t("node.option.plan"))]
OutputId = Annotated[str, typer.Argument(help=t("node.argument.output"))]
Person = Annotated[str, typer.Option("--person", help=t("node.option.person"))]
Lift = Annotated[bool, typer.Option("--lift", help=t("node.option.lift"))]
Officer = Annotated[str | None, typer.Option("--person", help=t("node.option.officer"))]
OfficerKey = Annotated[Path | None, typer.Option("--key", help=t("node.option.officer_key"))]


@app.command("init", help=t("node.init.help"))
def init(
    name: Annotated[str, typer.Argument(help=t("node.argument.name"))],
    owner: Annotated[str, typer.Option("--owner", help=t("node.option.owner"))],
    node: NodeOption = Path(),
    isolation: Annotated[str, typer.Option("--isolation", help=t("node.option.isolation"))] = "bubblewrap",
    as_json: JsonFlag = False,
) -> None:
    """Make a new node."""
    with _extra():
        from sandbox.node.home import NodeConfig, NodeHome
    home = NodeHome.create(node, NodeConfig(name=name, owner=owner, isolation=isolation))
    fields = {"name": home.config.name, "owner": owner, "isolation": isolation, "folder": str(home.folder)}
    home.close()
    show_fields(t("node.init.title"), fields, as_json=as_json)


@app.command("check", help=t("node.check.help"))
def check(node: NodeOption = Path(), as_json: JsonFlag = False) -> None:
    """Try to get out of the node's cage, and say what was refused; exit code 78 where it does not hold."""
    home = import_node(node)
    with _extra():
        from sandbox.isolation.check import check_cage, require_cage
        from sandbox.node.home import make_cage
    cage = make_cage(home.config, home.folder)
    report = check_cage(cage)
    rows: list[tuple[str, object]] = [(name, report.started and name not in report.open) for name in report.tried]
    if not as_json:
        rows = [(name, t("node.word.refused") if refused else t("node.word.open")) for name, refused in rows]
    show_rows(t("node.check.title"), ("attempt", "refused"), rows, as_json=as_json)
    require_cage(cage)


@app.command("upgrade", help=t("node.upgrade.help"))
def upgrade(node: NodeOption = Path()) -> None:
    """Bring the tables of a node to this version of the software."""
    with _extra():
        from sandbox.node.home import upgrade_node
    upgrade_node(node)


@app.command("explain", help=t("node.explain.help"))
def explain(
    agreement: Agreements,
    partner: Partner,
    purpose: Purpose,
    sql: Sql = None,
    plan: PlanFile = None,
    intermediary: Intermediary = None,
    licensed: Licensed = None,
    node: NodeOption = Path(),
    as_json: JsonFlag = False,
) -> None:
    """Say what would happen to a question: allowed or not and why, what it would read; nothing runs."""
    asking = _asking(partner, purpose, sql, plan, intermediary)
    with _gate(import_node(node), agreement, licensed) as gate:
        _show_explanation(gate.explain(asking), as_json=as_json)


@app.command("ask", help=t("node.ask.help"))
def ask(
    agreement: Agreements,
    partner: Partner,
    purpose: Purpose,
    sql: Sql = None,
    plan: PlanFile = None,
    intermediary: Intermediary = None,
    licensed: Licensed = None,
    node: NodeOption = Path(),
    out: OutFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Take a question through the gate: decided, run in the cage, judged, recorded, released or held."""
    asking = _asking(partner, purpose, sql, plan, intermediary)
    with _gate(import_node(node), agreement, licensed) as gate:
        from sandbox.node.gate import Failed, HeldBack, Refused

        with progress_bar(t("node.ask.progress")) as progress:
            answer = gate.answer(asking, on_progress=lambda percent: progress(percent, 100))
        if isinstance(answer, Refused):
            _show_explanation(answer.explanation, as_json=as_json)
        elif isinstance(answer, Failed):
            raise answer.problem
        elif isinstance(answer, HeldBack):
            _show_held(answer.output.id, answer.output.notice, as_json=as_json)
        else:
            show_result(answer.output, answer.result, out=out, as_json=as_json)


@app.command("questions", help=t("node.questions.help"))
def questions(node: NodeOption = Path(), as_json: JsonFlag = False) -> None:
    """List the questions that were asked, and how each ended."""
    home = import_node(node)
    from sandbox.node.questions import QuestionBook

    rows = [
        (row.id, row.partner, row.state.value, row.code, row.received_at, ", ".join(row.operations), row.output)
        for row in QuestionBook(home.database, home.clock).list_questions()
    ]
    if as_json:
        show_rows(
            t("node.questions.title"),
            ("question", "partner", "state", "code", "received_at", "operations", "output"),
            rows,
            as_json=True,
        )
        return
    # What fits a terminal; JSON has it all.
    show_rows(
        t("node.questions.title"), ("question", "partner", "state", "code"), [row[:4] for row in rows], as_json=False
    )


@app.command("output", help=t("node.output.help"))
def output(output: OutputId, node: NodeOption = Path(), out: OutFile = None) -> None:
    """Write a released result as it was released: canonical JSON."""
    home = import_node(node)
    from sandbox.node.questions import QuestionBook

    write_bytes(QuestionBook(home.database, home.clock).output(output).content + b"\n", out)


@held_app.command("list", help=t("node.held.list.help"))
def held_list(node: NodeOption = Path(), as_json: JsonFlag = False) -> None:
    """List results that wait for a person."""
    rows = [
        (row.id, row.question, row.state.value, row.checkers_needed, row.held_at)
        for row in _queue(import_node(node)).waiting()
    ]
    show_rows(
        t("node.held.title"), ("output", "question", "state", "checkers_needed", "held_at"), rows, as_json=as_json
    )


@held_app.command("show", help=t("node.held.show.help"))
def held_show(output: OutputId, node: NodeOption = Path(), out: OutFile = None) -> None:
    """Write the evidence that a reviewer needs. Confidential: it holds values and must not leave the node."""
    write_bytes(canonical_bytes(_queue(import_node(node)).evidence(output)) + b"\n", out)


@held_app.command("approve", help=t("node.held.approve.help"))
def held_approve(
    output: OutputId,
    person: Person,
    agreement: Agreements,
    suppress: Annotated[bool, typer.Option("--suppress", help=t("node.option.suppress"))] = False,
    licensed: Licensed = None,
    node: NodeOption = Path(),
    out: OutFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Let a held result out in somebody's name; it leaves when as many people as are needed have approved."""
    # The agreements are read before anything is recorded: a slip of the pen leaves nothing half done.
    with _gate(import_node(node), agreement, licensed) as gate:
        from sandbox.node.gate import Released

        found = gate.approve_held(output, person, suppress_reviewed=suppress)
        if isinstance(found, Released):
            show_result(found.output, found.result, out=out, as_json=as_json)
        else:
            fields = {"output": found.id, "state": found.state.value}
            show_fields(t("node.held.title"), fields, as_json=as_json)


@held_app.command("reject", help=t("node.held.reject.help"))
def held_reject(output: OutputId, person: Person, node: NodeOption = Path(), as_json: JsonFlag = False) -> None:
    """Reject a held result in somebody's name and destroy it."""
    home = import_node(node)
    from sandbox.node.gate import reject_held
    from sandbox.node.questions import QuestionBook

    row = reject_held(_queue(home), QuestionBook(home.database, home.clock), output, person)
    fields = {"output": row.id, "state": row.state.value}
    show_fields(t("node.held.title"), fields, as_json=as_json)


@app.command("trust", help=t("node.trust.help"))
def trust(
    file: Annotated[Path | None, typer.Argument(help=t("node.argument.trust"))] = None,
    hub: Annotated[str | None, typer.Option("--hub", help=t("node.option.hub"))] = None,
    bureau: Annotated[str | None, typer.Option("--bureau", help=t("node.option.bureau"))] = None,
    key: Annotated[str | None, typer.Option("--key", help=t("node.option.key"))] = None,
    ca_file: Annotated[str | None, typer.Option("--ca", help=t("node.option.ca"))] = None,
    proxy: Annotated[str | None, typer.Option("--proxy", help=t("node.option.proxy"))] = None,
    max_age_s: Annotated[int | None, typer.Option("--max-age", min=1, help=t("node.option.max_age"))] = None,
    resolve: Annotated[bool, typer.Option("--resolve", help=t("node.option.resolve"))] = False,
    node: NodeOption = Path(),
    as_json: JsonFlag = False,
) -> None:
    """Pin whom the node believes and where its hub is, show it, or resolve what was reported."""
    home = import_node(node)
    from sandbox.node.agent_home import AgentConfig, load_agent, load_trust, save_agent
    from sandbox.node.reports import Reports

    if resolve:
        Reports(home.database, home.folder, home.clock).resolve()
    given = {"hub": hub, "bureau": bureau, "key": key, "ca": ca_file, "proxy": proxy, "max_age_s": max_age_s}
    chosen = {name: value for name, value in given.items() if value is not None}
    if file is not None:
        if hub is None or bureau is None:
            raise InvalidRequestError(ErrorCode.USAGE, "expected `--hub` and `--bureau` with a trust file")
        save_agent(home, AgentConfig(**chosen), read_file(file))  # type: ignore[arg-type]
    elif chosen:
        from sandbox.node.agent_home import TRUST_NAME

        changed = replace(load_agent(home), **chosen)  # type: ignore[arg-type]
        save_agent(home, changed, read_file(home.folder / TRUST_NAME))
    config, pinned = load_agent(home), load_trust(home)
    fields = {
        "name": home.config.name,
        "place": config.hub,
        "origin": pinned.origin,
        "vkey": "\n".join(one.encode() for one in pinned.policy.verifiers),
        "thumbprint": "\n".join(one.thumbprint for one in pinned.roots),
    }
    show_fields(t("node.trust.title"), fields, as_json=as_json)


@app.command("run", help=t("node.run.help"))
def run(
    node: NodeOption = Path(),
    is_federated: Annotated[bool, typer.Option("--federated", help=t("node.option.federated"))] = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Follow the hub's log and do the work that it leases, until SIGTERM or SIGINT."""
    home = import_node(node)
    from sandbox.node.agent_home import open_agent

    signal.signal(signal.SIGTERM, _interrupt)
    joint = _federation(home) if is_federated else {}
    try:
        with open_agent(home, passphrase=read_passphrase(passphrase_file), **joint) as opened:
            typer.echo(t("node.run.ready", node=home.config.name))
            opened.agent.run(Event())
    except KeyboardInterrupt:
        # What was under way goes on at the next start, from the journal.
        return


def _federation(home: "NodeHome") -> dict[str, Any]:
    """Return what makes an agent take part in federations."""
    try:
        from federated.node import take_part
        from federated.rounds.course import check_recipe
    except ImportError as error:
        raise missing_extra("federated", error) from error
    from sandbox.node.agent_home import load_agent

    ca = load_agent(home).ca
    ca_file = home.folder / ca if ca else None
    return {"make_joint": lambda parts: take_part(parts, ca_file=ca_file), "check_recipe": check_recipe}


@app.command("status", help=t("node.status.help"))
def status(node: NodeOption = Path(), as_json: JsonFlag = False) -> None:
    """Show what the node followed, its jobs, what the unit stopped and what is to be reported; 1 where it is halted."""
    home = import_node(node)
    from sandbox.node.status import read_status

    found = read_status(home)
    if as_json:
        typer.echo(json.dumps(_status_json(found)))
    else:
        _show_status(found)
    if found.is_halted:
        raise typer.Exit(int(ExitCode.INVALID))


@app.command("veto", help=t("node.veto.help"))
def veto(
    target: Annotated[str, typer.Argument(help=t("node.argument.target"))],
    lift: Lift = False,
    person: Officer = None,
    key: OfficerKey = None,
    passphrase_file: PassphraseFile = None,
    node: NodeOption = Path(),
    as_json: JsonFlag = False,
) -> None:
    """Stop a job, a partner or an agreement at this node, whatever the hub says."""
    home = import_node(node)
    from sandbox.node.veto import VetoKind

    _stop(home, VetoKind.VETO, target, lift=lift, officer=(person, key, passphrase_file), as_json=as_json)


@app.command("hold", help=t("node.hold.help"))
def hold(
    lift: Lift = False,
    person: Officer = None,
    key: OfficerKey = None,
    passphrase_file: PassphraseFile = None,
    node: NodeOption = Path(),
    as_json: JsonFlag = False,
) -> None:
    """Stop everything at this node until the hold is lifted."""
    home = import_node(node)
    from sandbox.node.veto import EVERYTHING, VetoKind

    _stop(home, VetoKind.HOLD, EVERYTHING, lift=lift, officer=(person, key, passphrase_file), as_json=as_json)


@app.command("withdraw", help=t("node.withdraw.help"))
def withdraw(
    target: Annotated[str | None, typer.Argument(help=t("node.argument.withdrawn"))] = None,
    person: Officer = None,
    key: OfficerKey = None,
    passphrase_file: PassphraseFile = None,
    node: NodeOption = Path(),
    as_json: JsonFlag = False,
) -> None:
    """Stop everything at this node for good, or what has to do with one party, data set or agreement."""
    home = import_node(node)
    from sandbox.node.veto import EVERYTHING, VetoKind

    wanted = target or EVERYTHING
    _stop(home, VetoKind.WITHDRAW, wanted, lift=False, officer=(person, key, passphrase_file), as_json=as_json)


def import_node(folder: Path) -> "NodeHome":
    """Open a node, or say which extra is missing."""
    with _extra():
        from sandbox.node.home import NodeHome
    return NodeHome.open(folder)


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise missing_extra("node", error) from error


@contextmanager
def _gate(home: "NodeHome", files: Sequence[Path], licensed: Sequence[str] | None) -> Iterator["Gate"]:
    with _extra():
        from sandbox.node.wiring import open_gate
    with open_gate(
        home, [_agreement(file) for file in files], licensed=frozenset(licensed or ()), workers_ahead=0
    ) as gate:
        yield gate


def _agreement(file: Path) -> "CompiledAgreement":
    from policies.compiled import compile_agreement
    from policies.parse import parse_agreement

    return compile_agreement(parse_agreement(read_file(file)))


def _asking(partner: str, purpose: str, sql: str | None, plan: Path | None, intermediary: str | None) -> "Asking":
    if (sql is None) == (plan is None):
        raise InvalidRequestError(ErrorCode.USAGE, "expected either SQL or `--plan FILE`")
    with _extra():
        from sandbox.node.judging import Asking
    value = None if plan is None else _load(plan)
    return Asking(partner=partner, purpose=purpose, sql=sql, plan=value, intermediary=intermediary)


def _load(path: Path) -> JsonValue:
    try:
        value: JsonValue = json.loads(read_file(path))
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(ErrorCode.JSON_MALFORMED, f"file `{path}` is not JSON") from error
    return value


def _show_explanation(found: "Explanation", *, as_json: bool) -> None:
    """Show why a question is refused (and end with that exit code), or what it would cost."""
    from policies.codec import reason_to_json
    from policies.explain import explain_reasons

    if found.problem is not None:
        raise found.problem
    if found.admitted is None:
        if as_json:
            typer.echo(json.dumps({"outcome": "refuse", "reasons": [reason_to_json(one) for one in found.reasons]}))
        else:
            for line in explain_reasons(found.reasons):
                typer.echo(printable(line))
        raise typer.Exit(int(ExitCode.REFUSED))
    admitted, cost = found.admitted, found.cost
    fields = {
        "outcome": "permit",
        "question": admitted.digest,
        "operations": ", ".join(admitted.operations),
        "versions": ", ".join(f"{one.version.dataset}@{one.version.version}" for one in admitted.datasets),
        "min_units": admitted.rules.min_units,
        "rows_read": None if cost is None else cost.rows_scanned,
        "reviewers": ", ".join(found.output_duties) or None,
    }
    show_fields(t("node.explain.title"), fields, as_json=as_json)


def _show_held(output: str, notice: Mapping[str, object], *, as_json: bool) -> NoReturn:
    """Show what a partner is told of a held result, and end with the exit code of a refusal."""
    if as_json:
        typer.echo(json.dumps({"outcome": "held", "output": output, **notice}))
    else:
        findings = notice.get("findings", [])
        # What passed is not why it is held: history passes what it could mend by holding back more.
        rows = [
            (one["risk"], one["rule"], one["dimension"], one["verdict"])
            for one in findings  # type: ignore[attr-defined]
            if one["verdict"] != "pass"
        ]
        title = t("node.held.final") if notice.get("final") else t("node.held.why")
        show_rows(title, ("risk", "rule", "dimension", "verdict"), rows, as_json=False)
        remedies = ", ".join(notice.get("remedies", []))  # type: ignore[arg-type]
        fields = {"output": output, "remedies": remedies or None}
        show_fields(t("node.held.title"), fields, as_json=False)
    raise typer.Exit(int(ExitCode.REFUSED))


def _queue(home: "NodeHome") -> "HeldQueue":
    from sandbox.disclosure.held import HeldQueue

    return HeldQueue(home.database, home.folder / "held", home.clock)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _stop(
    home: "NodeHome",
    kind: "VetoKind",
    target: str,
    *,
    lift: bool,
    officer: tuple[str | None, Path | None, Path | None],
    as_json: bool,
) -> None:
    """Stop or let go on, first here and then, where an officer signs, in the log."""
    from sandbox.node.stopping import report_stop
    from sandbox.node.veto import Vetoes, VetoKind
    from yingbi.keys import load_signing_key

    vetoes = Vetoes(home.database, home.clock)
    if lift:
        try:
            vetoes.lift(kind, target)
        except NotFoundError as error:
            if kind is not VetoKind.HOLD:
                raise
            raise NotFoundError(error.code, "nothing is held at this node", hint="yingbi node status") from error
    else:
        # First of all: what stops here waits for no key and no hub.
        vetoes.set(kind, target)
    person, key, passphrase_file = officer
    if (person is None) != (key is None) or (lift and key is not None):
        raise InvalidRequestError(ErrorCode.USAGE, "expected `--person` and `--key` together, to stop something")
    if person is not None and key is not None:
        report_stop(home, target, person=person, key=load_signing_key(key, passphrase=read_passphrase(passphrase_file)))
    rows = [(one.kind.value, one.target, one.set_at) for one in vetoes.standing()]
    if not rows and not as_json:
        typer.echo(t("node.stopped.nothing"))
        return
    show_rows(t("node.stopped.title"), ("kind", "item", "observed_at"), rows, as_json=as_json)


def _status_json(found: "NodeStatus") -> dict[str, object]:
    jobs = [
        {"job": row.job, "partner": row.partner, "attempt": row.attempt, "step": row.step.value, "cause": row.cause}
        for row in found.jobs
    ]
    return {
        "node": found.node,
        "hub": found.hub,
        "origin": found.origin,
        "size": found.size,
        "root": found.root,
        "cosigned_at": found.cosigned_at,
        "halted": found.is_halted,
        "held": _is_whole(found, "hold"),
        "jobs": jobs,
        "stopped": [asdict(one) for one in found.vetoes],
        "reports": [asdict(one) for one in found.reports],
        "violations": [asdict(one) for one in found.violations],
    }


def _is_whole(found: "NodeStatus", kind: str) -> bool:
    """Tell whether the unit has stopped the whole node like this."""
    from sandbox.node.veto import EVERYTHING

    return any((one.kind.value, one.target) == (kind, EVERYTHING) for one in found.vetoes)


def _show_status(found: "NodeStatus") -> None:
    cosigned = datetime.fromtimestamp(found.cosigned_at, UTC).isoformat() if found.cosigned_at else None
    if found.is_halted:
        word = t("node.word.halted")
    elif _is_whole(found, "withdraw"):
        word = t("node.word.withdrawn")
    else:
        word = t("node.word.held") if _is_whole(found, "hold") else t("node.word.sound")
    fields = {
        "name": found.node,
        "place": found.hub,
        "origin": found.origin,
        "size": found.size,
        "observed_at": cosigned,
        "state": word,
    }
    show_fields(t("node.status.title"), fields, as_json=False)
    if found.jobs:
        rows = [(row.job, row.partner, row.attempt, row.step.value, row.cause) for row in found.jobs]
        show_rows(t("node.status.jobs"), ("id", "partner", "attempt", "state", "reason"), rows, as_json=False)
    if found.vetoes:
        stopped = [(one.kind.value, one.target, one.set_at) for one in found.vetoes]
        show_rows(t("node.stopped.title"), ("kind", "item", "observed_at"), stopped, as_json=False)
    if found.reports:
        told = [(one.at, one.code, one.message, one.job, one.evidence) for one in found.reports]
        show_rows(t("node.status.reports"), ("observed_at", "code", "problem", "id", "file"), told, as_json=False)
    if found.violations:
        broken = [(one.seq, one.type, one.subject, one.rule) for one in found.violations]
        show_rows(t("node.status.violations"), ("index", "type", "id", "rule"), broken, as_json=False)

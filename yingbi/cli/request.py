"""`yingbi request`: access is asked for by proposing an agreement; people sign it, and whatever else waits for them."""

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yingbi.canonical import canonical_bytes
from yingbi.cli.job import ProfileOption, echo_json, opened_client, payload_of, show_filed, show_listing, show_thing
from yingbi.cli.output import JsonFlag, printable, read_file, show_list
from yingbi.cli.terms import grant_headings, grant_rows, terms_rows
from yingbi.cli.text import t
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.events.fields import Duty

if TYPE_CHECKING:
    from policies.model import Agreement
    from yingbi.client import Client

__all__ = ["app"]

app = typer.Typer(help=t("request.help"), no_args_is_help=True)

AgreementFile = Annotated[Path, typer.Argument(help=t("request.argument.file"))]
AgreementName = Annotated[str, typer.Argument(help=t("request.argument.agreement"))]
DraftName = Annotated[str, typer.Argument(help=t("request.argument.draft"))]


@app.command("create", help=t("request.create.help"))
def create(file: AgreementFile, profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """Propose an agreement, from YAML or JSON; its terms go along as a document."""
    from policies.model import to_json
    from policies.parse import parse_agreement
    from yingbi.client.statements import agreement_proposed

    agreement = parse_agreement(read_file(file))
    with opened_client(profile) as client:
        draft = agreement_proposed(client.hub.issuer, agreement)
        filed = client.file("agreements", draft, documents=[to_json(agreement)])
    show_filed(t("request.create.title"), filed, as_json=as_json)


@app.command("sign", help=t("request.sign.help"))
def sign(
    agreement: AgreementName,
    duty: Annotated[Duty, typer.Option("--duty", help=t("request.option.duty"))],
    expected: Annotated[str, typer.Option("--terms", help=t("request.option.terms"))],
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Sign the terms of an agreement in one duty; these terms and no others."""
    from yingbi.client.statements import agreement_signed

    with opened_client(profile) as client:
        terms = _terms(client, expected)
        if terms.id != agreement:
            raise InvalidRequestError(ErrorCode.AGREEMENT_MALFORMED, "the terms are of another agreement")
        filed = client.file("agreements", agreement_signed(client.hub.issuer, terms, duty=duty))
    show_filed(t("request.sign.title"), filed, as_json=as_json)


@app.command("list", help=t("request.list.help"))
def list_requests(profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """List agreements that one may know of: proposed, active, ended."""
    with opened_client(profile) as client:
        found = client.run(client.hub.listing(("agreements",)))
    headings = [t("request.label.agreement"), t("request.label.state"), t("request.label.purpose")]
    headings += [t("request.label.assignee"), t("client.label.missing")]
    columns = ("id", "state", "purpose", "assignee", "missing")
    show_listing(t("request.list.title"), headings, columns, found, as_json=as_json)


@app.command("show", help=t("request.show.help"))
def show(agreement: AgreementName, profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """Show an agreement: what it grants, its state, who has signed and who has not."""
    from policies.model import to_json

    with opened_client(profile) as client:
        found = client.run(client.hub.get(("agreements", agreement)))
        terms = _terms(client, str(found["terms"]))
    if as_json:
        echo_json({**found, "document": to_json(terms)})
        return
    signed = [f"{one.get('person')} {one.get('duty')}" for one in found.get("signatures", []) if isinstance(one, dict)]
    show_thing(
        t("request.show.title"),
        [
            (t("request.label.agreement"), found.get("id")),
            (t("request.label.state"), found.get("state")),
            (t("request.label.purpose"), found.get("purpose")),
            (t("request.label.assigner"), found.get("assigner")),
            (t("request.label.assignee"), found.get("assignee")),
            *terms_rows(terms),
            (t("request.label.terms"), found.get("terms")),
            (t("request.label.signed"), "\n".join(signed)),
            (t("client.label.missing"), "\n".join(str(one) for one in found.get("missing", []))),
        ],
    )
    for dataset in terms.datasets:
        title = t("request.grants.title", dataset=printable(dataset.name), unit=printable(dataset.privacy_unit))
        show_list(title, grant_headings(), grant_rows(dataset))


@app.command("drafts", help=t("request.drafts.help"))
def drafts(
    applications: Annotated[bool, typer.Option("--applications", help=t("request.option.applications"))] = False,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List statements that wait for signatures."""
    with opened_client(profile) as client:
        found = client.run(client.hub.drafts(applications=applications))
    rows = [{**one, "types": [payload_of(row)["type"] for row in one.get("statements", [])]} for one in found]
    headings = [t("client.label.draft"), t("request.label.types"), t("request.label.sender"), t("client.label.missing")]
    show_listing(t("request.drafts.title"), headings, ("draft", "types", "sender", "missing"), rows, as_json=as_json)


@app.command("cosign", help=t("request.cosign.help"))
def cosign(
    draft: DraftName,
    applications: Annotated[bool, typer.Option("--applications", help=t("request.option.applications"))] = False,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the statements of a draft and sign them: the second pair of eyes."""
    with opened_client(profile) as client:
        waiting = client.run(client.hub.drafts(applications=applications))
        found = next((one for one in waiting if one.get("draft") == draft), None)
        if found is None:
            raise InvalidRequestError(ErrorCode.USAGE, "no such draft waits for you", hint="yingbi request drafts")
        statements = [one for one in found.get("statements", []) if isinstance(one, dict)]
        if not as_json:
            for one in statements:
                typer.echo(json.dumps(payload_of(one), ensure_ascii=True, indent=2))
        filed = client.run(client.hub.add_signatures(draft, [_signature(client, one) for one in statements]))
    show_filed(t("request.cosign.title"), filed, as_json=as_json)


def _terms(client: "Client", digest: str) -> "Agreement":
    """Return the terms of a digest, which they have to have: what is signed is what was seen."""
    from policies.model import terms_digest
    from policies.parse import parse_agreement

    terms = parse_agreement(canonical_bytes(client.run(client.hub.get(("documents", digest)))))
    if terms_digest(terms) != digest:
        raise InvalidRequestError(ErrorCode.AGREEMENT_MALFORMED, "the hub sent other terms than were asked for")
    return terms


def _signature(client: "Client", envelope: dict[str, Any]) -> dict[str, str]:
    """Return this person's signature over exactly the bytes of a statement, which have to be one."""
    from yingbi.statement import add_signature, parse_statement

    key = client.hub.exchange.identity.key
    signed = add_signature(parse_statement(canonical_bytes(envelope)), key)
    row = next(one for one in signed.signatures if one.keyid == key.public.thumbprint)
    return {"keyid": row.keyid, "sig": base64.b64encode(row.sig).decode()}

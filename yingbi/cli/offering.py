"""What a unit's chief data officer tells the log of its data sets: listed, graded, withdrawn."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yingbi.cli.job import ProfileOption, opened_client, show_filed
from yingbi.cli.output import JsonFlag
from yingbi.cli.text import t
from yingbi.errors import ErrorCode, NotFoundError
from yingbi.events.datasets import WithdrawalReason
from yingbi.events.fields import RunningJobs

if TYPE_CHECKING:
    from sandbox.catalog.model import Dataset

__all__ = ["add_offers", "grade", "register", "withdraw"]

DatasetName = Annotated[str, typer.Argument(help=t("data.argument.dataset"))]
NodeFolder = Annotated[Path, typer.Option("--node", envvar="YINGBI_NODE", help=t("data.option.node"))]


def add_offers(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("register", help=t("offering.register.help"))(register)
    app.command("grade", help=t("offering.grade.help"))(grade)
    app.command("withdraw", help=t("offering.withdraw.help"))(withdraw)


def register(
    dataset: DatasetName, node: NodeFolder = Path(), profile: ProfileOption = None, as_json: JsonFlag = False
) -> None:
    """List a data set, or change its entry, as the node's catalogue describes it."""
    from sandbox.catalog.codec import dataset_to_json
    from yingbi.client.statements import dataset_registered

    found = _described(node, dataset)
    with opened_client(profile) as client:
        draft = dataset_registered(client.hub.issuer, found)
        filed = client.file("datasets", draft, documents=[dataset_to_json(found)])
    show_filed(t("offering.register.title"), filed, as_json=as_json)


def grade(
    dataset: DatasetName,
    version: Annotated[int, typer.Option("--version", min=1, help=t("offering.option.version"))],
    node: NodeFolder = Path(),
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Confirm the grades of a version, as they were confirmed at the node: from then on jobs may use it."""
    from yingbi.client.statements import dataset_graded

    found = _described(node, dataset)
    grades = {item.name: item.grade.value for item in found.items}
    with opened_client(profile) as client:
        draft = dataset_graded(client.hub.issuer, found, version=version, column_grades=grades)
        filed = client.file("datasets", draft)
    show_filed(t("offering.grade.title"), filed, as_json=as_json)


def withdraw(
    dataset: DatasetName,
    reason: Annotated[WithdrawalReason, typer.Option("--reason", help=t("client.option.reason"))],
    finish: Annotated[bool, typer.Option("--finish-running-jobs", help=t("stopping.option.finish"))] = False,
    note: Annotated[str | None, typer.Option("--note", help=t("client.option.note"))] = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Let nobody compute on a data set any more."""
    from yingbi.client.statements import dataset_withdrawn

    running = RunningJobs.FINISH if finish else RunningJobs.STOP
    with opened_client(profile) as client:
        draft = dataset_withdrawn(client.hub.issuer, dataset, reason=reason, running_jobs=running, note=note)
        filed = client.file("datasets", draft)
    show_filed(t("offering.withdraw.title"), filed, as_json=as_json)


def _described(node: Path, name: str) -> "Dataset":
    from yingbi.cli.node import import_node

    home = import_node(node)
    try:
        found = home.catalogue.load().dataset(name)
    finally:
        home.close()
    if found is None:
        raise NotFoundError(ErrorCode.DATASET_NOT_FOUND, "the node's catalogue has no such data set")
    return found

"""The second story: three funds train one model of defaults for two banks, and none of them shows a loan.

Everything runs as in production: Flower's server beside the hub, Flower's node and an executor beside each agent, the
app in the cage. The loans are made up here, from a formula that the model should find again.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from time import monotonic, sleep
from typing import Final

from policies.model import to_json
from policies.parse import parse_agreement
from sandbox.catalog.codec import dataset_to_json
from sandbox.catalog.model import DataItem, Dataset, ItemRole, ItemType, Visibility
from yingbi.cli.demo.cast import APPROVER, Cast
from yingbi.cli.demo.setting import BANK, Unit, grade, make_node, register
from yingbi.cli.demo.stage import Stage
from yingbi.cli.demo.telling import Teller, say
from yingbi.client import Client, Federation
from yingbi.client.statements import agreement_proposed, agreement_signed, agreement_step
from yingbi.errors import ErrorCode, SandboxError
from yingbi.events import EntryType
from yingbi.events.fields import Duty, Grade, PrivacyUnit, SuspensionReason
from yingbi.events.people import ParticipantKind
from yingbi.uscc import organisation_check_character, uscc_check_character

__all__ = ["FUNDS", "OTHER_BANK", "begin", "open_funds", "play"]

PURPOSE: Final = "research.credit-default"
OTHER_BANK: Final = "partner:bank-b"
FUNDS: Final = tuple(
    Unit(
        party=f"unit:futian-{name}",
        node=f"node:futian-{name}",
        officer=f"person:{name}-cdo",
        dataset=f"{name}/loans",
    )
    for name in ("guarantee", "incubator", "microcredit")
)
_OFFICERS: Final = {BANK: "person:officer", OTHER_BANK: "person:officer-b"}
_ROWS: Final = 1500
_INDUSTRIES: Final = ("C", "F", "G", "I", "M")
_FEATURES: Final = ("years", "staff", "tax_late", "industry")
_TIMEOUT_S: Final = 240.0
_LOOK_S: Final = 0.1
_KILLED_AFTER: Final = 2
_LEAST_AUC: Final = 0.65


def open_funds(stage: Stage, cast: Cast, url: str) -> None:
    """Bring in three funds, each with a node that takes part in federations, and two banks' agreements with each."""
    cast.admit(OTHER_BANK, ParticipantKind.BANK)
    cast.employ(_OFFICERS[OTHER_BANK], OTHER_BANK, Duty.PARTNER_KEY_OFFICER)
    for number, fund in enumerate(FUNDS):
        cast.admit(fund.party, ParticipantKind.SOURCE_UNIT)
        cast.employ(fund.officer, fund.party, Duty.UNIT_CDO)
        cast.add_node(fund.node, fund.party)
        _make_data(stage, fund, seed=number)
        make_node(stage, cast, fund, url)
        register(stage, cast, fund)
        _start_node(stage, fund)
    for fund in FUNDS:
        grade(cast, fund)
        for bank in _OFFICERS:
            _agree(cast, fund, bank)


def _start_node(stage: Stage, fund: Unit) -> None:
    """Start a fund's node, which takes part in federations."""
    stage.start(fund.name, "node", "run", "--node", fund.name, "--federated")


def play(console: Teller, stage: Stage, cast: Cast) -> dict[str, str]:
    """Train for both banks; return the ids of the federations, and the bank that each is for."""
    return {_train(console, stage, cast): BANK, _suspend(console, stage, cast): OTHER_BANK}


def _train(console: Teller, stage: Stage, cast: Cast) -> str:
    """Train for the first bank; one node is killed in the middle, and comes back. Return the federation's id."""
    say(console, "federation.train")
    run = begin(cast.client(BANK), BANK)
    _keep(stage, run)
    _wait(run, lambda: len(run.status.rounds) >= _KILLED_AFTER)
    _tell(console, run)
    say(console, "federation.kill")
    stage.kill(FUNDS[1].name)
    _start_node(stage, FUNDS[1])
    run.wait(timeout_s=_TIMEOUT_S, progress=False)
    _expect(run.status.state == "completed", f"the federation ended as `{run.status.state}`")
    _tell(console, run)
    model = run.result()
    folder = stage.folder / "models"
    folder.mkdir(exist_ok=True)
    (folder / "model.json").write_text(json.dumps(dict(model.document), ensure_ascii=False, indent=1), "utf-8")
    model.card(folder / "card.html")
    console.print(str(model), markup=False)
    found = model.metrics
    _expect(found["auc"] > _LEAST_AUC, "the model does not tell those apart who default")
    return run.id


def _suspend(console: Teller, stage: Stage, cast: Cast) -> str:
    """Train for the second bank; an officer suspends its agreement in the middle, and the run stops. Return its id."""
    say(console, "federation.suspend")
    run = begin(cast.client(OTHER_BANK), OTHER_BANK)
    _keep(stage, run)
    _wait(run, lambda: len(run.status.rounds) >= 1)
    fund = FUNDS[0]
    client = cast.client(fund.officer)
    name = _agreement(fund, OTHER_BANK)
    terms = str(client.run(client.hub.get(("agreements", name)))["terms"])
    draft = agreement_step(
        cast.issuer(fund.officer),
        EntryType.AGREEMENT_SUSPENDED,
        agreement=name,
        terms=terms,
        reason=SuspensionReason.INCIDENT,
    )
    cast.file(fund.officer, ("agreements",), draft)
    _wait(run, lambda: run.status.state == "interrupted")
    _tell(console, run)
    _expect(run.status.reason == "agreement-suspended", f"the run stopped because of `{run.status.reason}`")
    return run.id


def _keep(stage: Stage, run: Federation) -> None:
    """Keep what the bank alone has of a federation, and an auditor asks it for."""
    folder = stage.folder / "kept"
    folder.mkdir(mode=0o700, exist_ok=True)
    run.save(folder / f"{run.id}.json")


def begin(client: Client, bank: str) -> Federation:
    """Submit a bank's training over all funds."""
    return client.train(
        "logistic_regression",
        members={_agreement(fund, bank): fund.dataset for fund in FUNDS},
        target="defaulted",
        positive="1",
        features=list(_FEATURES),
        purpose=PURPOSE,
    )


def _wait(run: Federation, is_there: Callable[[], bool]) -> None:
    end = monotonic() + _TIMEOUT_S
    while not is_there():
        _expect(monotonic() < end and run.status.state != "aborted", f"the federation is `{run.status.state}`")
        sleep(_LOOK_S)
        run.refresh()


def _tell(console: Teller, run: Federation) -> None:
    console.print(str(run.refresh()), markup=False)


def _agreement(fund: Unit, bank: str) -> str:
    return f"agr-{fund.dataset.partition('/')[0]}-{bank.partition(':')[2]}"


def _agree(cast: Cast, fund: Unit, bank: str) -> None:
    terms = parse_agreement(_TERMS.format(name=_agreement(fund, bank), fund=fund, bank=bank, purpose=PURPOSE).encode())
    officer = _OFFICERS[bank]
    cast.file(officer, ("agreements",), agreement_proposed(cast.issuer(officer), terms), documents=[to_json(terms)])
    for person, duty in ((fund.officer, Duty.UNIT_CDO), (APPROVER, Duty.BUREAU_APPROVER)):
        cast.file(person, ("agreements",), agreement_signed(cast.issuer(person), terms, duty=duty))


def _make_data(stage: Stage, fund: Unit, *, seed: int) -> None:
    """Write a fund's loans and the catalogue entry that describes them."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(seed)
    years, staff = random.integers(0, 31, _ROWS), random.integers(1, 301, _ROWS)
    late, industry = random.binomial(12, 0.1 + 0.05 * seed, _ROWS), random.choice(_INDUSTRIES, _ROWS)
    odds = -1.6 - 0.06 * years - 0.004 * staff + 0.55 * late + 0.7 * (industry == "F")
    defaulted = (random.random(_ROWS) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    codes = [_code(seed * _ROWS + number) for number in range(_ROWS)]
    columns = {"uscc": codes, "years": years, "staff": staff, "tax_late": late, "industry": industry.tolist()}
    table = pa.table({**columns, "defaulted": defaulted})
    place = stage.folder / "district" / f"{fund.dataset}.parquet"
    place.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, place)
    (stage.folder / "district" / f"{fund.dataset}.json").write_text(
        json.dumps(dataset_to_json(_declaration(fund)), ensure_ascii=False), "utf-8"
    )


def _code(number: int) -> str:
    """Return a unified social credit code of an enterprise that does not exist, with its check character."""
    body = f"MA{number:06}"
    first = f"91440304{body}{organisation_check_character(body)}"
    return first + uscc_check_character(first)


def _declaration(fund: Unit) -> Dataset:
    def number(name: str, title: str, most: int, edges: tuple[str, ...]) -> DataItem:
        return DataItem(
            name=name,
            title=title,
            type=ItemType.INTEGER,
            grade=Grade.GENERAL_3,
            nullable=False,
            bounds=(Decimal(0), Decimal(most)),
            edges=edges,
        )

    return Dataset(
        name=fund.dataset,
        title="小微企业贷款",
        owner=fund.party,
        privacy_unit=PrivacyUnit.ENTERPRISE,
        items=(
            DataItem(
                name="uscc",
                title="统一社会信用代码",
                type=ItemType.TEXT,
                role=ItemRole.UNIT,
                visibility=Visibility.PUBLIC,
                grade=Grade.GENERAL_2,
                nullable=False,
            ),
            number("years", "成立年限", 30, ("3", "10", "20")),
            number("staff", "参保人数", 300, ("20", "100", "200")),
            number("tax_late", "近一年逾期申报次数", 12, ("1", "3", "6")),
            DataItem(
                name="industry",
                title="行业门类",
                type=ItemType.CODE,
                grade=Grade.GENERAL_1,
                visibility=Visibility.PUBLIC,
                nullable=False,
                domain=_INDUSTRIES,
            ),
            number("defaulted", "是否违约", 1, ("1",)),
        ),
    )


def _expect(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise SandboxError(ErrorCode.INTERNAL, f"the demonstration does not hold: {otherwise}")


_TERMS: Final = """
agreement: {name}
version: 1
assigner: {fund.party}
assignee: {bank}
purpose: {purpose}
legal_basis: {{kind: contract, reference: "2026-18"}}
valid: {{from: 2026-01-01, until: 2035-12-31}}
place: {{zones: [{fund.node}]}}
datasets:
  {fund.dataset}:
    privacy_unit: uscc
    columns:
      years: [train]
      staff: [train]
      tax_late: [train]
      industry: [train]
      defaulted: [train]
operations: [train.horizontal.logistic_regression]
disclosure: {{min_entities: 10, min_contributors: 3}}
limits: {{jobs: 20, jobs_per_day: 20, rounds: 200}}
approvals: {{agreement: [unit-cdo, bureau-approver], job: automatic, output: automatic}}
"""

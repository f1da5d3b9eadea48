"""Setting the scene: a witness, the hub with its people, two units with nodes and data, a bank and a credit bureau."""

import csv
import json
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from policies.model import to_json
from policies.parse import parse_agreement
from sandbox.catalog.codec import dataset_to_json, parse_dataset
from sandbox.node.home import NodeHome
from yingbi.cli.demo.cast import APPROVER, BUREAU, REGISTRAR, Cast
from yingbi.cli.demo.stage import Stage
from yingbi.client.statements import agreement_proposed, agreement_signed, dataset_graded, dataset_registered
from yingbi.errors import ErrorCode, UnavailableError
from yingbi.events.fields import Duty
from yingbi.events.people import ParticipantKind
from yingbi.ids import dataset_id

__all__ = [
    "AGREEMENT",
    "BANK",
    "ORIGIN",
    "PURPOSE",
    "TAX",
    "UNITS",
    "Unit",
    "admit_partners",
    "agree",
    "found_hub",
    "grade",
    "make_node",
    "open_units",
    "register",
    "start_hub",
]

ORIGIN: Final = "log.futian.example/demo"
WITNESS: Final = "supervisor"
BANK: Final = "partner:bank-a"
CREDIT_BUREAU: Final = "partner:credit-bureau-1"
AGREEMENT: Final = "agr-tax-research-2026"
PURPOSE: Final = "research.aggregate"
SCALE: Final = "0.05"
_DECLARED_IN_S: Final = 60
# A node that is killed in a round is given up soon, so that the story goes on when it is back.
_FEDERATION: Final = ("--federation-port", 0, "--round-seconds", 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A source unit: its node, its chief data officer and the one data set that it opens."""

    party: str
    node: str
    officer: str
    dataset: str

    @property
    def name(self) -> str:
        """Return the unit's name, which its files have too."""
        return self.party.partition(":")[2]


TAX: Final = Unit(
    party="unit:futian-tax", node="node:futian-tax", officer="person:tax-cdo", dataset="tax/annual_filings"
)
SOCIAL: Final = Unit(
    party="unit:futian-social-security",
    node="node:futian-social-security",
    officer="person:social-cdo",
    dataset="social/insurance",
)
UNITS: Final = (TAX, SOCIAL)


def found_hub(stage: Stage) -> None:
    """Hold the ceremony, and let a witness watch the log from its first entry on."""
    stage.command("hub", "init", BUREAU, ORIGIN, "--hub", "hub", "--develop", "keys")
    (log_key,) = (line for line in _policy(stage).read_text("utf-8").splitlines() if line.startswith("log "))
    vkey = log_key.split()[1]
    stage.command("witness", "init", f"{WITNESS}.example/witness", "--witness", "witness", "--log-vkey", vkey)
    witness = json.loads(stage.command("witness", "vkey", "--witness", "witness", "--json"))["vkey"]
    url = stage.start("witness", "witness", "run", "--witness", "witness", "--port", 0, *stage.certificate("witness"))
    policy = f"log {vkey}\nwitness {WITNESS} {witness} {url}\nquorum {WITNESS}\n"
    _policy(stage).write_text(policy, encoding="utf-8")
    root = json.loads(stage.command("keys", "show", "keys/root.pem", "--json"))["jwk"]
    trust = {"v": 1, "policy": policy, "statement_roots": [json.loads(root)]}
    (stage.folder / "roots.json").write_text(json.dumps(trust, indent=1), encoding="utf-8")


def start_hub(stage: Stage) -> tuple[Cast, str]:
    """Start the hub and bring in the bureau's people; return its address too."""
    tls = stage.certificate("hub")
    url = stage.start("hub", "hub", "run", "--hub", "hub", "--port", 0, *tls, "--ca", stage.ca, *_FEDERATION)
    cast = Cast(url, ca=stage.ca, keys=stage.keys, trust=stage.folder / "roots.json")
    for person, duty in (
        (REGISTRAR, Duty.BUREAU_REGISTRAR),
        (APPROVER, Duty.BUREAU_APPROVER),
        ("person:reviewer", Duty.BUREAU_REVIEWER),
        ("person:checker", Duty.OUTPUT_CHECKER),
    ):
        cast.employ(person, BUREAU, duty)
    return cast, url


def admit_partners(cast: Cast) -> None:
    """Admit the bank and a licensed credit bureau, each with its people."""
    cast.admit(BANK, ParticipantKind.BANK)
    cast.employ("person:officer", BANK, Duty.PARTNER_KEY_OFFICER)
    cast.admit(CREDIT_BUREAU, ParticipantKind.CREDIT_BUREAU, licence="licence-2026-17")


def open_units(stage: Stage, cast: Cast, url: str) -> None:
    """Make the district's data, and two units that open theirs on nodes of their own."""
    stage.command("synth", "--scale", SCALE, "--seed", "1", "--out", "district")
    for unit in UNITS:
        cast.admit(unit.party, ParticipantKind.SOURCE_UNIT)
        cast.employ(unit.officer, unit.party, Duty.UNIT_CDO)
        cast.add_node(unit.node, unit.party)
        make_node(stage, cast, unit, url)
        register(stage, cast, unit)
        stage.start(unit.name, "node", "run", "--node", unit.name)
        grade(cast, unit)


def agree(cast: Cast) -> None:
    """Have the bank propose terms, and the unit and the bureau sign them; the last signature puts them in force."""
    terms = parse_agreement(_TERMS.encode())
    proposal = agreement_proposed(cast.issuer("person:officer"), terms)
    cast.file("person:officer", ("agreements",), proposal, documents=[to_json(terms)])
    for person, duty in ((TAX.officer, Duty.UNIT_CDO), (APPROVER, Duty.BUREAU_APPROVER)):
        cast.file(person, ("agreements",), agreement_signed(cast.issuer(person), terms, duty=duty))


def make_node(stage: Stage, cast: Cast, unit: Unit, url: str) -> None:
    """Make a unit's node, publish its data there, and pin whom it believes."""
    stage.command("node", "init", unit.node, "--owner", unit.party, "--node", unit.name)
    at = ("--node", unit.name)
    entry = stage.folder / "district" / f"{unit.dataset}.json"
    if not entry.exists():
        entry = stage.folder / unit.name / "catalogue.csv"
        entry.write_text(_rows_of(stage.folder, unit.dataset), "utf-8-sig")
    stage.command("catalog", "import", entry, "--by", unit.officer, *at)
    stage.command("catalog", "confirm", unit.dataset, "--all", "--by", unit.officer, *at)
    stage.command("data", "publish", unit.dataset, f"district/{unit.dataset}.parquet", *at)
    stage.command(
        "node",
        "trust",
        "roots.json",
        "--hub",
        url,
        "--bureau",
        BUREAU,
        "--key",
        cast.key_file(unit.node),
        "--ca",
        stage.ca,
        *at,
    )


def register(stage: Stage, cast: Cast, unit: Unit) -> None:
    """Have the officer list the data set, as the node's catalogue describes it."""
    home = NodeHome.open(stage.folder / unit.name)
    dataset = home.catalogue.load().datasets[unit.dataset]
    home.close()
    draft = dataset_registered(cast.issuer(unit.officer), dataset)
    cast.file(unit.officer, ("datasets",), draft, documents=[dataset_to_json(dataset)])


def grade(cast: Cast, unit: Unit) -> None:
    """Have the officer confirm the grades of the first version, once the node has told the log of it."""
    client = cast.client(unit.officer)
    deadline = monotonic() + _DECLARED_IN_S
    while not (found := client.run(client.hub.get(("datasets", dataset_id(unit.dataset)))))["versions"]:
        if monotonic() > deadline:
            raise UnavailableError(ErrorCode.NODE_UNAVAILABLE, f"node `{unit.node}` has told the log of no version")
        sleep(0.1)
    dataset = parse_dataset(found["document"])
    grades = {item.name: item.grade.value for item in dataset.items}
    draft = dataset_graded(cast.issuer(unit.officer), dataset, version=1, column_grades=grades)
    cast.file(unit.officer, ("datasets",), draft)


def _policy(stage: Stage) -> Path:
    return stage.folder / "hub" / "log" / "policy.txt"


def _rows_of(folder: Path, dataset: str) -> str:
    """Return the rows of one data set of the district's catalogue form."""
    with (folder / "district" / "catalogue.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    place = rows[0].index("资源代码")
    lines = [rows[0], *(row for row in rows[1:] if row[place] == dataset)]

    text = StringIO()
    csv.writer(text).writerows(lines)
    return text.getvalue()


_TERMS: Final = f"""
agreement: {AGREEMENT}
version: 1
assigner: {TAX.party}
assignee: {BANK}
purpose: {PURPOSE}
legal_basis: {{kind: contract, reference: "2026-17"}}
valid: {{from: 2026-01-01, until: 2035-12-31}}
place: {{zones: [{TAX.node}]}}
datasets:
  {TAX.dataset}:
    privacy_unit: uscc
    columns:
      uscc: {{uses: [aggregate], functions: [count_units]}}
      year: [filter, group]
      street: [filter, group]
      size: [filter, group]
      tax_paid: [aggregate]
operations: [aggregate]
disclosure: {{min_entities: 10}}
limits: {{jobs: 500, jobs_per_day: 50, filter_values: declared}}
approvals: {{agreement: [unit-cdo, bureau-approver], job: automatic, output: automatic}}
"""

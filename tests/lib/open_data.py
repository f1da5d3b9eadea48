"""Two public data sets as a node would declare and publish them, and their rows for plain SQL and pandas.

What they are and where they come from stands beside the files; tests skip where the folder is absent.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sandbox.catalog.model import Dataset, Visibility
from tests.lib.items import boolean_item, code_item, number_item, unit_item
from tests.lib.nodes import new_node, publish_table
from tests.lib.shared_data import shared_data
from yingbi.events.fields import PrivacyUnit

__all__ = ["CHARGED_OFF", "PAID", "OpenData", "credit_cards", "publish_open_data", "published_rates", "small_loans"]

# The sample has 15,000 loans of either outcome; so many there are in the whole file (README of the data).
CHARGED_OFF: Final = 157_558 / 15_000
PAID: Final = 739_609 / 15_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenData:
    """A declaration, and the rows that it declares, under the declared names."""

    dataset: Dataset
    frame: pd.DataFrame


def small_loans() -> OpenData:
    """Return 30,000 loans of the US Small Business Administration: a public register, each loan a unit."""
    raw = pd.read_csv(
        shared_data("sba-loans") / "sba_national_balanced30k_noname.csv.gz",
        dtype={"loan_nr_chk_dgt": "string", "naics": "string"},
    )
    frame = pd.DataFrame(
        {
            "loan": raw.loan_nr_chk_dgt,
            "state": raw.state,
            "sector": raw.naics.str.zfill(6).str[:2],
            "fiscal_year": raw.approval_fy,
            "area": raw.urban_rural.map({0: "unknown", 1: "urban", 2: "rural"}),
            "term": raw.term,
            "staff": raw.no_emp,
            "approved": raw.gr_appv.astype("int64"),
            "disbursed": raw.disbursement_gross.astype("int64"),
            "written_off": raw.chg_off_prin_gr.astype("int64"),
            "is_new": raw.new_exist.map({1.0: False, 2.0: True}).astype("boolean"),
            "charged_off": raw.mis_status == "CHGOFF",
        }
    )
    edges = ("10000", "50000", "100000", "500000", "1000000")
    dataset = Dataset(
        name="sba/loans",
        title="SBA loans",
        owner="unit:sba",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        membership=Visibility.PUBLIC,
        items=(
            unit_item("loan"),
            code_item("state", sorted(frame.state.unique())),
            code_item("sector", sorted(frame.sector.unique())),
            number_item(
                "fiscal_year", bounds=(1960, 2020), edges=("1990", "2000", "2005", "2010"), visibility=Visibility.PUBLIC
            ),
            code_item("area", ("unknown", "urban", "rural")),
            number_item("term", bounds=(0, 600), edges=("12", "60", "120", "240")),
            number_item("staff", bounds=(0, 10_000), edges=("1", "5", "10", "50", "250")),
            number_item("approved", bounds=(0, 6_000_000), edges=edges),
            number_item("disbursed", bounds=(0, 6_000_000), edges=edges),
            number_item("written_off", bounds=(0, 6_000_000), edges=edges),
            boolean_item("is_new", nullable=True),
            boolean_item("charged_off"),
        ),
    )
    return OpenData(dataset=dataset, frame=frame)


def credit_cards() -> OpenData:
    """Return 30,000 clients of a Taiwanese bank in 2005: who is a client is confidential."""
    raw = pd.read_csv(shared_data("default-credit") / "UCI_Credit_Card.csv.gz")
    education = {1: "graduate", 2: "university", 3: "school"}
    frame = pd.DataFrame(
        {
            "client": "C" + raw.ID.astype("string"),
            "sex": raw.SEX.map({1: "male", 2: "female"}),
            "education": raw.EDUCATION.map(education).fillna("other"),
            "marriage": raw.MARRIAGE.map({1: "married", 2: "single"}).fillna("other"),
            "age": raw.AGE,
            "credit": raw.LIMIT_BAL.astype("int64"),
            "late": raw.PAY_0,
            "bill": raw.BILL_AMT1.astype("int64"),
            "paid": raw.PAY_AMT1.astype("int64"),
            "defaulted": raw["default.payment.next.month"] == 1,
        }
    )
    edges = ("0", "10000", "50000", "100000", "500000")
    dataset = Dataset(
        name="bank/cards",
        title="Credit card clients",
        owner="unit:bank",
        privacy_unit=PrivacyUnit.PERSON,
        items=(
            unit_item("client"),
            code_item("sex", ("female", "male")),
            code_item("education", ("graduate", "university", "school", "other")),
            code_item("marriage", ("married", "single", "other")),
            number_item("age", bounds=(18, 100), edges=("30", "40", "50", "60", "79"), visibility=Visibility.PUBLIC),
            number_item("credit", bounds=(0, 1_000_000), edges=edges[1:]),
            number_item("late", bounds=(-2, 9), edges=("0", "1", "2")),
            number_item("bill", bounds=(-1_000_000, 2_000_000), edges=edges),
            number_item("paid", bounds=(0, 2_000_000), edges=edges[1:]),
            boolean_item("defaulted"),
        ),
    )
    return OpenData(dataset=dataset, frame=frame)


def publish_open_data(folder: Path, data: OpenData) -> Path:
    """Publish the rows into a new node below `folder`; return the node's folder."""
    path = folder / "rows.parquet"
    pq.write_table(pa.Table.from_pandas(data.frame, preserve_index=False), path)
    home = new_node(folder / "node")
    publish_table(home, data.dataset, path)
    home.close()
    return folder / "node"


def published_rates(of: str) -> dict[str, float]:
    """Return the published share of loans that were charged off, in percent, by `state` or `industry`."""
    table = pd.read_csv(shared_data("sba-loans") / f"published_{of}_defaults.csv", dtype={0: "string"})
    keys = table.iloc[:, 0].str.zfill(2) if of == "industry" else table.iloc[:, 0]
    return dict(zip(keys, table.CHGOFF, strict=True))

"""The registry: dense, random, append-only, one writer, and what survives a kill."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from sandbox.engine_duckdb.manifest import list_versions
from sandbox.engine_duckdb.registry import UnitRegistry, is_valid, normalised
from sandbox.engine_duckdb.sources import connect
from sandbox.synth.identifiers import make_usccs
from tests.lib.product_code import ROOT
from tests.unit.sandbox.data.examples import publish_here, registry, write_parquet
from yingbi.errors import ConflictError, ErrorCode, TamperDetectedError
from yingbi.events.fields import PrivacyUnit
from yingbi.uscc import is_uscc


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(tmp_path / "spill") as made:
        yield made


def number(connection: duckdb.DuckDBPyConnection, registry: UnitRegistry, count: int) -> dict[str, int]:
    connection.execute(f"CREATE OR REPLACE TABLE found AS SELECT 'u' || n AS _id FROM range({count}) AS r(n)")
    with registry.hold(connection) as held:
        table = held.number_units(PrivacyUnit.ENTERPRISE, "found")
        return dict(connection.execute(f"SELECT _id, number FROM {table}").fetchall())


def test_numbers_are_dense_and_shuffled_and_stay(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    first = number(connection, registry(tmp_path), 1000)
    assert sorted(first.values()) == list(range(1000))
    order = [first[f"u{n}"] for n in range(1000)]
    # False alarm: more than 40 of 1000 numbers in their place happens by chance less than once in 10^40.
    assert sum(found == at for at, found in enumerate(order)) <= 40
    assert sum(later > earlier for earlier, later in pairwise(order)) in range(400, 600)
    second = number(connection, registry(tmp_path), 1500)
    assert {name: second[name] for name in first} == first
    assert sorted(second[name] for name in set(second) - set(first)) == list(range(1000, 1500))
    elsewhere = number(connection, UnitRegistry(tmp_path / "elsewhere.duckdb"), 1000)
    assert elsewhere != first


def test_two_publications_do_not_write_at_once(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    source = write_parquet(tmp_path / "x.parquet")
    with registry(tmp_path).hold(connection), pytest.raises(ConflictError) as caught:
        publish_here(tmp_path, source)
    assert caught.value.code is ErrorCode.TRANSITION_REFUSED
    assert publish_here(tmp_path, source).is_new


def test_the_registry_is_read_by_its_owner_alone(tmp_path: Path) -> None:
    publish_here(tmp_path, write_parquet(tmp_path / "x.parquet"))
    assert registry(tmp_path).path.stat().st_mode & 0o077 == 0


def test_a_damaged_registry_stops_everything(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "x.parquet")
    publish_here(tmp_path, source)
    registry(tmp_path).path.write_bytes(b"\0" * 5000)
    with pytest.raises(TamperDetectedError):
        publish_here(tmp_path, source)
    assert not list((tmp_path / "data" / ".staging").iterdir())


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        (" 91440300ma5 ", "91440300MA5"),
        ("９１４４ＭＡ\u3000", "9144MA"),
        ("\ufeffa\t", "A"),
        ("  ", None),
        ("", None),
        ("a b", "A B"),
    ],
)
def test_an_identifier_has_one_spelling(connection: duckdb.DuckDBPyConnection, text: str, spelled: str | None) -> None:
    assert connection.execute(f"SELECT {normalised('$1')}", [text]).fetchone() == (spelled,)


def test_check_characters_agree_with_the_product_s_own_rule(connection: duckdb.DuckDBPyConnection) -> None:
    codes = [bytes(code).decode() for code in make_usccs(50, 11)]
    codes += [code[:at] + "7" + code[at + 1 :] for code in codes[:20] for at in (0, 17)] + ["", "9" * 18, "I" * 18]
    rule = is_valid(PrivacyUnit.ENTERPRISE, "$1")
    for code in codes:
        assert connection.execute(f"SELECT {rule}", [code]).fetchone() == (is_uscc(code),), code


@pytest.mark.parametrize(
    ("number", "is_right"), [("11010519491231002X", True), ("110105194912310021", False), ("1101051949123100", False)]
)
def test_identity_numbers_are_checked(connection: duckdb.DuckDBPyConnection, number: str, is_right: bool) -> None:
    assert connection.execute(f"SELECT {is_valid(PrivacyUnit.PERSON, '$1')}", [number]).fetchone() == (is_right,)


# --- a process that dies ----------------------------------------------------------------------------------------------

DYING = """
    import os, signal, sys
    from pathlib import Path
    from sandbox.engine_duckdb import publish
    from tests.unit.sandbox.data import examples

    folder, at = Path(sys.argv[1]), sys.argv[2]

    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    if at == "rename":
        publish._sync = lambda path: die() if path.name == "ready" else None
    elif at == "recorded":
        publish.read_manifest = die
    steps = int(at) if at.isdigit() else None
    examples.publish_here(
        folder,
        examples.ParquetSource(path=folder / "x.parquet"),
        on_progress=lambda done, _: die() if done == steps else None,
    )
"""


@pytest.mark.parametrize("at", ["0", "1", "2", "3", "4", "rename", "recorded"])
def test_a_killed_publication_leaves_no_version_and_the_next_one_works(tmp_path: Path, at: str) -> None:
    source = write_parquet(tmp_path / "x.parquet")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DYING), str(tmp_path), at],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    is_placed = at == "recorded"
    assert list_versions(tmp_path / "data", "tax/filings") == ((1,) if is_placed else ())
    assert list((tmp_path / "data" / ".staging").iterdir()), "something was left behind"
    again = publish_here(tmp_path, source, recorded=0)
    assert (again.version.version, again.is_new) == (1, True)
    assert not list((tmp_path / "data" / ".staging").iterdir()), "and swept away"
    assert not publish_here(tmp_path, source, recorded=1).is_new

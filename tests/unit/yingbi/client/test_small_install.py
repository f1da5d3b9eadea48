"""The client without any extra: it asks, verifies and reads results; what needs more says what to install."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
HEAVY = ("duckdb", "fastapi", "numpy", "pandas", "pyarrow", "scipy", "sqlalchemy", "sqlglot", "starlette", "uvicorn")
PROGRAM = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

BLOCKED = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Block())
from tests.lib.sdk_hub import SdkHub
from yingbi.errors import UnavailableError

hub = SdkHub()
with hub.connect() as client:
    filings = client.dataset("tax/annual_filings")
    query = filings[filings.year == 2025].groupby("street").agg(n="count")
    query.explain()._repr_html_()
    job = query.submit().wait(progress=False)
    print(job.released().rows)
    for ask in (job.result, filings.twin, lambda: client.sql("SELECT COUNT(*) FROM tax.annual_filings")):
        try:
            ask()
        except UnavailableError as error:
            print(error.code, error.message, error.hint)
"""


def run(*words: str) -> str:
    command = [sys.executable, "-c", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_extras_results_are_verified_and_read() -> None:
    rows, *missing = run(PROGRAM, ",".join(HEAVY)).splitlines()
    assert rows == "(('A', 120), ('B', ·))"
    for line, name in zip(missing, ("pandas", "pyarrow", "sqlglot"), strict=True):
        assert line == f"extra-not-installed this needs `{name}` pip install 'yingbi[sdk]'"


def test_the_package_itself_stays_cheap() -> None:
    loaded = run("import sys, yingbi; print([name for name in sys.modules if name.startswith(('httpx', 'pydantic'))])")
    assert loaded.strip() == "[]"
    loaded = run(f"import sys, yingbi.client; print(sorted(set({HEAVY!r}) & set(sys.modules)))")
    assert loaded.strip() == "[]"

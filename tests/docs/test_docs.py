"""The documentation is true of the code, and each of its checks finds what it is for: copies with one thing broken."""

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.lib.town import running_town
from yingbi.events import EntryType

ROOT: Final = Path(__file__).parents[2]
TOOLS: Final = ROOT / "docs" / "tools"
Edit = Callable[[str], str]


def load_tool(name: str) -> Any:
    """Load a program of docs/tools as a module, without what it does to this process."""
    spec = importlib.util.spec_from_file_location(f"docs_tool_{name}", TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    path, environment = list(sys.path), dict(os.environ)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # typer takes names from click that click will drop
        spec.loader.exec_module(module)
    sys.path[:] = path
    os.environ.clear()
    os.environ.update(environment)
    return module


CHECK: Final = load_tool("check")
CLI: Final = load_tool("cli")
LOCK: Final = load_tool("lock")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project, which is no git checkout."""
    for path in CHECK.list_files(ROOT):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return tmp_path


def run_tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of docs/tools as `make check` does."""
    command = [sys.executable, str(TOOLS / name), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


# --- as it is


def test_the_documentation_is_true_of_the_code() -> None:
    done = run_tool("check.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_locks_fit_the_project() -> None:
    done = run_tool("lock.py", "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_lock_tool_asks_for_its_flag() -> None:
    assert run_tool("lock.py").returncode == 2


# --- broken copies


def add(text: str) -> Edit:
    return lambda page: f"{page}\n{text}\n"


def shell(*lines: str) -> Edit:
    return add("\n".join(["```sh", *lines, "```"]))


def swap(old: str, new: str) -> Edit:
    def edit(page: str) -> str:
        assert old in page
        return page.replace(old, new)

    return edit


@dataclass(frozen=True)
class Broken:
    """A file, what is done to it, the check that has to see it, and what that says."""

    path: str
    edit: Edit
    check: str
    message: str


TEXTS: Final = "yingbi/locale/zh/verify.json"
# Put together here, so that this file does not hold what no file may hold.
HOME: Final = "/" + "home/alice/yingbi"
SCRATCH: Final = "/" + "tmp/build-1"
INDEX: Final = "https://" + "pypi" + ".org/simple"
MIRROR: Final = "https://" + "registry" + ".example.org/"

BROKEN: Final = {
    "link to no file": Broken("README.md", add("[x](docs/nowhere.md)"), "check_links", "no such file"),
    "link out of the project": Broken("README.md", add("[x](../)"), "check_links", "no such file"),
    "link from the root": Broken("README.md", add("[x](/docs/cli.md)"), "check_links", "no such file"),
    "link in a table": Broken("docs/README.md", add("| a | [x](nowhere.md) |"), "check_links", "no such file"),
    "image": Broken("README.zh.md", add("![图](docs/nowhere.png)"), "check_links", "no such file"),
    "anchor of another page": Broken("README.md", add("[x](docs/cli.md#x)"), "check_links", "no such anchor"),
    "anchor of this page": Broken("docs/spec/log.md", add("[x](#nowhere)"), "check_links", "no such anchor"),
    "anchor of what has none": Broken("README.md", add("[x](Makefile#x)"), "check_links", "no such anchor"),
    "errors": Broken("docs/errors.md", add("more"), "check_generated", "errors.md is out of date"),
    "entry types": Broken("docs/spec/entry-types.md", add("more"), "check_generated", "entry-types.md is out of date"),
    "commands": Broken("docs/cli.md", add("more"), "check_generated", "cli.md is out of date"),
    "no such command": Broken("README.md", shell("yingbi log frob"), "check_commands", "`yingbi log frob`"),
    "no command at all": Broken("docs/operations.md", shell("yingbi"), "check_commands", "no such command"),
    "no such option": Broken("README.zh.md", shell("yingbi log init x --lgo y"), "check_commands", "--lgo"),
    "a missing argument": Broken("docs/operations.md", shell("yingbi log prove"), "check_commands", "INDEX"),
    "a missing option": Broken("README.md", shell("yingbi log reset-mark --size 1"), "check_commands", "--root"),
    "an argument too many": Broken("README.md", shell("yingbi keys new a b"), "check_commands", "extra argument"),
    "a number that is none": Broken("README.md", shell("yingbi log prove one"), "check_commands", "INDEX"),
    "another phase": Broken("README.md", shell("yingbi log rotate-key end"), "check_commands", "PHASE"),
    "on a second line": Broken("README.md", shell("yingbi log \\", "  frob"), "check_commands", "log frob"),
    "after a pipe": Broken("README.md", shell("cat x | yingbi log frob"), "check_commands", "log frob"),
    "in a substitution": Broken("README.md", shell('A="$(yingbi log frob)"'), "check_commands", "log frob"),
    "after a variable": Broken("README.md", shell("A=1 yingbi log frob"), "check_commands", "log frob"),
    "by its path": Broken("README.md", shell(".venv/bin/yingbi log frob"), "check_commands", "log frob"),
    "by its module": Broken("README.md", shell("python -m yingbi log frob"), "check_commands", "log frob"),
    "open quotes": Broken("README.md", shell("yingbi keys new 'a"), "check_commands", "cannot be read"),
    "another command": Broken("README.zh.md", swap("keys new bank.pem", "keys new b.pem"), "check_readmes", "b.pem"),
    "one command less": Broken("README.zh.md", swap("make demo\n", ""), "check_readmes", "expected `make demo`"),
    "one block more": Broken("README.md", shell("make demo"), "check_readmes", "shell blocks"),
    "a command left out": Broken("docs/cli.md", swap("`yingbi keys cosign`", ""), "check_command_page", "keys cosign"),
    "no page of commands": Broken("docs/cli.md", lambda _: "", "check_command_page", "yingbi demo"),
    "a key left out": Broken(TEXTS, swap("good_size", "god_size"), "check_catalogues", "verify.good_size"),
    "a key too many": Broken(TEXTS, swap("{\n", '{\n "x": "",\n'), "check_catalogues", "`x`"),
    "another placeholder": Broken(TEXTS, swap("{size}", "{sze}"), "check_catalogues", "verify.good_size"),
    "a home": Broken("yingbi/errors.py", add(f"# {HOME}"), "check_private", "somebody's machine"),
    "a scratch folder": Broken("docs/operations.md", add(f"`{SCRATCH}`"), "check_private", "somebody's machine"),
    "an index": Broken("requirements.lock", add(f"--index-url {INDEX}"), "check_private", "package registry"),
    "a mirror": Broken("pyproject.toml", add(f'# see "{MIRROR}"'), "check_private", "package registry"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_copy_is_found(case: Broken, copy: Path) -> None:
    path = copy / case.path
    path.write_text(case.edit(path.read_text(encoding="utf-8")), encoding="utf-8")
    found = [str(item) for item in getattr(CHECK, case.check)(copy)]
    assert any(case.message in item for item in found), found


def test_a_copy_that_is_not_broken_passes(copy: Path) -> None:
    """The control: what the cases above find is what they broke."""
    assert [str(item) for check in CHECK.CHECKS for item in check(copy)] == []


def test_every_check_is_seen_to_fail() -> None:
    assert {case.check for case in BROKEN.values()} == {check.__name__ for check in CHECK.CHECKS}


# --- nothing left out


SANDBOX: Final = [
    f"sandbox/{name}"
    for name in ("catalog", "synth", "query", "operations", "isolation", "engine_duckdb", "disclosure", "node")
]


@pytest.mark.parametrize(
    "package", ["ledger", "yingbi", "yingbi/verify", "policies", "sandbox", *SANDBOX, "sandbox/disclosure/history"]
)
def test_every_module_is_in_the_architecture(package: str) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    modules = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"}
    assert {module for module in modules - {"__main__"} if f"`{module}`" not in text} == set()


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "spec").glob("*.md")]
    names = {path.relative_to(ROOT / "docs").as_posix() for path in pages} - {"README.md"}
    assert {name for name in names if f"({name})" not in index} == set()


def test_every_decision_is_in_the_list_of_decisions() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")
    numbers = [path.name for path in sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))]
    assert [name for name in numbers if f"]({name})" not in index] == []
    assert [int(name[:4]) for name in numbers] == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize(("page", "words"), [("README.md", "entry types"), ("README.zh.md", "种条目类型")])
def test_the_number_of_entry_types_is_right(page: str, words: str) -> None:
    assert f"{len(EntryType)} {words}" in (ROOT / page).read_text(encoding="utf-8")


# --- parts of the checks


@pytest.mark.parametrize(
    ("heading", "slug"),
    {
        "Five-minute tour": "five-minute-tour",
        "`yingbi log init`": "yingbi-log-init",
        "What a *verdict* does not say": "what-a-verdict-does-not-say",
        "Ledger 账本": "ledger-账本",
        "A [link](x.md), a comma": "a-link-a-comma",
        "snake_case & more": "snake_case--more",
    }.items(),
)
def test_anchors_are_those_of_github(heading: str, slug: str) -> None:
    assert CHECK.slug_of(heading) == slug


def test_headings_of_the_same_name_are_numbered_and_code_has_none(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('# A\n# A\n```sh\n# B\n```\n<a id="c"></a>\n', encoding="utf-8")
    assert CHECK.anchors_of(page) == {"a", "a-1", "c"}


COMMANDS: Final = {
    "yingbi demo": ["demo"],
    "yingbi keys sign p --key k | yingbi log append - > out": ["keys sign p --key k", "log append -"],
    'A=$(yingbi log checkpoint) B="$(yingbi demo)"': ["log checkpoint", "demo"],
    "cd yingbi && ls  # yingbi demo": [],
    "yingbi log prove $N & sleep 1": ["log prove 1"],
    "python -m yingbi.verify log x": [],
    "yingbi log audit https://log.example:8440/x --trust t": ["log audit https://log.example:8440/x --trust t"],
}


@pytest.mark.parametrize(("line", "commands"), COMMANDS.items())
def test_commands_are_found_in_shell(line: str, commands: list[str]) -> None:
    assert [" ".join(found) for found in CHECK.find_commands(line)] == commands


def test_comments_are_not_compared() -> None:
    block = CHECK.Block("sh", 1, ("# all", "make demo  # 演示", "", "echo a#b"))
    assert CHECK.shell_lines(block) == ["make demo", "echo a#b"]


def test_only_words_of_machines_are_private() -> None:
    harmless = [
        "/mnt/mark/high-water",
        "docs/home/x",
        "${HOME}/work/x",
        "~/tmp/x",
        "https://c2sp.org/tlog-policy",
        "/homework/x",
    ]
    assert not [line for line in harmless if CHECK.MACHINE_PATH.search(line) or CHECK.REGISTRY.search(line)]


def test_files_outside_of_git_are_those_that_git_would_list(copy: Path) -> None:
    (copy / "docs" / "__pycache__").mkdir()
    (copy / "docs" / "__pycache__" / "x.pyc").write_bytes(b"")
    (copy / ".venv").mkdir()
    (copy / ".venv" / "x.md").write_text("", encoding="utf-8")
    listed = [[path.relative_to(root) for path in CHECK.list_files(root)] for root in (copy, ROOT)]
    assert listed[0] == listed[1]


def test_the_page_of_commands_has_every_argument_and_option_with_its_help() -> None:
    rows = [line.split(" | ") for line in CLI.render().splitlines() if line.startswith("| `-")]
    rows += [line.split(" | ") for line in CLI.render().splitlines() if re.match(r"\| `[A-Z_.]+` \|", line)]
    assert len(rows) > 80
    assert [row for row in rows if row[-1].strip(" |") == ""] == []


# --- locks


def change(pattern: str, new: str) -> Edit:
    def edit(text: str) -> str:
        changed, count = re.subn(pattern, new, text, count=1)
        assert count == 1
        return changed

    return edit


def drop(name: str) -> Edit:
    """Leave out a pin with its digests."""
    return change(rf"\n{name}==[^\n]*(\n    [^\n]*)+", "")


PROJECT: Final = "pyproject.toml"
NO_DIGESTS: Final = change(r"\nattrs==([0-9.]+)[^\n]*(\n    [^\n]*)+", r"\nattrs==\1")
BUILDING: Final = change(r'"hatchling>=1.27"\]', '"hatchling>=99"]')

LOCKS: Final = {
    "a requirement of another version": (PROJECT, change('"rich>=14', '"rich>=13,!=14.*'), "does not take 14"),
    "a requirement that is not locked": (PROJECT, change('"rich>=14', '"nosuch>=1", "rich>=14'), "`nosuch>=1`"),
    "a requirement of building": (PROJECT, BUILDING, "`hatchling>=99`"),
    "a pin of development left out": (LOCK.DEV, drop("vyper"), "`vyper==0.4.3`"),
    "a pin left out": (LOCK.ALL, drop("flwr"), "`flwr==1.41.0`"),
    "a pin of one file only": (LOCK.ALL, drop("vyper"), "`vyper` of requirements-dev.lock"),
    "other versions": (LOCK.DEV, change(r"\nattrs==[0-9.]+", "\nattrs==1.0"), "`attrs==1.0`, but"),
    "a pin without digests": (LOCK.ALL, NO_DIGESTS, "no SHA-256"),
    "a digest of another kind": (LOCK.ALL, change("--hash=sha256:", "--hash=sha1:"), "no SHA-256"),
    "a digest that is cut": (LOCK.ALL, change(r"(--hash=sha256:[0-9a-f]{63})[0-9a-f]", r"\1"), "no SHA-256"),
    "a range": (LOCK.ALL, change(r"\nattrs==", "\nattrs>="), "expected `name==version`"),
    "a range beside a version": (
        LOCK.ALL,
        change(r"\nattrs==([0-9.]+)", r"\nattrs==\1,>=1"),
        "expected `name==version`",
    ),
    "no requirement": (LOCK.ALL, change(r"\nattrs==", "\nattrs="), "expected `name==version`"),
    "a pin twice": (LOCK.ALL, add("attrs==1.0 --hash=sha256:" + "0" * 64), "`attrs` is pinned twice"),
    "an index": (LOCK.DEV, add("--extra-index-url x"), "names an index"),
    "an address": (LOCK.ALL, add("attrs @ file:///x"), "names an index"),
}


@pytest.mark.parametrize(("path", "edit", "message"), LOCKS.values(), ids=LOCKS.keys())
def test_a_lock_that_does_not_fit_is_found(path: str, edit: Edit, message: str, copy: Path) -> None:
    (copy / path).write_text(edit((copy / path).read_text(encoding="utf-8")), encoding="utf-8")
    found = LOCK.check(copy)
    assert any(message in item for item in found), found


# --- the tour


def tour_of(page: str) -> str:
    """Return the commands of the tour, without the block that makes the environment."""
    text = (ROOT / page).read_text(encoding="utf-8")
    _, _, rest = text.partition("\n## Five-minute tour\n")
    blocks = CHECK.split_page(rest.partition("\n## ")[0])[1]
    assert blocks[0].lines == ("make setup", ". .venv/bin/activate")
    return "\n".join(line for block in blocks[1:] for line in block.lines)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which `yingbi` and `python3` are those of the tests."""
    program = tmp_path / "bin" / "yingbi"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m yingbi "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    python = program.parent / "python3"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    path = f"{program.parent}:{os.environ.get('PATH', os.defpath)}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("YINGBI_")}
    return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), "YINGBI_LANG": "en", "COLUMNS": "120"}


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def test_the_tour_can_be_pasted(tmp_path: Path, environment: dict[str, str], free_port: int) -> None:
    script = tour_of("README.md").replace("8441", str(free_port))
    with subprocess.Popen(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=300)
        finally:
            os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
    said = re.findall(r"^(?:LOG-SIGNED ONLY|VERIFIED|INVALID)\b|exit code \d+", output, re.MULTILINE)
    verdicts = ["LOG-SIGNED ONLY", "exit code 2", "VERIFIED", "exit code 0", "INVALID", "exit code 1"]
    assert said == ["exit code 77", *verdicts], output + errors
    assert "would be enough: grant aggregate of column `revenue`" in output
    assert "error:" not in errors


def test_the_tutorial_can_be_pasted(tmp_path: Path, environment: dict[str, str]) -> None:
    """In the folder in which the district runs, as `make serve` leaves it; all but the first block a second time."""
    blocks = CHECK.split_page((ROOT / "docs" / "tutorial.md").read_text("utf-8"))[1]
    first, *others = [block.lines for block in blocks if block.language == "sh"]
    again = [line for lines in others for line in lines]
    shell = [*first, *again, *again]
    assert shell[0] == ". .venv/bin/activate"
    with running_town(tmp_path / "build" / "demo"):
        done = subprocess.run(
            ["bash", "-c", "\n".join(shell[1:])],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
    said = re.findall(r"exit code \d+", done.stdout)
    assert said == ["exit code 77", "exit code 77", "exit code 0"] * 2, done.stdout + done.stderr
    refused = ["job-refused", "access-refused"] * 2
    assert re.findall(r"^error: (\S+)", done.stderr, re.MULTILINE) == refused, done.stderr
    assert len(list((tmp_path / "build").glob("mine.*/evidence.zip"))) == 1, "what was kept is beside the district"
    assert "enough would be" in done.stdout + done.stderr
    assert "nothing was found" in done.stdout
    assert "Traceback" not in done.stderr

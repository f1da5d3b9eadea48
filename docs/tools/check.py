"""Check that the documentation is true of the code: `python docs/tools/check.py`.

Links and anchors lead somewhere, generated pages are current, commands that readers paste exist, both languages say the
same, and no file tells on which machine it was written.
"""

import contextlib
import io
import json
import os
import re
import shlex
import string
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # a checkout needs no installation
os.environ["YINGBI_LANG"] = "en"  # texts of the command line are chosen when the commands are defined

import click  # noqa: E402
import typer.main  # noqa: E402

from yingbi.cli import app  # noqa: E402

GENERATORS: Final = ("errors.py", "entry_types.py", "cli.py")
READMES: Final = ("README.md", "README.zh.md")
LANGUAGES: Final = ("en", "zh")
SHELLS: Final = ("sh", "bash", "console", "shell")

FENCE: Final = re.compile(r"^ {0,3}(?P<marks>`{3,}|~{3,})\s*(?P<language>[\w+-]*)")
LINK: Final = re.compile(r"(?<!\\)\[(?:[^\[\]]|\[[^\[\]]*\])*\]\((?P<target>[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)\)")
HEADING: Final = re.compile(r"^ {0,3}#{1,6}\s+(?P<text>.*?)\s*#*\s*$")
ANCHOR: Final = re.compile(r"<a\s+(?:id|name)=\"(?P<name>[^\"]+)\"")
CODE_SPAN: Final = re.compile(r"(?P<marks>`+)(?!`).+?(?<!`)(?P=marks)(?!`)")
ELSEWHERE: Final = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
SUBSTITUTION: Final = re.compile(r"\$\((?P<command>[^()]*)\)")
VARIABLE: Final = re.compile(r"\$(?:\w+|\{\w+\}|\?)")
ASSIGNMENT: Final = re.compile(r"\w+=.*", re.DOTALL)

# Where people and build machines keep their checkouts, homes and scratch files.
MACHINE_PATH: Final = re.compile(r"(?<![\w.$}~-])/(?:Users|builds|home|root|scratch|tmp|work|workspace)/[\w.-]+")
REGISTRY: Final = re.compile(
    r"https?://(?:[\w.-]+\.)?(?:(?:pypi|pythonhosted|npmjs|yarnpkg|crates|rubygems|anaconda|golang|maven)\.[a-z]{2,3}"
    r"|(?:registry|proxy|index|mirrors?|artifactory|nexus)\.[\w.-]+)(?![\w.-])"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and where."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, and its lines with the number of the first."""

    language: str
    start: int
    lines: tuple[str, ...]


# --- files


def list_files(root: Path) -> list[Path]:
    """List the project's files: what git tracks or would, or, outside of a checkout, what is not hidden or built."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\0")
        found = [root / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        found = [path for path in root.rglob("*") if not _is_built(path.relative_to(root))]
    return sorted({path for path in found if path.is_file()})


def _is_built(path: Path) -> bool:
    built = ("__pycache__", "node_modules", "build", "dist")
    return any(part in built or (part.startswith(".") and part != ".ci") for part in path.parts[:-1])


def pages(root: Path) -> list[Path]:
    """List the Markdown files of the project."""
    return [path for path in list_files(root) if path.suffix == ".md"]


def read(path: Path) -> str:
    """Read a text; bytes that are no text are of no interest here."""
    return path.read_text(encoding="utf-8", errors="replace")


def name_of(path: Path, root: Path) -> str:
    """Return a path as findings name it."""
    return path.relative_to(root).as_posix()


# --- Markdown


def split_page(text: str) -> tuple[list[tuple[int, str]], list[Block]]:
    """Split a page into the lines of its prose, numbered, and its fenced blocks."""
    prose: list[tuple[int, str]] = []
    blocks: list[Block] = []
    inside: tuple[str, str, int, list[str]] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        match = FENCE.match(line)
        if inside is None and match is None:
            prose.append((number, line))
        elif inside is None and match is not None:
            inside = (match["marks"], match["language"], number + 1, [])
        elif inside is not None:
            marks, language, start, lines = inside
            if match is not None and match["marks"].startswith(marks) and not match["language"]:
                blocks.append(Block(language, start, tuple(lines)))
                inside = None
            else:
                lines.append(line)
    return prose, blocks


@cache
def anchors_of(path: Path) -> frozenset[str]:
    """Return the anchors of a page: headings as GitHub names them, and explicit ones."""
    found: set[str] = set()
    counts: dict[str, int] = {}
    for _, line in split_page(read(path))[0]:
        found.update(match["name"] for match in ANCHOR.finditer(line))
        if heading := HEADING.match(line):
            slug = slug_of(heading["text"])
            count = counts[slug] = counts.get(slug, -1) + 1
            found.add(f"{slug}-{count}" if count else slug)
    return frozenset(found)


def slug_of(heading: str) -> str:
    """Return the anchor of a heading: lower case, letters, digits, hyphens and underscores, spaces as hyphens."""
    text = LINK.sub(lambda match: match[0][1 : match[0].index("](")], heading)
    kept = (char for char in text.strip().lower() if char.isalnum() or char in " -_")
    return "".join(kept).replace(" ", "-")


# --- commands


@cache
def command_line() -> click.Command:
    """Return the command line that readers use."""
    return typer.main.get_command(app)


def list_commands(command: click.Command, path: str = "yingbi") -> Iterator[str]:
    """Yield the words of every command that can be run."""
    if not isinstance(command, click.Group):
        yield path
        return
    for name, inner in command.commands.items():
        yield from list_commands(inner, f"{path} {name}")


def join_lines(block: Block) -> Iterator[tuple[int, str]]:
    """Yield the lines of a block, continued ones as one, without the prompt of a console."""
    at = 0
    while at < len(block.lines):
        start, line = at, block.lines[at]
        while line.endswith("\\") and at + 1 < len(block.lines):
            at += 1
            line = line[:-1] + " " + block.lines[at]
        at += 1
        yield block.start + start, line.removeprefix("$ ")


def find_commands(line: str) -> Iterator[list[str]]:
    """Yield the arguments of every `yingbi` in a line of shell, those inside of `$(…)` too.

    Raises:
        ValueError: quotes that do not end on the line.
    """
    while match := SUBSTITUTION.search(line):
        yield from find_commands(match["command"])
        line = line[: match.start()] + "1" + line[match.end() :]
    lexer = shlex.shlex(VARIABLE.sub("1", line), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    is_target = False
    for token in [*lexer, ";"]:
        if set(token) <= set("<>"):
            is_target = True
        elif set(token) <= set("();|&"):
            yield from _arguments(words)
            words = []
        elif is_target:
            is_target = False
        else:
            words.append(token)


def _arguments(words: list[str]) -> Iterator[list[str]]:
    while words and ASSIGNMENT.fullmatch(words[0]):
        words = words[1:]
    if words and Path(words[0]).name == "yingbi":
        yield words[1:]
    elif words[1:3] == ["-m", "yingbi"]:
        yield words[3:]


def judge_command(arguments: list[str]) -> str | None:
    """Say why the command line would not take these arguments; nothing is run."""
    command, words = command_line(), ["yingbi"]
    while isinstance(command, click.Group):
        if arguments and arguments[0] in {name for option in command.params for name in option.opts}:
            return None
        if not arguments or arguments[0] not in command.commands:
            return f"no such command: `{' '.join([*words, *arguments[:1]])}`"
        words.append(arguments[0])
        command, arguments = command.commands[arguments[0]], arguments[1:]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            command.make_context(" ".join(words), list(arguments))
    except click.UsageError as error:
        return f"`{' '.join(words)}`: {error.format_message()}"
    except click.exceptions.Exit:  # `--help` was asked for
        return None
    return None


# --- checks


def check_links(root: Path) -> Iterator[Finding]:
    """Links inside of the project lead to files, and their fragments to anchors."""
    for page in pages(root):
        for number, line in split_page(read(page))[0]:
            for match in LINK.finditer(CODE_SPAN.sub("`code`", line)):
                problem = _judge_link(match["target"], page, root)
                if problem is not None:
                    yield Finding(name_of(page, root), number, problem)


def _judge_link(target: str, page: Path, root: Path) -> str | None:
    if ELSEWHERE.match(target):
        return None
    path, _, fragment = target.partition("#")
    there = (page.parent / path).resolve() if path else page
    if path.startswith("/") or not there.is_relative_to(root.resolve()) or not there.exists():
        return f"link to `{target}`: no such file in the project"
    if fragment and (there.suffix != ".md" or fragment not in anchors_of(there)):
        return f"link to `{target}`: no such anchor"
    return None


def check_generated(root: Path) -> Iterator[Finding]:
    """Generated pages are what their generators write."""
    tools = root / "docs" / "tools"
    for name in GENERATORS:
        command = [sys.executable, str(tools / name), "--check"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if done.returncode:
            yield Finding(name_of(tools / name, root), 1, (done.stderr.strip().splitlines() or ["failed"])[-1])


def check_commands(root: Path) -> Iterator[Finding]:
    """Every `yingbi` in a shell block names an existing command with options and arguments that it takes."""
    for page in pages(root):
        for block in split_page(read(page))[1]:
            if block.language not in SHELLS:
                continue
            for number, line in join_lines(block):
                yield from (Finding(name_of(page, root), number, problem) for problem in _judge_line(line))


def _judge_line(line: str) -> Iterator[str]:
    if "yingbi" not in line:
        return
    try:
        commands = list(find_commands(line))
    except ValueError as error:
        yield f"cannot be read as shell: {error}"
        return
    yield from (problem for arguments in commands if (problem := judge_command(arguments)) is not None)


def check_readmes(root: Path) -> Iterator[Finding]:
    """Both README files have the same shell blocks, but for comments."""
    first, second = ([shell_lines(block) for block in _shell_blocks(root / name)] for name in READMES)
    for number, (one, other) in enumerate(zip(first, second, strict=False), 1):
        for line, (here, there) in enumerate(zip([*one, ""], [*other, ""], strict=False)):
            if here != there:
                yield Finding(READMES[1], 1, f"shell block {number}, line {line + 1}: expected `{here}`, got `{there}`")
                break
    if len(first) != len(second):
        yield Finding(READMES[1], 1, f"expected {len(first)} shell blocks, got {len(second)}")


def _shell_blocks(page: Path) -> list[Block]:
    return [block for block in split_page(read(page))[1] if block.language in SHELLS]


def shell_lines(block: Block) -> list[str]:
    """Return the lines of a shell block without comments, which are translated, and without empty lines."""
    lines = (re.sub(r"(?:^|\s+)#(?:\s.*)?$", "", line) for line in block.lines)
    return [line for line in lines if line.strip()]


def check_command_page(root: Path) -> Iterator[Finding]:
    """Every command is in docs/cli.md."""
    page = root / "docs" / "cli.md"
    text = read(page) if page.exists() else ""
    for words in list_commands(command_line()):
        if f"`{words}`" not in text:
            yield Finding(name_of(page, root), 1, f"`{words}` is not mentioned")


def check_catalogues(root: Path) -> Iterator[Finding]:
    """The catalogues of both languages have the same keys, and their texts the same placeholders."""
    folders = [root / "yingbi" / "locale" / language for language in LANGUAGES]
    for name in sorted({path.name for folder in folders for path in folder.glob("*.json")}):
        first, second = (read_texts(folder / name) for folder in folders)
        for key in sorted(first.keys() ^ second.keys()):
            absent = folders[0] if key in second else folders[1]
            yield Finding(name_of(absent / name, root), 1, f"`{key}` is not there")
        for key in sorted(first.keys() & second.keys()):
            if placeholders(first[key]) != placeholders(second[key]):
                yield Finding(name_of(folders[1] / name, root), 1, f"`{key}` has other placeholders")


def read_texts(path: Path) -> dict[str, str]:
    """Return one file of a catalogue; a file that is not there has no texts."""
    texts: dict[str, str] = json.loads(read(path)) if path.exists() else {}
    return texts


def placeholders(text: str) -> set[str]:
    """Return the names that `str.format` would fill in."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def check_private(root: Path) -> Iterator[Finding]:
    """No file of the project names a path of the machine it was written on, or the address of a package registry."""
    for path in list_files(root):
        for number, line in enumerate(read(path).splitlines(), 1):
            if MACHINE_PATH.search(line):
                yield Finding(name_of(path, root), number, "names a path of somebody's machine")
            if REGISTRY.search(line):
                yield Finding(name_of(path, root), number, "names the address of a package registry")


CHECKS: Final[tuple[Callable[[Path], Iterator[Finding]], ...]] = (
    check_links,
    check_generated,
    check_commands,
    check_readmes,
    check_command_page,
    check_catalogues,
    check_private,
)


def main() -> int:
    """Run all checks, print what they find; return 1 if they find anything."""
    found = [finding for check in CHECKS for finding in check(ROOT)]
    sys.stderr.write("".join(f"{finding}\n" for finding in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

"""Every registry is complete: codes, texts, commands, tables, markers, variables; nothing is there for nobody."""

import ast
import re
import string
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

import click
import typer

from ledger.tables import METADATA
from tests.lib.product_code import ROOT, Module, modules
from yingbi.cli import app
from yingbi.cli.text import LANGUAGES, load_catalogue
from yingbi.errors import CATALOGUE, ErrorCode
from yingbi.verify import Name, Verdict

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def nodes(name: str) -> Iterator[tuple[Module, ast.AST]]:
    """Yield all nodes of the modules whose names begin so."""
    for module in modules():
        if module.name.startswith(name):
            yield from ((module, node) for node in ast.walk(module.tree))


# --- error codes ------------------------------------------------------------------------------------------------------


def test_every_error_code_is_raised_somewhere() -> None:
    raised = {
        argument.attr
        for module, node in nodes("")
        if module.name != "yingbi/errors.py" and isinstance(node, ast.Call)
        for argument in node.args
        if isinstance(argument, ast.Attribute) and ast.unparse(argument.value) == "ErrorCode"
    }
    assert {code.name for code in ErrorCode} == raised
    assert set(CATALOGUE) == set(ErrorCode)


# --- what the command line says ---------------------------------------------------------------------------------------


def calls_of(function: str) -> Iterator[tuple[Module, ast.Call]]:
    for module, node in nodes("yingbi/cli/"):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == function:
            yield module, node


def used_keys() -> set[str]:
    """Return the keys that are used, those that are put together included."""
    found: set[str] = set()
    patterns: set[str] = set()
    for module, call in calls_of("t"):
        key = call.args[0]
        if isinstance(key, ast.Constant):
            found.add(str(key.value))
        elif isinstance(key, ast.JoinedStr):
            assert isinstance(key.values[0], ast.Constant), f"{module.name}: {ast.unparse(key)}"
            patterns.add(str(key.values[0].value))
        else:
            assert module.name == "yingbi/cli/text.py", f"{module.name}: {ast.unparse(call)}"
    assert patterns == set(DYNAMIC), "a new pattern of keys needs its rule here"
    for prefix, names in DYNAMIC.items():
        found |= {f"{prefix}{name}" for name in names()}
    return found


def field_names() -> set[str]:
    """Return the names that tables have: members of `fields`, columns of rows, and places in a report."""
    names = {"index", "expected", "actual"}
    for _, call in calls_of("show_rows"):
        columns = call.args[1]
        names |= set(ast.literal_eval(columns))
    for module, call in calls_of("show_fields"):
        assert ast.unparse(call.args[1]) == "fields", module.name
    for _, node in nodes("yingbi/cli/"):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "fields":
            assert isinstance(node.value, ast.Dict)
            names |= {ast.literal_eval(key) for key in node.value.keys if key is not None}
    return names


def check_names() -> set[str]:
    """Return the names of checks in the verifier: of its enumeration, and any that it writes as text."""
    names = {str(name) for name in Name}
    for _, node in nodes("yingbi/verify/"):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("passed", "failed", "missing", "not_checked"):
            first = node.args[0]
            if isinstance(first, ast.Constant):
                names.add(str(first.value))
    return {name.replace(" ", "_") for name in names}


def demo_steps() -> set[str]:
    return {str(ast.literal_eval(call.args[1])) for _, call in calls_of("say")}


DYNAMIC: dict[str, Callable[[], set[str]]] = {
    "field.": field_names,
    "check.": check_names,
    "verdict.": lambda: {verdict.name.lower() for verdict in Verdict},
    "demo.step.": demo_steps,
}


def test_every_text_is_used_and_every_used_text_is_there() -> None:
    for language in LANGUAGES:
        assert set(load_catalogue(language)) == used_keys(), language


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_translations_take_the_same_values() -> None:
    english, chinese = (load_catalogue(language) for language in LANGUAGES)
    for key, text in english.items():
        assert placeholders(text) == placeholders(chinese[key]), key
        assert text.strip() == text
        assert chinese[key].strip() == chinese[key]


def test_texts_get_the_values_that_they_take() -> None:
    english = load_catalogue("en")
    given: dict[str, set[str]] = {}
    for _, call in calls_of("t"):
        if isinstance(call.args[0], ast.Constant):
            given.setdefault(str(call.args[0].value), set()).update(str(item.arg) for item in call.keywords)
    assert {key: names for key, names in given.items() if names} == {
        key: placeholders(text) for key, text in english.items() if placeholders(text)
    }


def test_sentences_are_translated_and_written_as_the_language_does() -> None:
    english, chinese = (load_catalogue(language) for language in LANGUAGES)
    same = {key for key in english if english[key] == chinese[key]}
    assert all(key.startswith(("field.", "check.")) for key in same), same
    assert all(text.isascii() or "—" in text for text in english.values())
    for key, text in english.items():
        if text.endswith("."):
            assert chinese[key].endswith(("。", "？", "：")), key


def test_the_files_are_sorted_and_have_each_key_once() -> None:
    for language in LANGUAGES:
        everything: list[str] = []
        for path in sorted((ROOT / "yingbi" / "locale" / language).glob("*.json")):
            keys = re.findall(r'^  "([a-z0-9_.]+)": "', path.read_text("utf-8"), re.MULTILINE)
            assert keys == sorted(set(keys)), path
            assert path.stem == "shared" or {key.split(".")[0] for key in keys} == {path.stem}, path
            everything += keys
        assert sorted(everything) == sorted(load_catalogue(language))


# --- commands ---------------------------------------------------------------------------------------------------------


def commands(group: click.Command, *words: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command with the words that call it."""
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            yield from commands(command, *words, name)
    else:
        yield " ".join(words), group


COMMANDS = dict(commands(typer.main.get_command(app)))


def test_every_command_has_a_functional_test_named_after_it() -> None:
    text = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests" / "functional").glob("test_*.py"))
    names = re.findall(r"^\s*def test_(\w+)\(", text, re.MULTILINE)
    wanted = {command: command.replace(" ", "_").replace("-", "_") for command in COMMANDS}
    missing = [command for command, name in wanted.items() if not any(test.startswith(name) for test in names)]
    # `witness init` and `witness vkey`, `anchor …` and the like share one, which names all of them.
    named = [command for command in missing if not any(names_both(test, command) for test in names)]
    assert named == []


def names_both(test: str, command: str) -> bool:
    """Tell whether a test's name has the command's words, those of its group first."""
    group, *rest = command.replace("-", "_").split()
    return test.startswith(group) and all(re.search(rf"_{word}(_|$)", test) for word in rest)


def test_every_command_and_option_is_described_in_words_of_the_catalogue() -> None:
    texts = set(load_catalogue("en").values()) | set(load_catalogue("zh").values())
    for name, command in COMMANDS.items():
        assert command.help in texts, name
        for parameter in command.params:
            assert getattr(parameter, "help", None) in texts, f"{name}: {parameter.name}"


def test_every_command_that_answers_can_answer_in_json() -> None:
    # These write a file's bytes, say nothing, or serve.
    silent = {"log checkpoint", "log prove", "log entry", "log consistency", "log serve", "log erase"}
    silent |= {"log reset-mark", "log upgrade", "witness run", "anchor prove", "keys sign", "keys cosign", "demo"}
    silent |= {"catalog export", "catalog draft", "agreement odrl", "node upgrade", "node output", "node held show"}
    silent |= {"node run", "hub run", "hub upgrade"}
    with_json = {name for name, command in COMMANDS.items() if any("--json" in item.opts for item in command.params)}
    assert with_json == set(COMMANDS) - silent


def test_no_secret_is_an_option() -> None:
    for name, command in COMMANDS.items():
        for parameter in command.params:
            secret = re.search(r"passphrase|password|secret|token|seed", str(parameter.name))
            # The seed of made-up data is no secret: with it, somebody else makes the same.
            is_public = (name, parameter.name) in {("synth", "seed"), ("data twin", "seed")}
            assert secret is None or is_public or str(parameter.name).endswith("_file"), f"{name}: {parameter.name}"


# --- tables, markers, variables ---------------------------------------------------------------------------------------


def test_every_table_appears_in_the_history_and_nothing_else_does() -> None:
    made: list[str] = []
    columns: dict[str, set[str]] = {}
    for _, node in nodes("ledger/migrations/versions/"):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "op.create_table":
            name = ast.literal_eval(node.args[0])
            made.append(name)
            columns[name] = {
                ast.literal_eval(item.args[0])
                for item in node.args[1:]
                if isinstance(item, ast.Call) and ast.unparse(item.func) == "sa.Column"
            }
    assert sorted(made) == sorted(METADATA.tables)
    assert columns == {name: {column.name for column in table.columns} for name, table in METADATA.tables.items()}


def test_every_table_is_read_or_written_by_the_store() -> None:
    store = next(module for module in modules() if module.name == "ledger/store_sql.py")
    names = next(module for module in modules() if module.name == "ledger/tables.py").exported or []
    for name in set(names) - {"METADATA"}:
        assert re.search(rf"\b{name}\.c\.|\({name}\)", store.text), name


def test_every_marker_is_described_and_used() -> None:
    described = dict(line.split(": ", 1) for line in PROJECT["tool"]["pytest"]["ini_options"]["markers"])
    own = {"parametrize", "usefixtures", "skipif", "skip", "xfail", "filterwarnings"}
    used = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r"pytest\.mark\.(\w+)", path.read_text("utf-8"))
    } - own
    assert used == set(described)
    assert all(len(text.split()) > 2 for text in described.values())


def test_every_variable_of_the_environment_is_described() -> None:
    named = {name for module in modules() for name in re.findall(r"\bYINGBI_[A-Z_]+\b", module.text)}
    for path in (ROOT / "docs" / "cli.md", ROOT / "docs" / "tools" / "cli.py"):
        described = set(re.findall(r"\bYINGBI_[A-Z_]+\b", path.read_text("utf-8")))
        assert named <= described, path.name


def test_this_file_looks_at_something() -> None:
    assert len(modules()) > 80
    assert len(COMMANDS) > 20
    assert len(used_keys()) > 100

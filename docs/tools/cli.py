"""Write docs/cli.md from the command line itself: `python docs/tools/cli.py [--check]`."""

import argparse
import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # a checkout needs no installation
os.environ["YINGBI_LANG"] = "en"  # help texts are chosen when the commands are defined

import click  # noqa: E402
import typer.main  # noqa: E402
import typer.utils  # noqa: E402

from yingbi.cli import app  # noqa: E402

PAGE: Final = ROOT / "docs" / "cli.md"
COMMAND: Final = "python docs/tools/cli.py"

HEAD: Final = f"""# Command line

Generated from `yingbi/cli/` by `{COMMAND} > docs/cli.md`; do not edit. With `--check` it compares.

`yingbi COMMAND --help` says the same in the terminal. `python -m yingbi` is the same program. `python -m yingbi.verify`
is another one: the verifier alone, which needs nothing but `cryptography`; it has its own `--help`.

- Help, tables and verdicts are in English or Chinese: `YINGBI_LANG` (`en`, `zh`), else the locale. Error messages are
  English.
- With `--json` the answer is JSON on standard output, and an error that has a code is JSON on standard error.
- Exit codes 0 to 3 are verdicts of the verifier, or say that evidence does not hold (1); all others are in
  [errors.md](errors.md#exit-codes).
- An input file named `-` is standard input; key files are never read from there.

| variable | what it sets |
| --- | --- |
| `YINGBI_HUB` | the hub's folder, as `--hub` does |
| `YINGBI_HUB_DATABASE` | the hub's database URL, before that of `hub.toml`; the place for a URL with a password |
| `YINGBI_LANG` | language of the terminal, `en` or `zh` |
| `YINGBI_LOG` | the log's folder, as `--log` does |
| `YINGBI_LOG_DATABASE` | the log's database URL, before that of `log.toml`; the place for a URL with a password |
| `YINGBI_LOG_LEVEL` | level of the program's own messages on standard error, `WARNING` by default |
| `YINGBI_NODE` | the node's folder, as `--node` does |
| `YINGBI_PROFILE` | with whose key and to which hub, as `--profile` does: a file, or a name in `~/.config/yingbi` |
| `YINGBI_WITNESS` | the witness's folder, as `--witness` does |

Commands of `yingbi log` and `yingbi hub` need the extra `hub`, `yingbi demo` both `hub` and `node`, those of `yingbi
witness` the extra `witness` or `hub`,
those of `yingbi anchor` both `hub` and `chain`, as does every writing command of a log that has an anchor.
`yingbi federation run` needs the extra `sdk`, as does a card of `yingbi federation model`; ONNX needs `models`.
`yingbi keys`, `yingbi verify`, and `yingbi log audit` of a folder or an address need no extra.

## Commands
"""


def walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that can be run, with the words that run it."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name, inner in command.commands.items():
        yield from walk(inner, f"{path} {name}")


def render() -> str:
    """Return the whole page."""
    commands = list(walk(typer.main.get_command(app), "yingbi"))
    index = table(("command", "what it does"), [(f"[`{path}`](#{slug(path)})", text(it.help)) for path, it in commands])
    return "\n".join([HEAD, index, *(section(path, command) for path, command in commands)])


def slug(path: str) -> str:
    """Return the anchor of a command's heading."""
    return path.replace(" ", "-")


def section(path: str, command: click.Command) -> str:
    """Describe one command: usage, arguments, options."""
    usage = " ".join([path, *command.collect_usage_pieces(click.Context(command))])
    helps = argument_helps(command)
    arguments = [
        (f"`{argument.make_metavar(click.Context(command))}`", kind(argument), helps[str(argument.name)])
        for argument in command.params
        if isinstance(argument, click.Argument)
    ]
    options = [row_of_option(option) for option in command.params if isinstance(option, click.Option)]
    parts = [f"## {path}\n", text(command.help) + "\n", f"`{usage}`\n"]
    parts += [table(("argument", "form", "meaning"), arguments)] if arguments else []
    parts += [table(("option", "form", "default", "meaning"), options)] if options else []
    return "\n".join(parts)


def argument_helps(command: click.Command) -> dict[str, str]:
    """Return the help of a command's arguments, as their definitions give it; click does not keep it."""
    callback = command.callback
    if callback is None:
        return {}
    found = typer.utils.get_params_from_function(inspect.unwrap(callback))
    return {name: text(getattr(meta.default, "help", None)) for name, meta in found.items()}


def row_of_option(option: click.Option) -> tuple[str, str, str, str]:
    """Describe an option: its names, what it takes, what it is by default, what it means."""
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    return names, kind(option), default(option), text(option.help)


def kind(parameter: click.Parameter) -> str:
    """Say in words what a parameter takes."""
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return "flag"
    words = kind_of_type(parameter.type)
    return f"{words}, may be repeated" if parameter.multiple or parameter.nargs == -1 else words


def kind_of_type(form: click.ParamType) -> str:
    """Say in words what a type of click takes."""
    if isinstance(form, click.Choice):
        return " or ".join(f"`{choice}`" for choice in form.choices)
    if isinstance(form, click.IntRange | click.FloatRange):
        number = "integer" if isinstance(form, click.IntRange) else "number"
        return f"{number} from {form.min} to {form.max}" if form.max is not None else f"{number} from {form.min} on"
    if isinstance(form, click.Path):
        return {(True, False): "file", (False, True): "folder"}.get((form.file_okay, form.dir_okay), "path")
    return form.name


def default(option: click.Option) -> str:
    """Say what an option is when it is not given."""
    if option.required:
        return "required"
    value = f"`{option.opts[0]}`" if option.is_flag and option.default else f"`{option.default}`"
    variable = [f"`{option.envvar}`"] if isinstance(option.envvar, str) else []
    return " or ".join([*variable, *([] if option.default is None or option.default is False else [value])])


def text(help_: str | None) -> str:
    """Return a help text as one cell of a table."""
    return " ".join((help_ or "").split()).replace("|", "\\|")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Draw a Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in [columns, ["---" for _ in columns], *rows]]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Print the page, or tell whether the file is current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with docs/cli.md; exit 1 if it differs")
    page = render()
    if not parser.parse_args().check:
        sys.stdout.write(page)
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
        return 0
    sys.stderr.write(f"{PAGE.name} is out of date: run `{COMMAND} > docs/cli.md`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())

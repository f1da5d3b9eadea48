"""The command: sets the scene, plays the story, and ends with 0 only if every step held."""

import shutil
import signal
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer
from rich.console import Console

from yingbi.cli.output import missing_extra
from yingbi.cli.text import t
from yingbi.errors import ConflictError, ErrorCode

__all__ = ["demo"]

_MARK = "made-by-yingbi-demo"


def demo(
    folder: Annotated[Path, typer.Option("--folder", help=t("demo.option.folder"), file_okay=False)] = Path(
        "build/demo"
    ),
    keep: Annotated[bool, typer.Option("--keep-running", help=t("demo.option.keep"))] = False,
) -> None:
    """Play the story in `folder`, made anew; end with 0 only if every step is as it must be."""
    try:
        import ledger.home  # noqa: F401 the hub is a process of its own: what it needs is missed here, not there
    except ImportError as error:
        raise missing_extra("hub", error) from error
    try:
        from yingbi.cli.demo import setting, story
        from yingbi.cli.demo.stage import Stage
    except ImportError as error:
        raise missing_extra("node", error) from error
    place = _clear(folder)
    console, began = Console(highlight=False), monotonic()
    with Stage(place) as stage:
        _say(console, "hub")
        setting.found_hub(stage)
        cast, url = setting.start_hub(stage)
        try:
            _say(console, "partners")
            setting.admit_partners(cast)
            _say(console, "units")
            setting.open_units(stage, cast, url)
            _say(console, "agreement")
            setting.agree(cast)
            usual = {"agreement": setting.AGREEMENT, "purpose": setting.PURPOSE}
            cast.write_profiles(place / "profiles", {setting.BANK: usual})
            story.ask(console, stage, cast)
            if not keep:
                story.stop_everything(console, stage, cast)
            story.audit(console, stage, cast)
        finally:
            cast.close()
        console.print()
        console.print(t("demo.done", folder=folder, seconds=round(monotonic() - began)), soft_wrap=True)
        if keep:
            _serve(console, url, place)


def _serve(console: Console, url: str, place: Path) -> None:
    """Leave everything running until somebody ends it."""
    console.print(t("demo.serving", url=url, profiles=place / "profiles"), soft_wrap=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print(t("demo.stopping"))


def _clear(folder: Path) -> Path:
    """Return an empty folder; what an earlier demonstration left is removed, and nothing else is.

    Raises:
        ConflictError: the folder holds something else.
    """
    place = folder.absolute()
    if place.exists() and any(place.iterdir()):
        if not (place / _MARK).exists():
            raise ConflictError(
                ErrorCode.NODE_EXISTS, f"folder `{folder}` holds something else", hint="give another `--folder`"
            )
        shutil.rmtree(place)
    place.mkdir(parents=True, exist_ok=True)
    (place / _MARK).touch()
    return place


def _say(console: Console, step: str) -> None:
    console.print()
    console.print(t(f"demo.step.{step}"), style="bold")

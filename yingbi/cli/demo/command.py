"""The command: sets the scene, plays the story, and ends with 0 only if every step held."""

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer

from yingbi.cli.demo.telling import Teller, say
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
    federations: Annotated[
        bool, typer.Option("--federations/--no-federations", help=t("demo.option.federations"))
    ] = True,
) -> None:
    """Play the story in `folder`, made anew; end with 0 only if every step is as it must be."""
    try:
        import ledger.home  # noqa: F401 the hub is a process of its own: what it needs is missed here, not there
    except ImportError as error:
        raise missing_extra("hub", error) from error
    try:
        from yingbi.cli.demo import federation, setting, story
        from yingbi.cli.demo.stage import Stage
    except ImportError as error:
        raise missing_extra("node", error) from error
    with _cleared(folder) as (place, was_there), Stage(place) as stage:
        console, began = Teller(), monotonic()
        if was_there:
            console.print(t("demo.removed", folder=folder), soft_wrap=True)
        say(console, "hub")
        setting.found_hub(stage)
        cast, url = setting.start_hub(stage)
        try:
            say(console, "partners")
            setting.admit_partners(cast)
            say(console, "units")
            setting.open_units(stage, cast, url)
            say(console, "agreement")
            setting.agree(cast)
            story.ask(console, stage, cast)
            if federations:
                say(console, "federation.units")
                federation.open_funds(stage, cast, url)
            usual = {"agreement": setting.AGREEMENT, "purpose": setting.PURPOSE}
            cast.write_profiles(place / "profiles", {setting.BANK: usual})
            trained = federation.play(console, stage, cast) if federations else {}
            if not keep:
                story.stop_everything(console, stage, cast)
            story.audit(console, stage, cast, trained)
        finally:
            cast.close()
        console.print()
        console.print(t("demo.done", folder=folder, seconds=round(monotonic() - began)), soft_wrap=True)
        if keep:
            _serve(console, url, place)


def _serve(console: Teller, url: str, place: Path) -> None:
    """Leave everything running until somebody ends it."""
    console.print(t("demo.serving", url=url, profiles=place / "profiles"), soft_wrap=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print(t("demo.stopping"))


@contextmanager
def _cleared(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Yield an empty folder that is this demonstration's alone, and whether an older one was removed from it.

    Raises:
        ConflictError: the folder holds something else, or a demonstration is running in it.
    """
    import fcntl  # there is none where the rest of the command line still works

    place = folder.absolute()
    mark = place / _MARK
    if place.exists() and any(place.iterdir()) and not mark.exists():
        raise ConflictError(
            ErrorCode.NODE_EXISTS, f"folder `{folder}` holds something else", hint="give another `--folder`"
        )
    place.mkdir(parents=True, exist_ok=True)
    with mark.open("a", encoding="utf-8") as held:
        # The mark itself is never removed, so that all who lock it lock the same file; a process that ends lets it go.
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                ErrorCode.NODE_EXISTS,
                f"a demonstration is running in folder `{folder}`",
                hint="end it in its terminal, or give another `--folder`",
            ) from None
        old = [path for path in place.iterdir() if path.name != _MARK]
        for path in old:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        yield place, bool(old)

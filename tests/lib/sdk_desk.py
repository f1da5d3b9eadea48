"""A desk with the command line and a profile, at a hub in this process that keeps to the contract."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.lib.command_line import Done, run
from tests.lib.sdk_hub import AGREEMENT, PARTNER, PURPOSE, SdkHub, fixed_key
from yingbi.clock import SystemClock
from yingbi.keys import save_signing_key
from yingbi.sealing import save_result_key

__all__ = ["BY_STREET", "Desk", "open_desk"]

BY_STREET = "SELECT street, COUNT(*) AS n FROM tax.annual_filings GROUP BY street"


class Desk:
    """A hub in this process, and a profile of its partner."""

    def __init__(self, folder: Path) -> None:
        self.hub = SdkHub()
        self.folder = folder
        save_signing_key(fixed_key(PARTNER), folder / "key.pem")
        save_result_key(self.hub.result_key, folder / "result.pem")
        (folder / "trust.json").write_bytes(self.hub.trust())
        self.profile = folder / "bank.toml"
        members = {
            "url": "https://hub.example",
            "party": PARTNER,
            "key": "key.pem",
            "result_key": "result.pem",
            "trust": "trust.json",
            "agreement": AGREEMENT,
            "purpose": PURPOSE,
        }
        self.profile.write_text("".join(f'{name} = "{value}"\n' for name, value in members.items()))

    def run(self, *words: object, lang: str = "en", stdin: bytes = b"") -> Done:
        return run(*words, env={"YINGBI_LANG": lang, "YINGBI_PROFILE": str(self.profile)}, stdin=stdin)

    def submitted(self) -> str:
        name: str = self.run("job", "submit", "--sql", BY_STREET, "--json").ok().json["job"]
        return name


def open_desk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Return a desk in a folder; until the test ends, all clients of this process talk to its hub, at its time."""
    desk = Desk(folder)
    monkeypatch.setattr(SystemClock, "now", lambda _: desk.hub.clock.now())
    monkeypatch.setattr("yingbi.client.connection.httpx.Client", _client_of(desk.hub))
    return desk


def _client_of(hub: SdkHub) -> Callable[..., httpx.Client]:
    real = httpx.Client
    return lambda **options: real(**{**options, "transport": hub.network})

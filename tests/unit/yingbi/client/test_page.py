"""docs/sdk.md is true: what it shows in Python runs as it stands, one block after the other."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.lib.sdk_hub import SdkHub
from yingbi import client as package
from yingbi.client.profiles import read_profile

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "sdk.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_python_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = SdkHub()

    def connect(url: str, *, agreement: str, purpose: str, **files: str) -> package.Client:
        assert set(files) == {"party", "key", "result_key", "trust"}
        return hub.connect(url=url, party=files["party"], agreement=agreement, purpose=purpose)

    monkeypatch.setattr(package, "connect", connect)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(block, names)
    assert names["frame"]["n"].tolist() == [120, package.SUPPRESSED]
    assert (tmp_path / "job.json").exists()
    shown = capsys.readouterr().out
    for word in ("did you mean `制造`", "of rows is never available", "would be allowed", "output.released"):
        assert word in shown


def test_the_profile_of_the_page_is_one(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    (tmp_path / "bank.toml").write_text(text)
    settings = read_profile(tmp_path / "bank.toml")
    assert settings.on_behalf_of == "partner:bank-a"
    assert settings.key == tmp_path / "li.pem"
    assert read_profile(tmp_path / "bank.toml", agreement="agr-2", purpose=None).agreement == "agr-2"


def test_every_member_of_a_profile_is_on_the_page() -> None:
    from yingbi.client import profiles

    for member in profiles._TEXTS | profiles._FILES | {profiles._PASSPHRASE}:
        assert member in PAGE

"""docs/sdk.md is true: its Python runs as it stands where `make serve` runs, and prints what stands below it."""

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from tests.lib.town import running_town
from yingbi.client.profiles import read_profile

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sdk.md").read_text("utf-8")
PYTHON = re.compile(r"```python\n(.*?)```(?:\n\n```\n(.*?)```)?", re.DOTALL)


def same(text: str) -> str:
    """Leave out what no two runs agree on: the numbers of entries, and blanks at the ends of lines."""
    return re.sub(r"^\d+ (?=[a-z_]+\.[a-z_]+$)|[ ]+$", "", text.strip(), flags=re.MULTILINE)


def test_the_python_of_the_page_runs_and_prints_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    names: dict[str, Any] = {}
    with running_town(tmp_path / "build" / "demo"):
        for block, shown in PYTHON.findall(PAGE):
            printed = StringIO()
            with redirect_stdout(printed):
                exec(block, names)
            assert same(printed.getvalue()) == same(shown), block
    assert (tmp_path / "build" / "demo" / "job.json").exists()


def test_the_profile_of_the_page_is_one(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "bank.toml").write_text(text)
    settings = read_profile(tmp_path / "bank.toml")
    assert settings.on_behalf_of == "partner:bank-a"
    assert settings.key == tmp_path / "li.pem"
    assert read_profile(tmp_path / "bank.toml", agreement="agr-2", purpose=None).agreement == "agr-2"


def test_every_member_of_a_profile_is_on_the_page() -> None:
    from yingbi.client import profiles

    for member in profiles._TEXTS | profiles._FILES | {profiles._PASSPHRASE}:
        assert member in PAGE

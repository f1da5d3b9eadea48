"""The section of docs/sdk.md on federations is true: its Python runs as it stands, and its training file is one."""

import inspect
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from tests.lib.sdk_federation import FederationHub
from yingbi.client import AsyncClient, Client
from yingbi.client.training_file import read_training_file
from yingbi.client.training_questions import Arguments

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sdk.md").read_text("utf-8")
SECTION = PAGE.partition("## Train with several units")[2].partition("\n## ")[0]
PYTHON = re.compile(r"```py\n(.*?)```(?:\n\n```\n(.*?)```)?", re.DOTALL)


def test_the_python_of_the_section_runs_and_prints_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    blocks = PYTHON.findall(SECTION)
    assert len(blocks) == 4
    with FederationHub().connect() as client:
        names: dict[str, Any] = {"client": client}
        for block, shown in blocks:
            printed = StringIO()
            with redirect_stdout(printed):
                exec(block, names)
            assert printed.getvalue().strip() == shown.strip(), block


def test_the_training_file_of_the_section_is_one() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", SECTION, re.DOTALL)
    asked = read_training_file(text.encode())
    assert asked.pop("purpose") == "credit.model"
    with FederationHub().connect() as client:
        assert client.training(**asked).questions[0].question.privacy is not None


def test_every_argument_of_a_training_is_in_the_section() -> None:
    for name in inspect.signature(Client.training).parameters:
        assert name in ("self", "recipe") or f"`{name}`" in SECTION, name


def test_both_ways_of_asking_take_the_same() -> None:
    asked = inspect.signature(Client.training).parameters.values()
    required = {one.name for one in asked if one.default is one.empty} - {"self", "recipe"}
    assert required == Arguments.__required_keys__
    assert {one.name for one in asked} - {"self", "recipe"} - required == Arguments.__optional_keys__
    assert inspect.signature(AsyncClient.training).parameters == inspect.signature(Client.training).parameters

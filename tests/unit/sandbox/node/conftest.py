"""A hub, a node that follows it, and a bank that may ask."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lib.agents import Scene, prepare_scene


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def scene(published: Path, tmp_path: Path) -> Iterator[Scene]:
    folder = Path(shutil.copytree(published, tmp_path / "scene"))
    with Scene(folder) as scene:
        yield scene

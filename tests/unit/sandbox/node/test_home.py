"""A node's folder: made once, private, refused where it is not one or of another version."""

import json
from pathlib import Path

import pytest
from sqlalchemy import inspect

from sandbox.catalog import tables as catalogue_tables
from sandbox.database import METADATA
from sandbox.disclosure import tables as disclosure_tables
from sandbox.disclosure.history import tables as history_tables
from sandbox.isolation.limits import Limits
from sandbox.node import joint_tables
from sandbox.node import tables as node_tables
from sandbox.node.home import CONFIG_NAME, NodeConfig, NodeHome, upgrade_node
from sandbox.node.running import Running
from sandbox.privacy import tables as privacy_tables
from yingbi.errors import (
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    SandboxError,
    TamperDetectedError,
)

CONFIG = NodeConfig(name="node:futian-tax", owner="unit:futian-tax", isolation="none-for-development")


def test_a_node_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "node"
    home = NodeHome.create(folder, CONFIG)
    assert home.config == CONFIG
    assert {path.name for path in folder.iterdir() if "sqlite-" not in path.name} == {
        CONFIG_NAME,
        "node.sqlite",
        "data",
        "registry",
        "scratch",
    }
    for path in (folder, *folder.iterdir()):
        if path.name != CONFIG_NAME:
            assert path.stat().st_mode & 0o077 == 0, path
    with pytest.raises(ConflictError) as caught:
        NodeHome.create(folder, CONFIG)
    assert caught.value.code is ErrorCode.NODE_EXISTS


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    limits = Limits(threads=1, wall_s=7.5, memory_bytes=1 << 28)
    config = NodeConfig(name="node:a", owner="unit:b", isolation="none-for-development", limits=limits)
    NodeHome.create(tmp_path / "node", config).close()
    assert NodeHome.open(tmp_path / "node").config == config


def test_the_migrations_make_the_tables_that_the_code_declares(tmp_path: Path) -> None:
    declared = (catalogue_tables, disclosure_tables, history_tables, node_tables, joint_tables, privacy_tables)
    assert all(module.METADATA is METADATA for module in declared)
    home = NodeHome.create(tmp_path / "node", CONFIG)
    found = inspect(home.database)
    assert set(found.get_table_names()) - {"sandbox_alembic_version"} == set(METADATA.tables)
    for name, table in METADATA.tables.items():
        columns = {column["name"]: column["nullable"] for column in found.get_columns(name)}
        assert columns == {column.name: bool(column.nullable) for column in table.columns}, name
        keys = found.get_pk_constraint(name)["constrained_columns"]
        assert keys == [column.name for column in table.primary_key.columns], name
        assert {index["name"] for index in found.get_indexes(name)} == {index.name for index in table.indexes}, name
    home.close()


BAD_CONFIGS = {
    "a name that is no node": 'name = "unit:a"\nowner = "unit:b"\n',
    "an owner that is no unit": 'name = "node:a"\nowner = "partner:b"\n',
    "no owner": 'name = "node:a"\n',
    "an unknown isolation": 'name = "node:a"\nowner = "unit:b"\nisolation = "none"\n',
    "an unknown member": 'name = "node:a"\nowner = "unit:b"\nisolate = false\n',
    "an unknown limit": 'name = "node:a"\nowner = "unit:b"\n[limits]\nmemory = 1\n',
    "a limit of zero": 'name = "node:a"\nowner = "unit:b"\n[limits]\nthreads = 0\n',
    "a number as name": 'name = 1\nowner = "unit:b"\n',
    "limits that are no table": 'name = "node:a"\nowner = "unit:b"\nlimits = 3\n',
    "no TOML": "name = ",
}


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_a_wrong_configuration_is_refused(name: str, tmp_path: Path) -> None:
    NodeHome.create(tmp_path / "node", CONFIG).close()
    (tmp_path / "node" / CONFIG_NAME).write_text(BAD_CONFIGS[name])
    with pytest.raises(InvalidRequestError) as caught:
        NodeHome.open(tmp_path / "node")
    assert caught.value.code is ErrorCode.CONFIG_INVALID
    assert CONFIG_NAME in caught.value.message


def test_a_folder_without_a_node_says_what_makes_one(tmp_path: Path) -> None:
    for use in (NodeHome.open, upgrade_node):
        with pytest.raises(NotFoundError) as caught:
            use(tmp_path)
        assert "yingbi node init" in str(caught.value.hint)


def test_tables_of_another_version_are_not_used(tmp_path: Path) -> None:
    home = NodeHome.create(tmp_path / "node", CONFIG)
    with home.database.begin() as connection:
        connection.exec_driver_sql("update sandbox_alembic_version set version_num = '0000'")
    home.close()
    with pytest.raises(InvalidRequestError) as caught:
        NodeHome.open(tmp_path / "node")
    assert "yingbi node upgrade" in str(caught.value.hint)


def test_an_upgrade_of_what_is_current_changes_nothing(tmp_path: Path) -> None:
    NodeHome.create(tmp_path / "node", CONFIG).close()
    upgrade_node(tmp_path / "node")
    NodeHome.open(tmp_path / "node").close()


def test_a_database_that_is_none_is_damage(tmp_path: Path) -> None:
    NodeHome.create(tmp_path / "node", CONFIG).close()
    for path in (tmp_path / "node").glob("node.sqlite*"):
        path.write_bytes(json.dumps(["not a database"] * 500).encode())
    with pytest.raises(SandboxError) as caught:
        NodeHome.open(tmp_path / "node")
    assert isinstance(caught.value, TamperDetectedError)


def test_what_dead_computations_left_is_removed(tmp_path: Path) -> None:
    home = NodeHome.create(tmp_path / "node", CONFIG)
    (home.scratch / "left" / "deep").mkdir(parents=True)
    (home.scratch / "left" / "deep" / "spill").write_bytes(b"x")
    home.clear_scratch()
    assert list(home.scratch.iterdir()) == []


def test_only_who_finds_the_node_free_sweeps_it(tmp_path: Path) -> None:
    swept: list[str] = []
    running = Running(tmp_path / "running")
    with running.share_node(lambda: swept.append("first")), running.share_node(lambda: swept.append("second")):
        assert swept == ["first"]
    with running.share_node(lambda: swept.append("third")):
        pass
    assert swept == ["first", "third"]

"""The contract with Flower: what we use of it is there and means what we take it for; a new version has to pass it."""

import ast
import inspect
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import flwr.supernode.start_client_internal as node_loop
import pytest
from flwr.server.superlink.linkstate import SqlLinkState
from flwr.supercore.inflatable.inflatable_utils import pull_objects
from flwr.superlink import main as superlink_main

from federated.flower import QUIET, compat
from tests.lib.product_code import PACKAGES, ROOT

# Flower's own migrations are configured as Alembic would rather not have it.
OLD_SETTINGS = pytest.mark.filterwarnings("ignore:No path_separator:DeprecationWarning")


def test_the_version_is_the_one_that_is_pinned() -> None:
    assert version("flwr") == compat.VERSION == "1.41.0"


def test_nothing_is_told_to_anybody_outside() -> None:
    assert {name: os.environ[name] for name in QUIET} == {
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
    }


def test_every_name_that_is_listed_is_there() -> None:
    assert [name for name in compat.__all__ if not hasattr(compat, name)] == []


def test_flower_is_imported_by_one_module_and_by_its_apps() -> None:
    texts = {path: path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    importers = {
        path.relative_to(ROOT).as_posix()
        for path, text in texts.items()
        if "flwr" in text and "flwr" in _imported(ast.parse(text))
    }
    apps = {name for name in importers if re.fullmatch(r"federated/apps/\w+/\w+\.py", name)}
    assert importers - apps == {"federated/flower/compat.py"}


def _imported(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Import):
            found |= {item.name.split(".")[0] for item in node.names}
    return found


def test_of_time_the_nodes_loop_uses_three_sleeps_and_nothing_else() -> None:
    """`run_supernode` puts another `time` in its place."""
    used = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(inspect.getsource(node_loop)))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("time.")
    ]
    assert sorted(used) == ["time.sleep(0.5)", "time.sleep(0.5)", "time.sleep(3)"]
    attributes = re.findall(r"\btime\.(\w+)", inspect.getsource(node_loop))
    assert set(attributes) == {"sleep"}


def test_the_node_waits_a_second_for_objects_that_are_on_their_way() -> None:
    """`run_supernode` has it ask again sooner, by parameters that the node leaves as they are."""
    calls = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(inspect.getsource(node_loop)))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pull_objects"
    ]
    assert len(calls) == 1
    assert "backoff" not in calls[0]
    parameters = inspect.signature(pull_objects).parameters
    assert (parameters["initial_backoff"].default, parameters["backoff_cap"].default) == (1, 10)


def test_the_layers_that_are_left_out_do_nothing_without_their_plugins() -> None:
    names = [layer.cls.__name__ for layer in superlink_main._get_middleware()]  # type: ignore[attr-defined]
    assert {
        "ControlEventLogMiddleware",
        "ControlLicenseMiddleware",
        "ControlSensitiveResponseMiddleware",
        "FleetEventLogMiddleware",
        "RuntimeTracingMiddleware",
    } <= set(names)
    with pytest.raises(ImportError):
        __import__("flwr.ee")


@OLD_SETTINGS
def test_what_is_called_less_often_is_there(tmp_path: Path) -> None:
    settings = compat.SuperLinkSettings(database=tmp_path / "state.db", superexec_secret=b"s" * 32, apps=())
    app = compat.create_superlink(settings)
    names = {getattr(layer.cls, "__name__", "") for layer in app.user_middleware}
    assert {"ControlAuthenticationMiddleware", "NodeAuthMiddleware", "ProtobufTranslationMiddleware"} <= names
    assert not names & {"RuntimeTracingMiddleware", "FleetEventLogMiddleware"}
    for name in ("_cleanup_expired_task_tokens", "store_traffic", "list_apps", "store_app", "delete_app"):
        assert callable(getattr(SqlLinkState, name)), name
    state = app.state.linkstate_factory.state()
    for part in (state, state.object_store):
        with part.session() as outer, part.session() as inner:
            assert outer is inner, "one transaction, however deep"
    assert app.state.superexec_auth_secret == b"s" * 32
    assert app.state.enable_supernode_auth is True


@OLD_SETTINGS
def test_apps_are_stored_and_old_ones_removed(tmp_path: Path) -> None:
    from tests.lib.flower_world import small_app

    def stored(*bundles: bytes) -> list[str]:
        apps = [small_app(body) for body in bundles]
        settings = compat.SuperLinkSettings(
            database=tmp_path / "state.db",
            superexec_secret=b"s" * 32,
            apps=tuple(
                compat.StoredApp(id=app.id, sha256=app.sha256, content=app.content, verifications={}) for app in apps
            ),
        )
        state = compat.create_superlink(settings).state.linkstate_factory.state()
        fabs = [
            state.get_app(compat.NOOP_FEDERATION_ID, "@yingbi/small-app", small_app(body).sha256)
            for body in (b"a = 1\n", b"a = 2\n")
        ]
        return [fab.hash_str[:8] if fab else "" for fab in fabs]

    first, second = (small_app(body).sha256[:8] for body in (b"a = 1\n", b"a = 2\n"))
    assert stored(b"a = 1\n") == [first, ""]
    assert stored(b"a = 2\n") == ["", second]
    assert stored() == ["", ""]


@pytest.mark.parametrize(
    "module", ["superlink", "supernode_process", "executor", "server_executor", "local_grid", "cage_entry"]
)
def test_processes_begin_without_telling_anybody(module: str) -> None:
    code = (
        f"import federated.flower.{module}, os, sys;"
        "from flwr.supercore import telemetry;"
        "sys.exit(telemetry.FLWR_TELEMETRY_ENABLED != '0' or os.environ['FLWR_DISABLE_UPDATE_CHECK'] != '1')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={"PATH": "/usr/bin"}, check=False)
    assert done.returncode == 0

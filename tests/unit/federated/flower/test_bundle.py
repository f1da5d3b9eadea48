"""Bundles: the same bytes everywhere, named by digest, and read by Flower's own code."""

import ast
import hashlib
import io
import json
import sys
import zipfile
from pathlib import Path

import pytest
from flwr.cli.config_utils import get_fab_metadata
from flwr.cli.install import install_from_fab
from flwr.supercore.fab import Fab
from flwr.supernode.start_client_internal import _verify_fab

from federated.flower.bundle import (
    Bundle,
    build_bundle,
    horizontal_bundle,
    key_id,
    open_bundle,
    parse_signature,
    sign_bundle,
    stored_app,
    trusted_entities,
    verify_bundle,
)
from yingbi.clock import FixedClock
from yingbi.errors import InvalidRequestError, SandboxError, VerificationError
from yingbi.keys import SigningKey

CONFIG = b"""
[project]
name = "small-app"
version = "1.0.0"
[tool.flwr.app]
publisher = "yingbi"
[tool.flwr.app.components]
serverapp = "small.server:app"
clientapp = "small.client:app"
"""
FILES = {"pyproject.toml": CONFIG, "small/client.py": b"app = 1\n", "small/server.py": b"app = 2\n"}


@pytest.fixture
def small() -> Bundle:
    return build_bundle(FILES)


def test_the_digest_of_given_files_never_changes(small: Bundle) -> None:
    assert small.digest == "sha256:0e893484b1e66df0479279a7f4a328228886ef1af94d0a03c2891de4e4333f1a"
    assert build_bundle(dict(reversed(FILES.items()))) == small
    assert small.id == "@yingbi/small-app"


def test_what_goes_in_comes_out(small: Bundle) -> None:
    assert open_bundle(small.content, digest=small.digest) == FILES


def test_flower_reads_it(small: Bundle, tmp_path: Path) -> None:
    assert get_fab_metadata(small.content) == ("yingbi/small-app", "1.0.0")
    place = install_from_fab(small.content, tmp_path, skip_prompt=True)
    assert {str(path.relative_to(place)) for path in place.rglob("*.py")} == {"small/client.py", "small/server.py"}


def test_flowers_node_verifies_our_signature(small: Bundle, key: SigningKey, clock: FixedClock) -> None:
    app = stored_app(small, [sign_bundle(small, key, clock=clock)])
    trusted = json.loads(trusted_entities([key.public]))
    assert set(trusted) == {key_id(key.public)}
    assert _verify_fab(Fab(app.sha256, app.content, dict(app.verifications)), trusted)
    assert not _verify_fab(Fab(app.sha256, app.content + b"x", dict(app.verifications)), trusted)
    other = SigningKey.from_seed(bytes(32))
    assert not _verify_fab(
        Fab(app.sha256, app.content, dict(app.verifications)),
        {key_id(key.public): json.loads(trusted_entities([other.public]))[key_id(other.public)]},
    )


def test_we_verify_it_too(small: Bundle, key: SigningKey, clock: FixedClock) -> None:
    signature = sign_bundle(small, key, clock=clock)
    other = SigningKey.from_seed(bytes(32))
    verify_bundle(small, parse_signature(signature.to_json()), [other.public, key.public])
    with pytest.raises(VerificationError):
        verify_bundle(small, signature, [other.public])
    changed = build_bundle({**FILES, "small/client.py": b"app = 3\n"})
    with pytest.raises(VerificationError):
        verify_bundle(changed, signature, [key.public])


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"key_id": 1}', '{"key_id":"a","signature":"!","signed_at":1}'])
def test_other_files_are_no_signatures(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse_signature(text)


@pytest.mark.parametrize(
    "name", ["../up.py", "/root.py", "a//b.py", ".hidden", "a/../b.py", "a\\b.py", "", "a b.py", "a,b"]
)
def test_other_paths_are_not_packed(name: str) -> None:
    with pytest.raises(InvalidRequestError):
        build_bundle({**FILES, name: b""})


@pytest.mark.parametrize("many", [{f"f{n}.py": b"" for n in range(1000)}, {"big.py": b"\x00" * (10 << 20)}])
def test_what_is_too_large_is_not_packed(many: dict[str, bytes]) -> None:
    with pytest.raises(InvalidRequestError, match="at most 1000 files"):
        build_bundle({**FILES, **many})


@pytest.mark.parametrize(("publisher", "name"), [("Yingbi", "small-app"), ("yingbi", "small/app"), ("yingbi", "1")])
def test_other_names_are_no_apps(publisher: str, name: str) -> None:
    config = CONFIG.replace(b"small-app", name.encode()).replace(b"yingbi", publisher.encode())
    with pytest.raises(InvalidRequestError, match="small letters"):
        build_bundle({**FILES, "pyproject.toml": config})


def test_what_is_compressed_is_not_read() -> None:
    """A bomb is refused by what its directory says, before a byte of it is there."""
    content = zipped([("pyproject.toml", CONFIG), ("bomb.py", b"\x00" * 10_000_000)], zipfile.ZIP_DEFLATED)
    with pytest.raises(InvalidRequestError, match="stored files"):
        open_bundle(content, digest="sha256:" + hashlib.sha256(content).hexdigest())


def test_another_bundle_is_refused(small: Bundle) -> None:
    with pytest.raises(VerificationError):
        open_bundle(small.content + b" ", digest=small.digest)


def zipped(files: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return buffer.getvalue()


def bent(at: int, value: int) -> bytes:
    """Return an archive of which one byte of each entry in the central directory is another."""
    data = bytearray(zipped([("pyproject.toml", CONFIG)]))
    data[data.index(b"PK\x01\x02") + at] = value
    return bytes(data)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x05\x06" + b"\x00" * 18,
        zipped([("pyproject.toml", CONFIG)]),
        zipped([("pyproject.toml", CONFIG), ("../up.py", b"")]),
        zipped([("pyproject.toml", CONFIG), ("bomb.py", b"\x00" * 10_000_000)], zipfile.ZIP_DEFLATED),
        zipped([("pyproject.toml", CONFIG), (".info/CONTENT", b"")]),
        bent(6, 99),
        bent(8, 0x01),
        bent(8, 0x20),
        bent(8, 0x40),
        bent(10, 99),
        bent(42, 7),
    ],
    ids=[
        *("nothing", "empty", "no list", "path", "bomb", "empty list"),
        *("version", "password", "patched", "strong encryption", "method", "place"),
    ],
)
def test_archives_that_we_would_not_build_are_refused(content: bytes) -> None:
    with pytest.raises(SandboxError):
        open_bundle(content, digest="sha256:" + hashlib.sha256(content).hexdigest())


def test_the_catalogues_app_holds_all_code_that_touches_data() -> None:
    bundle = horizontal_bundle()
    files = open_bundle(bundle.content, digest=bundle.digest)
    assert bundle.id == "@yingbi/yingbi-horizontal"
    assert {"federated/apps/horizontal/client_app.py", "federated/content.py", "federated/__init__.py"} <= set(files)
    package = Path(__file__).parents[4] / "federated" / "horizontal"
    assert {f"federated/horizontal/{path.name}" for path in package.glob("*.py")} <= set(files)
    assert not [name for name in files if "federated/flower" in name or "/rounds/" in name or "pycache" in name]


def test_the_catalogues_app_needs_nothing_of_this_program_but_its_kernel() -> None:
    """What it computes with is in the bundle, under its digest; what it takes from outside is small and named here."""
    bundle = horizontal_bundle()
    imported: set[str] = set()
    for name, data in open_bundle(bundle.content, digest=bundle.digest).items():
        if name.endswith(".py"):
            for node in ast.walk(ast.parse(data)):
                if isinstance(node, ast.ImportFrom) and node.module:
                    imported.add(node.module)
                elif isinstance(node, ast.Import):
                    imported |= {item.name for item in node.names}
    own = {name for name in imported if name.split(".")[0] in ("yingbi", "policies", "ledger", "sandbox", "api")}
    assert own <= {"yingbi.canonical", "yingbi.errors"}
    others = {name.split(".")[0] for name in imported} - {"yingbi", "federated", *sys.stdlib_module_names}
    assert others == {"numpy", "flwr"}

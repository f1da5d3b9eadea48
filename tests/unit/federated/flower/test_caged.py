"""The catalogue's app in the cage: it gives what the recipe gives, and nothing else is reached from there."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from federated.content import Content
from federated.flower import cage_entry, caged, compat
from federated.flower.bundle import Bundle, build_bundle, horizontal_bundle, open_bundle
from federated.flower.cage_entry import flatten, unflatten
from federated.flower.caged import CagedApp
from federated.horizontal.parameters import RecipeName
from federated.horizontal.recipe import RECIPES
from sandbox.isolation.bubblewrap import BubblewrapCage
from sandbox.isolation.frames import Frame, FrameKind
from sandbox.isolation.worker import Control
from tests.unit.federated.horizontal.examples import make_spec, make_table
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError, UnavailableError, VerificationError

CLIENT = "federated/apps/horizontal/client_app.py"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CagedApp]:
    folder = tmp_path_factory.mktemp("app")
    with CagedApp(horizontal_bundle(), cage=BubblewrapCage(), folder=folder) as opened:
        yield opened
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("recipe", [RecipeName.LOGISTIC_REGRESSION, RecipeName.WOE_BINS])
def test_the_app_gives_what_its_recipe_gives_bit_for_bit(app: CagedApp, recipe: RecipeName) -> None:
    spec, table = make_spec(recipe), make_table(200)
    rules = RECIPES[str(recipe)]
    state = rules.start(spec)
    wanted = rules.contribute(spec, state, table)
    for _ in range(2):  # the second by a worker that waited
        given = app.contribute(spec, state, table)
        assert set(given) == set(wanted)
        for name, array in wanted.items():
            found = given[name]
            assert isinstance(found, np.ndarray)
            assert found.dtype == array.dtype
            assert found.shape == array.shape
            assert found.tobytes() == array.tobytes()


def test_an_app_that_answers_with_an_error_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(message: compat.Message, _: compat.Context) -> compat.Message:
        return compat.Message(compat.Error(code=1, reason="Zhang San has no loan"), reply_to=message)

    monkeypatch.setattr(cage_entry, "_load_app", lambda: fail)
    job = Frame(kind=FrameKind.JOB, value={"shapes": {}, "values": {}, "view": "/view"}, arrays={})
    with pytest.raises(UnavailableError, match=r"the app failed$"):
        cage_entry.run(job, Control(lambda _: None), "/scratch")


def test_an_app_is_asked_texts_and_integers_only(app: CagedApp) -> None:
    with pytest.raises(InvalidRequestError, match="texts and integers"):
        app.call(Content(arrays={}, values={"salt": b"x"}), make_table(5))


def test_each_table_is_seen_by_its_own_workers_only(app: CagedApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caged, "_TABLES", 1)
    spec = make_spec(RecipeName.LOGISTIC_REGRESSION)
    rules = RECIPES[str(spec.recipe)]
    state = rules.start(spec)
    tables = [make_table(50, seed) for seed in range(2)]  # more than are kept
    for table in [*tables, tables[0]]:
        given = app.contribute(spec, state, table)
        for name, array in rules.contribute(spec, state, table).items():
            assert np.array_equal(np.asarray(given[name]), array)


def test_what_the_app_says_when_it_fails_does_not_come_out(app: CagedApp) -> None:
    spec, table = make_spec(RecipeName.LOGISTIC_REGRESSION), make_table(20)
    state = RECIPES[str(spec.recipe)].start(spec)
    with pytest.raises(SandboxError) as caught:
        app.contribute(spec, replace(state, arrays={}), table)
    assert caught.value.code is ErrorCode.ENGINE_FAILED
    assert caught.value.detail is None


ESCAPES = {
    "network": "import socket; socket.create_connection(('127.0.0.1', 1), timeout=1)",
    "files": "open('/etc/passwd').read()",
}


@pytest.mark.parametrize("attempt", ESCAPES.values(), ids=ESCAPES.keys())
def test_an_app_does_not_get_out(attempt: str, tmp_path: Path) -> None:
    """An attempt that is let through ends well, and the app answers; one that is stopped raises, and it does not."""
    with CagedApp(_with(attempt + "\n"), cage=BubblewrapCage(), folder=tmp_path) as app, pytest.raises(SandboxError):
        _ask(app)


def test_an_app_whose_code_was_changed_is_run_under_its_own_digest_only(tmp_path: Path) -> None:
    with CagedApp(_with("CHANGED = 1\n"), cage=BubblewrapCage(), folder=tmp_path) as app:
        assert _ask(app)
    honest = horizontal_bundle()
    with pytest.raises(VerificationError):
        open_bundle(_with("CHANGED = 1\n").content, digest=honest.digest)


def test_a_bundle_with_files_of_ours_is_refused(tmp_path: Path) -> None:
    honest = horizontal_bundle()
    files = dict(open_bundle(honest.content, digest=honest.digest))
    files["federated/flower/messages.py"] = b""
    with pytest.raises(InvalidRequestError):
        CagedApp(build_bundle(files), cage=BubblewrapCage(), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "shapes", [{}, {"w": [3]}, {"w": [2, 1]}, {"w": []}, {"w": [-1]}, {"w": ["x"]}, {"v": [2]}], ids=str
)
def test_shapes_that_are_not_those_of_the_arrays_are_refused(shapes: dict[str, object]) -> None:
    frame = Frame(kind=FrameKind.RESULT, arrays={"w": np.zeros(2)})
    if shapes == {"w": [2, 1]}:
        assert unflatten(frame, shapes)["w"].shape == (2, 1)
        return
    with pytest.raises(UnavailableError):
        unflatten(frame, shapes)


def test_flat_arrays_get_their_shapes_back() -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.zeros((0, 4), dtype="<i8")}
    shapes, flat = flatten(arrays)
    found = unflatten(Frame(kind=FrameKind.JOB, arrays=flat), shapes)
    assert all(
        np.array_equal(found[name], array) and found[name].shape == array.shape for name, array in arrays.items()
    )


def _with(code: str) -> Bundle:
    honest = horizontal_bundle()
    files = dict(open_bundle(honest.content, digest=honest.digest))
    files[CLIENT] += b"\n" + code.encode()
    return build_bundle(files)


def _ask(app: CagedApp) -> object:
    spec = make_spec(RecipeName.LOGISTIC_REGRESSION)
    return app.contribute(spec, RECIPES[str(spec.recipe)].start(spec), make_table(20))

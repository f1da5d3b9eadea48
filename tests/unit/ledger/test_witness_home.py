"""A witness's folder: what is made, what may stand in its configuration, and who can read its keys."""

import stat
from pathlib import Path

import pytest

from ledger.note import NoteVerifier, SignatureType
from ledger.witness_home import WitnessHome, create_witness_home, load_witness_home
from tests.lib.witness_trees import ListLog
from yingbi.clock import FixedClock
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, NotFoundError, RefusedError, SandboxError

NAME = "w1.example/witness"
LOG = ListLog().grow(3)
VKEY = LOG.verifier.encode()


@pytest.fixture
def home(tmp_path: Path) -> WitnessHome:
    return create_witness_home(tmp_path / "witness", NAME, [VKEY], is_post_quantum=True)


def test_a_new_folder_is_a_whole_witness(home: WitnessHome, clock: FixedClock) -> None:
    assert load_witness_home(home.folder) == home
    witness, store = home.open_witness(clock)
    assert [verifier.kind for verifier in witness.verifiers] == [
        SignatureType.COSIGNATURE_ED25519,
        SignatureType.COSIGNATURE_ML_DSA_44,
    ]
    assert {verifier.name for verifier in witness.verifiers} == {NAME}
    store.close()
    again, store = load_witness_home(home.folder).open_witness(clock)
    assert again.verifiers == witness.verifiers
    store.close()


def test_the_post_quantum_key_is_made_on_request_only(tmp_path: Path, clock: FixedClock) -> None:
    home = create_witness_home(tmp_path / "witness", NAME, [VKEY])
    assert [signer.verifier.kind for signer in home.load_cosigners(clock)] == [SignatureType.COSIGNATURE_ED25519]
    assert not (home.folder / "witness-ml-dsa.pem").exists()


def test_secrets_are_for_their_owner_only(home: WitnessHome) -> None:
    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700
    for name in ("witness-key.pem", "witness-ml-dsa.pem", "witness.sqlite", "witness.sqlite.high-water"):
        assert stat.S_IMODE((home.folder / name).stat().st_mode) == 0o600, name


@pytest.mark.parametrize("name", ["witness-key.pem", "witness-ml-dsa.pem"])
def test_a_key_that_others_can_read_is_refused(home: WitnessHome, clock: FixedClock, name: str) -> None:
    (home.folder / name).chmod(0o644)
    with pytest.raises(RefusedError) as refused:
        home.load_cosigners(clock)
    assert refused.value.code is ErrorCode.KEY_EXPOSED
    assert name in refused.value.message


def test_a_passphrase_protects_both_keys(tmp_path: Path, clock: FixedClock) -> None:
    """Regression: the ML-DSA key was written in clear whatever passphrase was given."""
    home = create_witness_home(tmp_path / "witness", NAME, [VKEY], is_post_quantum=True, passphrase=b"open sesame")
    for name in ("witness-key.pem", "witness-ml-dsa.pem"):
        assert b"BEGIN ENCRYPTED PRIVATE KEY" in (home.folder / name).read_bytes()
    assert len(home.load_cosigners(clock, b"open sesame")) == 2
    for wrong in (None, b"", b"open barley"):
        with pytest.raises(InvalidRequestError) as refused:
            home.load_cosigners(clock, wrong)
        assert refused.value.code is ErrorCode.KEY_MALFORMED


@pytest.mark.parametrize("data", [b"", b"\xff", b"-----BEGIN PRIVATE KEY-----\n"])
def test_a_damaged_key_is_refused(home: WitnessHome, clock: FixedClock, data: bytes) -> None:
    (home.folder / "witness-ml-dsa.pem").write_bytes(data)
    with pytest.raises(InvalidRequestError) as refused:
        home.load_cosigners(clock)
    assert refused.value.code is ErrorCode.KEY_MALFORMED


def test_a_key_of_another_kind_is_refused(home: WitnessHome, clock: FixedClock) -> None:
    (home.folder / "witness-ml-dsa.pem").write_bytes((home.folder / "witness-key.pem").read_bytes())
    with pytest.raises(InvalidRequestError, match="does not hold an ML-DSA-44 key"):
        home.load_cosigners(clock)


WITNESS_VKEY = NoteVerifier("w9.example", SignatureType.COSIGNATURE_ED25519, LOG.verifier.key).encode()
WRONG: dict[str, tuple[str, list[str]]] = {
    "no name": ("", [VKEY]),
    "name with space": ("w one", [VKEY]),
    "name with plus": ("w+one", [VKEY]),
    "name with quotation mark": ('w"one', [VKEY]),
    "name with backslash": ("w\\one", [VKEY]),
    "name with newline": ("w\none", [VKEY]),
    "name with DEL": ("w\x7fone", [VKEY]),
    "name with surrogate": ("w\udcffone", [VKEY]),
    "name too long": ("w" * 256, [VKEY]),
    "log key of no form": (NAME, ["nonsense"]),
    "log key of a witness": (NAME, [WITNESS_VKEY]),
    "log name with quotation mark": (
        NAME,
        [NoteVerifier('log"x', SignatureType.ED25519, LOG.verifier.key).encode()],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_could_not_run_afterwards_makes_nothing(tmp_path: Path, case: str) -> None:
    """Regression: the folder was made, and every later command failed on it."""
    name, logs = WRONG[case]
    with pytest.raises(InvalidRequestError):
        create_witness_home(tmp_path / "witness", name, logs)
    assert not (tmp_path / "witness").exists()


@pytest.mark.parametrize("name", ["影壁.example/见证", "w1", "w'1", "w{1}", "w#1"])
def test_names_of_all_sorts_come_back_as_they_were(tmp_path: Path, name: str, clock: FixedClock) -> None:
    home = create_witness_home(tmp_path / "witness", name, [VKEY])
    assert load_witness_home(home.folder).name == name
    home.open_witness(clock)[1].close()


def test_a_witness_is_not_made_twice(home: WitnessHome) -> None:
    before = {path: path.read_bytes() for path in home.folder.iterdir()}
    with pytest.raises(ConflictError):
        create_witness_home(home.folder, NAME, [VKEY])
    assert {path: path.read_bytes() for path in home.folder.iterdir()} == before


CONFIGURED: dict[str, bytes] = {
    "not TOML": b"name",
    "not UTF-8": b'name = "\xff"',
    "no logs": b'name = "w"',
    "no name": b"logs = []",
    "unknown": f'name = "w"\nlogs = ["{VKEY}"]\nmore = 1'.encode(),
    "name number": b"name = 1\nlogs = []",
    "logs text": f'name = "w"\nlogs = "{VKEY}"'.encode(),
    "logs of numbers": b'name = "w"\nlogs = [1]',
    "log key of no form": b'name = "w"\nlogs = ["x"]',
}


@pytest.mark.parametrize("case", CONFIGURED)
def test_a_wrong_configuration_is_refused(tmp_path: Path, case: str) -> None:
    (tmp_path / "witness.toml").write_bytes(CONFIGURED[case])
    with pytest.raises(InvalidRequestError) as refused:
        load_witness_home(tmp_path)
    assert refused.value.code in (ErrorCode.CONFIG_INVALID, ErrorCode.KEY_MALFORMED)
    assert "\n" not in refused.value.message


def test_no_folder_is_no_witness(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as refused:
        load_witness_home(tmp_path)
    assert refused.value.hint == "`yingbi witness init` makes one"
    (tmp_path / "file").write_text("x")
    with pytest.raises(SandboxError) as other:
        load_witness_home(tmp_path / "file")
    assert other.value.code is ErrorCode.CONFIG_INVALID

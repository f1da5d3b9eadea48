"""A log compares itself with its anchor before it signs anything; a chain that is away is a warning."""

import logging
from pathlib import Path
from typing import cast

import pytest

from ledger.anchor import Anchor, ChainHead, ChainView
from ledger.anchor_journal import make_anchor_check
from ledger.high_water import HighWaterMark
from ledger.log import Log, create_log
from ledger.note import TextSigner
from ledger.store_memory import MemoryStore
from tests.lib.statements import make_statement
from yingbi.clock import FixedClock
from yingbi.errors import ErrorCode, TamperDetectedError, UnavailableError
from yingbi.keys import SigningKey

ORIGIN = "log.example/anchored"


class Chain:
    """The reading side of an anchor, with the head it is told to have; None when it is away."""

    def __init__(self, head: ChainHead | None) -> None:
        self._head = head

    def latest(self) -> ChainView:
        if self._head is None:
            raise UnavailableError(ErrorCode.ANCHOR_UNAVAILABLE, "chain cannot be reached")
        return ChainView(tip=self._head, confirmed=self._head)


class Scene:
    def __init__(self, folder: Path, key: SigningKey, clock: FixedClock) -> None:
        self.store, self.mark, self.clock = MemoryStore(ORIGIN), HighWaterMark(folder / "mark"), clock
        self.signer = TextSigner(ORIGIN, key)
        create_log(self.store, [self.signer], self.mark)
        with self.open(Chain(head(0, bytes(32)))) as log:
            self.root = log.append(make_statement()).signed.checkpoint.root

    def open(self, chain: Chain) -> Log:
        checks = [make_anchor_check(cast("Anchor", chain))]
        return Log.open(self.store, [self.signer], clock=self.clock, high_water=self.mark, checks=checks)


def head(size: int, root: bytes) -> ChainHead:
    return ChainHead(size=size, root=root, chain_value=bytes(32), block_number=7)


@pytest.fixture
def scene(tmp_path: Path, key: SigningKey, clock: FixedClock) -> Scene:
    return Scene(tmp_path, key, clock)


def test_a_log_that_contains_its_anchor_opens(scene: Scene) -> None:
    with scene.open(Chain(head(1, scene.root))) as log:
        assert log.append(make_statement()).signed.checkpoint.size == 2


@pytest.mark.parametrize(("size", "code"), [(2, ErrorCode.LOG_ROLLED_BACK), (1, ErrorCode.LOG_FORKED)])
def test_a_log_behind_its_anchor_or_beside_it_does_not_open(scene: Scene, size: int, code: ErrorCode) -> None:
    with pytest.raises(TamperDetectedError) as refused:
        scene.open(Chain(head(size, b"\x01" * 32)))
    assert refused.value.code is code


def test_a_chain_that_is_away_is_a_warning(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), scene.open(Chain(None)) as log:
        log.append(make_statement())
    assert "not compared with its anchor" in caplog.text

"""The same key and request get the same answer; another request, or one under way, does not."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from api.idempotency import KEPT_FOR, Answer, Answers, fingerprint_of
from api.nonces import Nonces
from yingbi.clock import FixedClock
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError

ANSWER = Answer(status=201, headers={"location": "/v1/x"}, body=b"{}")
ONE, OTHER = fingerprint_of("POST", "/v1/x", b"1"), fingerprint_of("POST", "/v1/x", b"2")


def test_an_answer_is_given_again(engine: Engine, clock: FixedClock) -> None:
    answers = Answers(engine, clock)
    assert answers.begin("partner:a", "k", ONE) is None
    answers.end("partner:a", "k", ANSWER)
    assert answers.begin("partner:a", "k", ONE) == ANSWER
    assert answers.begin("partner:b", "k", OTHER) is None, "keys are each signer's own"


def test_what_is_under_way_is_not_begun_again(engine: Engine, clock: FixedClock) -> None:
    answers = Answers(engine, clock)
    answers.begin("partner:a", "k", ONE)
    with pytest.raises(ConflictError):
        answers.begin("partner:a", "k", ONE)
    answers.drop("partner:a", "k")
    assert answers.begin("partner:a", "k", ONE) is None


def test_a_key_is_of_one_request(engine: Engine, clock: FixedClock) -> None:
    answers = Answers(engine, clock)
    answers.begin("partner:a", "k", ONE)
    for _ in range(2):
        with pytest.raises(InvalidRequestError) as caught:
            answers.begin("partner:a", "k", OTHER)
        assert caught.value.code is ErrorCode.IDEMPOTENCY_CONFLICT
        answers.end("partner:a", "k", ANSWER)


def test_what_a_dead_process_began_may_be_sent_again(engine: Engine, clock: FixedClock) -> None:
    answers = Answers(engine, clock)
    answers.begin("partner:a", "dead", ONE)
    answers.begin("partner:a", "done", ONE)
    answers.end("partner:a", "done", ANSWER)
    answers.forget_unfinished()
    assert answers.begin("partner:a", "dead", ONE) is None
    assert answers.begin("partner:a", "done", ONE) == ANSWER


def test_answers_are_kept_for_a_day(engine: Engine, clock: FixedClock) -> None:
    answers = Answers(engine, clock)
    answers.begin("partner:a", "k", ONE)
    answers.end("partner:a", "k", ANSWER)
    clock.at += KEPT_FOR - timedelta(seconds=1)
    answers.forget_old()
    assert answers.begin("partner:a", "k", ONE) == ANSWER
    clock.at += timedelta(seconds=2)
    answers.forget_old()
    assert answers.begin("partner:a", "k", OTHER) is None


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_a_key_has_a_length(engine: Engine, clock: FixedClock, key: str) -> None:
    with pytest.raises(InvalidRequestError):
        Answers(engine, clock).begin("partner:a", key, ONE)


def test_a_nonce_is_good_once_until_its_request_has_expired(engine: Engine, clock: FixedClock) -> None:
    nonces = Nonces(engine, clock)
    until = clock.now() + timedelta(minutes=5)
    assert nonces.use("key", "nonce", until)
    assert not nonces.use("key", "nonce", until)
    assert nonces.use("other key", "nonce", until)
    nonces.forget_expired()
    assert not nonces.use("key", "nonce", until)
    clock.at += timedelta(minutes=6)
    nonces.forget_expired()
    assert nonces.use("key", "nonce", until), "the request itself is refused by then"

"""Both ends of a message: what a handler makes of it, and what an answer makes of a request."""

import pytest

from federated.content import Content
from federated.flower import compat
from federated.flower.answering import answer, read_answer
from federated.flower.grid import Loss, Lost
from federated.flower.handler import Task
from federated.flower.messages import Header, Opened
from yingbi.errors import ErrorCode

HEADER = Header(id="m", run=1, source=1, destination=1, reply_to="asked", created_at_s=0.0, ttl_s=1.0)
RAISED = compat.FlowerErrorCode.CLIENT_APP_RAISED_EXCEPTION


@pytest.mark.parametrize(
    ("error", "reason", "lost"),
    [
        (RAISED, "job-refused", Lost(party="a", reason=Loss.REFUSED, code=ErrorCode.JOB_REFUSED)),
        (RAISED, "Zhang San has no loan", Lost(party="a", reason=Loss.REFUSED, code=ErrorCode.INTERNAL)),
        (
            compat.FlowerErrorCode.INVALID_FAB,
            "",
            Lost(party="a", reason=Loss.REFUSED, code=ErrorCode.STATEMENT_UNVERIFIED),
        ),
        (compat.FlowerErrorCode.NODE_UNAVAILABLE, "", Lost(party="a", reason=Loss.UNREACHABLE)),
        # The server drops a message when its time is over: nobody is away because of that.
        (compat.FlowerErrorCode.MESSAGE_UNAVAILABLE, "", Lost(party="a", reason=Loss.DEADLINE)),
        (compat.FlowerErrorCode.REPLY_MESSAGE_UNAVAILABLE, "", Lost(party="a", reason=Loss.DEADLINE)),
        (9999, "", Lost(party="a", reason=Loss.UNREACHABLE)),
    ],
)
def test_an_error_says_why_a_party_is_lost(error: int, reason: str, lost: Lost) -> None:
    assert read_answer("a", Opened(header=HEADER, error_code=error, error_reason=reason)) == lost


class Never:
    """A handler that nothing should come to."""

    def handle(self, task: Task) -> Content:
        raise AssertionError(task)


def test_a_message_without_content_comes_to_no_handler() -> None:
    answered = answer(Never(), Opened(header=HEADER, error_code=RAISED), app="sha256:a", now_s=0.5)
    assert answered.error.reason == ErrorCode.MESSAGE_MALFORMED

"""What both carriers do alike at their two ends: answer a message by a handler, and read what was answered."""

import logging
from typing import Final

from federated.flower import compat
from federated.flower.grid import Arrived, Loss, Lost
from federated.flower.handler import Handler, Task
from federated.flower.messages import Opened, error_reply, reply
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError

__all__ = ["answer", "read_answer"]

_LOG: Final = logging.getLogger(__name__)
_CODES: Final = {code.value: code for code in ErrorCode}
# What the server says of a request or a reply that it no longer holds. It holds them until their time to live is over,
# which is the deadline: its last answer may come on either side of it.
_EXPIRED: Final = {
    compat.FlowerErrorCode.MESSAGE_UNAVAILABLE,
    compat.FlowerErrorCode.REPLY_MESSAGE_UNAVAILABLE,
}


def answer(handler: Handler, opened: Opened, *, app: str, now_s: float) -> compat.Message:
    """Return the handler's reply to a message, or a refusal with the code of its error."""
    header = opened.header
    try:
        if opened.content is None:
            raise InvalidRequestError(ErrorCode.MESSAGE_MALFORMED, "expected a message with content")
        task = Task(app=app, run=str(header.run), message=header.id, content=opened.content)
        return reply(handler.handle(task), to=header, now_s=now_s)
    except SandboxError as error:
        code = error.code
        _LOG.info("task refused: %s", code.value, extra={"run": str(header.run)})
    except Exception as error:
        # SECURITY: texts of exceptions quote data; only a code leaves, and only a type is logged.
        code = ErrorCode.INTERNAL
        _LOG.error("task failed: %s", type(error).__name__, extra={"run": str(header.run)})
    return error_reply(code, to=header, now_s=now_s)


def read_answer(party: str, opened: Opened) -> Arrived | Lost:
    """Return what became of a party's request, by the answer that came for it."""
    if opened.content is not None:
        return Arrived(party=party, content=opened.content)
    if opened.error_code == compat.FlowerErrorCode.INVALID_FAB:
        return Lost(party=party, reason=Loss.REFUSED, code=ErrorCode.STATEMENT_UNVERIFIED)
    if opened.error_code == compat.FlowerErrorCode.CLIENT_APP_RAISED_EXCEPTION:
        # SECURITY: a reason that is not one of our codes is not repeated to anybody.
        code = _CODES.get(opened.error_reason, ErrorCode.INTERNAL)
        return Lost(party=party, reason=Loss.REFUSED, code=code)
    if opened.error_code in _EXPIRED:
        return Lost(party=party, reason=Loss.DEADLINE)
    return Lost(party=party, reason=Loss.UNREACHABLE)

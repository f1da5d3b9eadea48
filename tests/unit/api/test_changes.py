"""Waiting for changes: woken at once, from any thread; nobody sleeps over a change that came before he waited."""

import asyncio
import threading
from time import monotonic

from api.changes import Changes


def test_who_waits_is_woken_from_another_thread() -> None:
    changes = Changes()

    async def wait() -> bool:
        threading.Timer(0.05, changes.notify).start()
        return await changes.wait(changes.count, 10)

    began = monotonic()
    assert asyncio.run(wait())
    assert monotonic() - began < 5


def test_a_change_that_was_before_is_not_missed() -> None:
    changes = Changes()
    seen = changes.count
    changes.notify()
    assert asyncio.run(changes.wait(seen, 0))
    assert not asyncio.run(changes.wait(changes.count, 0.01))


def test_many_wait_and_all_are_woken() -> None:
    changes = Changes()

    async def wait_all() -> list[bool]:
        waiting = [asyncio.create_task(changes.wait(0, 10)) for _ in range(200)]
        await asyncio.sleep(0)
        threading.Thread(target=changes.notify).start()
        return await asyncio.gather(*waiting)

    assert all(asyncio.run(wait_all()))


def test_a_loop_that_has_ended_is_nobody() -> None:
    changes = Changes()

    async def leave() -> None:
        waiting = asyncio.create_task(changes.wait(0, 10))
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(leave())
    changes.notify()
    assert changes.count == 1

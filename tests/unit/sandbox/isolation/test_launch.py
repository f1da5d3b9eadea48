"""Starting processes: nobody's process is left behind."""

import signal
import subprocess
import sys
import threading

import pytest

from sandbox.isolation import launch as launching


def test_an_interrupt_while_a_process_is_being_started_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    is_interrupted = threading.Event()
    really = launching._popen

    def slowly(*arguments: object) -> subprocess.Popen[bytes]:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        assert is_interrupted.wait(20)
        started.append(really(*arguments))  # type: ignore[arg-type]
        return started[0]

    monkeypatch.setattr(launching, "_popen", slowly)
    with pytest.raises(KeyboardInterrupt):
        launching.launch([sys.executable, "-c", "import time; time.sleep(600)"], pass_fds=(), environment={})
    monkeypatch.undo()
    is_interrupted.set()
    # The launcher serves one after the other: when this has started, the first has.
    with launching.launch([sys.executable, "-c", ""], pass_fds=(), environment={}) as second:
        assert second.wait(20) == 0
    assert started[0].wait(20) == -signal.SIGKILL

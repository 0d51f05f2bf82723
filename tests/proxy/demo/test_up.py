"""What ends a demo; the rest of it is tested as a user sees it, in tests/integration/test_demo.py."""

import os
import signal
import time

import pytest

from proxy.demo import up


class Unlucky:
    """Its finalizer is what happens to run when the signal comes."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)  # Python handles it here


def wait_for_it() -> None:
    with up._signals():
        unlucky = Unlucky()
        del unlucky
        time.sleep(30)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_a_finalizer_swallowed_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "_AGAIN", 0.5)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)
    with pytest.raises(up._End):
        wait_for_it()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)) == before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0.0

"""The signals that end a command: each raises once, wherever the program is, and is not lost."""

import signal
import time
from types import FrameType

ENDS = {
    name: said
    for name, said in (("SIGTERM", "terminated"), ("SIGHUP", "hung up"), ("SIGQUIT", "quit"))
    if hasattr(signal, name)  # Windows has one of them
}
_IMPATIENCE = 10.0
"""Seconds for which further signals are not heeded: they would cut off what is kept of the work."""

_raised: list[BaseException] = []


class Terminated(BaseException):
    """SIGTERM has come, or another signal that ends a run."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.said, self.exit_code = ENDS[name], 128 + signal.Signals[name]


def heed_signals() -> None:
    """Have them raise Terminated, or KeyboardInterrupt, but not again at once."""
    before = -_IMPATIENCE

    def heed(number: int, _frame: FrameType | None) -> None:
        nonlocal before
        now = time.monotonic()
        if now - before >= _IMPATIENCE:
            before = now
            error = KeyboardInterrupt() if number == signal.SIGINT else Terminated(signal.Signals(number).name)
            _raised[:] = [error]
            raise error

    for name in ("SIGINT", *ENDS):
        if signal.getsignal(signal.Signals[name]) is not signal.SIG_IGN:  # as nohup asks for
            signal.signal(signal.Signals[name], heed)


def forget_signals() -> None:
    """What has come has ended the command."""
    _raised.clear()


def end_if_signalled() -> None:
    """Raise once more what a signal has raised, for whoever is still at work: finalizers and native code drop it."""
    if _raised:
        raise _raised.pop()

"""Ctrl-C, SIGTERM, and the signals by which schedulers announce the end of a job's time: at once
while nothing has begun, after saving once a run trains.

Imported before everything else, so of the standard library's light parts alone.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class Interrupted(KeyboardInterrupt):
    """A signal stopped the run; everything is saved."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message, signum)
        self.signum, self.exit_code = signum, 128 + signum

    def __str__(self) -> str:
        return str(self.args[0])


class Submitted(KeyboardInterrupt):
    """The command ends here, and a scheduler's jobs go on."""

    exit_code = 0


class StopSignal:
    """The signal that asked to stop, if one did."""

    received: int | None = None


def leave(signum: int, frame: object) -> None:
    """Handle Ctrl-C while fabench starts: others' imports swallow a KeyboardInterrupt, or turn it
    into another error. Nothing has begun that could be lost."""
    os.write(2, b"Stopped.\n")
    os._exit(128 + signum)


def something_to_tidy_up() -> None:
    """From here on Ctrl-C is a KeyboardInterrupt: files are under way."""
    if signal.getsignal(signal.SIGINT) is leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def stop_signals() -> Iterator[StopSignal]:
    """Note a signal instead of dying; a second one acts at once."""
    something_to_tidy_up()
    signals = StopSignal()
    before = {s: signal.getsignal(s) for s in STOP}

    def note(signum: int, frame: object) -> None:
        signals.received = signum
        for s, handler in before.items():
            signal.signal(s, handler)

    for s in before:
        signal.signal(s, note)
    try:
        yield signals
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)

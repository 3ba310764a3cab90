"""``fabench``, which ``python -m fabench`` is too. Before anything else is imported Ctrl-C is met,
and the C library told to keep memory."""

import signal
import sys

from fabench.population.freed_memory import keep_freed_memory
from fabench.run.interruption import leave


def script() -> None:
    """The console script."""
    signal.signal(signal.SIGINT, leave)
    keep_freed_memory()
    from fabench.command.cli import main

    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what was asked for is done
    sys.exit(code)


if __name__ == "__main__":
    script()

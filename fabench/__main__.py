"""``fabench``, which ``python -m fabench`` is too. Ctrl-C is met before anything is imported."""

import signal
import sys

from fabench.run.interruption import leave


def script() -> None:
    """The console script."""
    signal.signal(signal.SIGINT, leave)
    from fabench.command.cli import main

    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what was asked for is done
    sys.exit(code)


if __name__ == "__main__":
    script()

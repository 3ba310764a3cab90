"""Standard output and error: a run goes on when nobody can read what it tells."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO


class Output:
    """A text file as a stream that refuses nothing.

    What its encoding lacks becomes question marks; what cannot be written is dropped, and ``error``
    says why. Everything else is the file's own.
    """

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, text: str) -> int:
        """Write what can be written."""
        with self._noting():
            try:
                self.file.write(text)
            except UnicodeEncodeError as error:
                known = text.encode(error.encoding, "replace").decode(error.encoding)
                self.file.write(known)
        return len(text)

    def flush(self) -> None:
        """Pass it on."""
        with self._noting():
            self.file.flush()

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = error
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


@contextmanager
def outputs() -> Iterator[Output]:
    """Let standard output, which is given, and standard error refuse nothing."""
    with open(os.devnull, "w") as nothing:  # Python's sys.stdout is None where there is none
        out, err = Output(sys.stdout or nothing), Output(sys.stderr or nothing)
        with redirect_stdout(out), redirect_stderr(err):
            yield out
            out.flush()
            err.flush()

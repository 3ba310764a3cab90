"""Threads of the command share the C library's memory: what one frees, the others get."""

import platform
import subprocess
import sys

import pytest

ARENAS = """
import ctypes, sys, threading
from contextlib import suppress
if sys.argv.pop() == "told":
    from fabench.__main__ import script
    with suppress(SystemExit):
        script()
else:
    import fabench.command.cli
allocates = [threading.Thread(target=lambda: bytes(10**6)) for _ in range(3)]
for thread in allocates:
    thread.start()
for thread in allocates:
    thread.join()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone is told")
def test_threads_of_the_command_have_one_memory():
    told, by_itself = (
        subprocess.check_output([sys.executable, "-c", ARENAS, "--version", how], text=True)
        for how in ("told", "not told")
    )
    assert told.count("<heap nr=") == 1
    assert by_itself.count("<heap nr=") > 1

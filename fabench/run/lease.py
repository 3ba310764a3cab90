"""Leases: which process works on a folder, on this machine or another that sees it.

A lease is a file of the folder, ``.lease-<n>``, that says who holds it, and whose time of
modification its holder renews. It is free when it is empty (given back), when its process is gone
(on the same machine seen at once), or when it has not been renewed for EXPIRES seconds. To take the
folder over is to make file n + 1 by a link, which one process can do, on NFS, too: no lock of the
kernel is relied on. Ages are read off the file system, so that machines' clocks may differ.
"""

import json
import os
import platform
import subprocess
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabench.schema import RunFailed, UserError

EXPIRES, RENEWED = 60.0, 10.0
"""Seconds after which a lease that is not renewed is free, and after which one is renewed."""

PREFIX = ".lease-"

_held: set["Lease"] = set()


@dataclass(frozen=True)
class Lease:
    """The right to write into a folder, until somebody takes it over."""

    folder: Path
    number: int

    @property
    def file(self) -> Path:
        return self.folder / f"{PREFIX}{self.number}"

    def check(self) -> None:
        """Raises RunFailed if another process has taken the folder over."""
        if max(_numbers(self.folder), default=0) != self.number:
            raise RunFailed(
                f"Another process has taken {self.folder} over, because this one was not heard of "
                f"for {EXPIRES:g} s: it writes nothing any more, and the other one's results hold."
            )

    def give_back(self) -> None:
        """Let others have it: the number stays, so that nobody takes an old one for new."""
        _held.discard(self)
        with suppress(OSError):  # somebody has taken the folder over
            os.truncate(self.file, 0)


def take(folder: Path, patience: float = 0.0) -> Lease:
    """The lease of a folder that is there, renewed from now on. ``patience``: seconds to wait for
    one that another process holds; UserError if it still does."""
    until = time.monotonic() + patience
    while True:
        try:
            lease = _next(folder)
            break
        except UserError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.2)
    _held.add(lease)
    if not any(thread.name == __name__ for thread in threading.enumerate()):
        threading.Thread(target=_renew, name=__name__, daemon=True).start()
    return lease


def is_held(folder: Path) -> bool:
    """Whether a process holds a folder, judged by this machine's clock; nothing is written."""
    try:
        if numbers := _numbers(folder):
            _check_free(Lease(folder, max(numbers)), time.time())
    except UserError:
        return True
    except FileNotFoundError:  # handed on, just now
        return is_held(folder)
    return False


def is_of_a_lease(file: Path) -> bool:
    """Whether a file of a folder says who holds it."""
    return file.name.startswith(PREFIX)


def process_start(pid: int) -> str | None:
    """When a process began, as its system says it; None if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self").exists() else _start_by_ps(pid)
    return None if fields[0] in "ZX" else fields[19]


def _start_by_ps(pid: int) -> str | None:
    """``process_start`` where there is no /proc, as on a Mac."""
    said = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True
    ).stdout
    state, _, start = said.strip().partition(" ")
    return start.strip() if start and state[0] != "Z" else None


def machine() -> str:
    """Where process numbers mean the same: a host since it has booted, or a container in it."""
    boot, numbers = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    with suppress(OSError):
        return f"{platform.node()} {boot.read_text().strip()} {os.readlink(numbers)}"
    return platform.node()


def _next(folder: Path) -> Lease:
    """The next number, if its predecessor is free. UserError if it is not."""
    part = folder / f"{PREFIX}{uuid.uuid4().hex}.part"
    me = {"pid": os.getpid(), "started": process_start(os.getpid()), "machine": machine()}
    try:
        part.write_text(json.dumps(me))
        before = _numbers(folder)
        lease = Lease(folder, max(before, default=0) + 1)
        if before:
            _check_free(Lease(folder, lease.number - 1), part.stat().st_mtime)
        with suppress(OSError):  # NFS may report a link that was made as one that was there
            os.link(part, lease.file)
        if part.stat().st_nlink != 2:
            raise _taken(folder)
        if _numbers(folder) != before | {lease.number}:  # what was judged was not the latest
            lease.file.unlink()
            raise _taken(folder)
    except FileNotFoundError:  # a new holder tidies up
        raise _taken(folder) from None
    finally:
        part.unlink(missing_ok=True)
    for number in before:
        Lease(folder, number).file.unlink(missing_ok=True)
    return lease


def _check_free(lease: Lease, now: float) -> None:
    """Raises UserError unless its holder has given it back, is gone or has let it expire."""
    if lease.file.is_symlink():  # no lease, and what it leads to is not ours to read
        return
    with lease.file.open() as file:
        text, renewed = file.read(), os.fstat(file.fileno()).st_mtime
    if not text or now - renewed > EXPIRES:
        return
    with suppress(ValueError, KeyError, TypeError):  # of no holder of ours: until it expires
        holder: dict[str, Any] = json.loads(text)
        here = holder["machine"] == machine()
        if here and process_start(holder["pid"]) != holder["started"]:
            return
        raise _taken(lease.folder, f" ({holder['pid']} on {holder['machine'].split()[0]})")
    raise _taken(lease.folder)


def _taken(folder: Path, holder: str = "") -> UserError:
    return UserError(f"Another process{holder} is working on {folder}: wait for it, or stop it.")


def _numbers(folder: Path) -> set[int]:
    names = (entry.name.removeprefix(PREFIX) for entry in folder.glob(f"{PREFIX}*"))
    return {int(name) for name in names if name.isdecimal()}


def _renew() -> None:
    while True:
        time.sleep(RENEWED)
        for lease in list(_held):
            with suppress(OSError):  # taken over, which it hears when it writes
                os.utime(lease.file)

"""Where a run ran: library versions, hardware, source commit."""

import functools
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from fabench import __version__

LIBRARIES = (
    "torch",
    "torchvision",
    "numpy",
    "hydra-core",
    "omegaconf",
    "pydantic",
    "pandas",
    "scipy",
    "scikit-learn",
    "matplotlib",
)

SMI = ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")


def describe(device: torch.device) -> dict[str, Any]:
    """Versions, hardware, commit and determinism settings, for a run's manifest."""
    gpu = device.type == "cuda"
    return {
        "fabench": __version__,
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "commit": commit(),
        "system": platform.platform(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": str(device),
        "gpu": hardware(device) if gpu else None,
        "cuda": torch.version.cuda if gpu else None,
        "driver": _driver() if gpu else None,
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }


@functools.cache
def _driver() -> str | None:
    """Asking takes a second."""
    return _output(*SMI)


def commit() -> str | None:
    """The commit of fabench's own checkout, with "-dirty" if files other than results differ;
    None if installed."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    git = ("git", "-C", str(root))
    head = _output(*git, "rev-parse", "HEAD")
    changed = _output(*git, "status", "--porcelain", "--untracked-files=no", "--", ":!outputs")
    return f"{head}-dirty" if head and changed else head


def _output(*command: str) -> str | None:
    """What a command prints; None if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def hardware(device: torch.device) -> str:
    """The processor that computes there: the GPU, or the CPU and how many threads it lends."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{cpu_name()}, {torch.get_num_threads()} threads"


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()

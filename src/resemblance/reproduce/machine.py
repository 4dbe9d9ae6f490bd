"""Describe the machine on which results were computed."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

CPU_FILE = Path("/proc/cpuinfo")


@lru_cache(maxsize=1)
def describe_machine() -> str:
    """Return cores, processor, threads, GPU if PyTorch has one, and the version of PyTorch.

    Example:
        >>> " core" in describe_machine(), "PyTorch" in describe_machine()
        (True, True)
    """
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    parts = [f"{cores} core{'s' if cores > 1 else ''} of {_processor()}"]
    parts += [f"{threads} thread{'s' if threads > 1 else ''}"] if threads != cores else []
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name(0))
    return ", ".join([*parts, f"PyTorch {version('torch').partition('+')[0]}"])


def _processor() -> str:
    try:
        lines = CPU_FILE.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()

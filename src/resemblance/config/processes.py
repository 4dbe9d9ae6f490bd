"""The processes that torchrun has started, on one machine or on several, by its environment variables."""

from __future__ import annotations

import os


def processes() -> int:
    """Return the number of processes on all machines; 1 without torchrun.

    Example:
        >>> processes()
        1
    """
    return int(os.environ.get("WORLD_SIZE", 1)) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def rank() -> int:
    """Return the number of this process among those of all machines; 0 for the first one, and without torchrun."""
    return int(os.environ.get("RANK", 0)) if processes() > 1 else 0


def local_rank() -> int:
    """Return the number of this process among those of this machine, and of its GPU."""
    return int(os.environ.get("LOCAL_RANK", 0)) if processes() > 1 else 0


def local_processes() -> int:
    """Return the number of processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if processes() > 1 else 1

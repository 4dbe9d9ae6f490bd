"""Nothing random has state: every draw is a function of where in the run it happens."""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2b

import torch


class Purpose(IntEnum):
    """What random numbers are for; keeps draws for different things apart."""

    ORDER = 1
    NOISE = 2
    ACTION = 3


def derive(purpose: Purpose, *place: int) -> int:
    """A 64-bit seed from the purpose and the place in the run.

    Example:
        >>> derive(Purpose.NOISE, 0, 1, 2, 3) == derive(Purpose.NOISE, 0, 1, 2, 3)
        True
        >>> derive(Purpose.NOISE, 0, 1) == derive(Purpose.NOISE, 0, 1, 0)
        False
    """
    digest = blake2b(repr((int(purpose), *place)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def seed_noise(seed: int, device: torch.device) -> None:
    """Seed torch's generators of the CPU and the device: dropout, sampling and Gumbel noise follow."""
    # torch.manual_seed would format a stack trace at each call while CUDA is not in use.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed % 2**63)

"""Seeds without state: every random number is a function of the place in the run where it is drawn."""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2b

import torch


class Purpose(IntEnum):
    """The purpose of random numbers; draws for different purposes are independent."""

    ORDER = 1
    NOISE = 2
    ACTION = 3
    ATTACK = 4


def derive(purpose: Purpose, *place: int) -> int:
    """Return a 64-bit seed from the purpose and the place in the run.

    Example:
        >>> derive(Purpose.NOISE, 0, 1, 2, 3) == derive(Purpose.NOISE, 0, 1, 2, 3)
        True
        >>> derive(Purpose.NOISE, 0, 1) == derive(Purpose.NOISE, 0, 1, 0)
        False
    """
    digest = blake2b(repr((int(purpose), *place)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def seed_noise(seed: int, device: torch.device) -> None:
    """Seed torch's generators of the CPU and the device, which dropout, sampling and Gumbel noise use."""
    # torch.manual_seed would format a stack trace at each call while CUDA is not initialised.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed % 2**63)

"""Pack work and results into bytes that another process reads, with tensors on its own device."""

from __future__ import annotations

import io
import pickle
from typing import Any

import torch

from resemblance.config.errors import UserError

MOST_GPUS = 64  # of a machine


def packed(content: Any) -> memoryview:
    """Return an object as bytes.

    Raises:
        UserError: if it cannot be pickled.

    Example:
        >>> unpacked(packed({"rows": torch.ones(2)}), torch.device("cpu"))
        {'rows': tensor([1., 1.])}
    """
    buffer = io.BytesIO()
    try:
        torch.save(content, buffer)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise cannot_be_sent(error) from None
    return buffer.getbuffer()


def unpacked(data: bytes | memoryview, device: torch.device) -> Any:
    """Return the object that `packed` has packed; tensors that were on a GPU are on ``device`` now.

    Call it only with bytes of one's own processes: reading them can run any code.

    Raises:
        UserError: if a class is not found in this process.
    """
    moved = {f"cuda:{number}": str(device) for number in range(MOST_GPUS)}
    try:
        return torch.load(io.BytesIO(data), map_location=moved, weights_only=False)
    except (AttributeError, ImportError) as error:  # of classes that a script or a notebook defines
        raise cannot_be_sent(error) from None


def cannot_be_sent(error: Exception) -> UserError:
    """Return the error of a model or of data that other processes cannot get."""
    return UserError(
        f"several devices need a model and data that can be pickled, and these cannot: {error}; "
        "define their classes in a module of their own, or use --devices 1"
    )


def sendable(error: BaseException) -> BaseException:
    """Return an error as another process can read it: itself, or its text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error

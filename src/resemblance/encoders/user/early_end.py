"""End a pass through a network early by an exception, also while `torch.export` records it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.fx.experimental.proxy_tensor import get_proxy_mode


@contextmanager
def ended_by(*reasons: type[BaseException]) -> Iterator[None]:
    """Run the block until it ends, or one of these exceptions ends it.

    `torch.export` keeps a stack of the layers that it is in. It does not expect that an exception leaves them, and so
    the stack is shortened here to what it was.

    Example:
        >>> with ended_by(StopIteration):
        ...     raise StopIteration
    """
    layers = _layers_of_recorder()
    depth = len(layers)
    try:
        yield
    except reasons:
        while len(layers) > depth:
            layers.popitem()


def _layers_of_recorder() -> dict[str, Any]:
    """Return the stack of layers of the recorder that runs; empty if none does."""
    mode: Any = get_proxy_mode()
    layers: dict[str, Any] | None = getattr(getattr(mode, "tracer", None), "module_stack", None)
    return {} if layers is None else layers

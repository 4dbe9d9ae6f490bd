"""The processes that train together also share the passes of end actions, which the first one runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from resemblance.training.devices.helping import Outcome, help_first_process, tell
from resemblance.training.devices.meeting import connections_of_group
from resemblance.training.devices.pool import DevicePool, dividing
from resemblance.training.engine.devices import DistributedContext


class TrainingGroup:
    """The processes that train together; all of them must make it at the same time.

    Args:
        distributed: the processes of the run.
    """

    def __init__(self, distributed: DistributedContext) -> None:
        self.distributed = distributed
        self._connections = connections_of_group(distributed.rank, distributed.world)

    @contextmanager
    def helped(self) -> Iterator[None]:
        """Divide the passes in the block among all processes; in the first one, while the others call `help`."""
        if not self._connections:
            yield
            return
        with dividing(DevicePool(self._connections, self.distributed.accelerator)):
            yield
        tell(self._connections, Outcome())

    def help(self) -> None:
        """Compute shares of passes until the block of `helped` ends.

        Raises:
            SystemExit: if the first process has ended; it says why.
        """
        rank, [connection] = self.distributed.rank, self._connections
        if help_first_process(connection, rank, self.distributed.local) is None:
            raise SystemExit(1)

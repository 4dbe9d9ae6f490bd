"""Pickles and names that would run code: each leaves a mark on the disk if anything runs it."""

from __future__ import annotations

import builtins
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

TRAP = "trap"  # a module that leaves the mark when it is imported


class Trap:
    """A place on the disk where code leaves a mark.

    Args:
        folder: an empty folder, which becomes a place of importable modules.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.mark = folder / "mark"
        line = f"open({str(self.mark)!r}, 'w').close()"
        (folder / f"{TRAP}.py").write_text(f"{line}\n\n\ndef run(*values):\n    {line}\n")
        sys.path.append(str(folder))
        self.code = line

    @property
    def sprung(self) -> bool:
        """Whether any code was run."""
        return self.mark.exists()

    def object(self, rng: Random) -> Any:
        """Return an object whose unpickling would leave the mark."""
        calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
            (os.system, (f"touch {self.mark}",)),
            (subprocess.call, (["touch", str(self.mark)],)),
            (builtins.exec, (self.code,)),
            (builtins.eval, (self.code,)),
            (builtins.open, (str(self.mark), "w")),
            (os.mkdir, (str(self.mark),)),
        ]
        return _Called(*rng.choice(calls))

    def pickled(self, rng: Random) -> bytes:
        """Return a pickle that would leave the mark."""
        by_hand = (
            f"c{TRAP}\nrun\n(tR.",
            f"(i{TRAP}\nrun\n.",
            f"cbuiltins\nexec\n(V{self.code}\ntR.",
            f"cposix\nsystem\n(Vtouch {self.mark}\ntR.",
            f"(lp0\nctorch\nhub\n0c{TRAP}\nrun\n)R.",
        )
        if rng.random() < 0.5:
            return rng.choice(by_hand).encode()
        content = {"state_dict": self.object(rng)} if rng.random() < 0.5 else self.object(rng)
        return pickle.dumps(content, protocol=rng.choice((0, 1, 2, 3, 4, 5)))


class _Called:
    """An object that is pickled as the call of a function."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call

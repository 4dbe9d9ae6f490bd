"""The commands that the drivers disturb, small and quick, and the folder in which they run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from cases import METHODS, case_of
from resemblance.metrics.suite import partial
from robustness.outputs import differences, digest, incomplete, leftovers
from robustness.processes import Ended, run_command
from tiny import digits

SIZE = 16  # pixels
TRAIN = f"train {{}} --data data --image-size {SIZE} --epochs 2 --encoder small --no-report --no-progress --output {{}}"
# Prototree prunes anyway.
MORE = {"protopnet": "--prune", "protopshare": "--prune", "tesnet": "--prune"}


@dataclass(frozen=True)
class Command:
    """A command that is disturbed.

    Args:
        name: in the counts.
        words: the command line; its output is in the folder ``out``.
        again: the words that are added to go on after it was disturbed.
        options: sets of further words, of which a trial draws one; they change no result but ``config.yaml``.
        earlier: words that make an earlier output, which must not be harmed.
    """

    name: str
    words: str
    again: str = ""
    options: tuple[str, ...] = ("",)
    earlier: str = ""


def commands() -> list[Command]:
    """Return all commands: training of every method, both conversions, and what reads a run."""
    train = f"--data data --seed 2 --image-size {SIZE} --output out --no-progress"
    options = ("", "--checkpoint-every-steps 2", "--workers 1", "--checkpoint-every-steps 3")
    trained = [
        Command(
            f"train {method}",
            f"train {method} {train} {case_of(method).command.replace('--image-size 12', '')} {MORE.get(method, '')}",
            "--resume",
            options,
        )
        for method in METHODS
    ]
    convert = "convert blackbox --output out --no-progress --force --prototypes-per-class 2"
    return [
        *trained,
        Command("convert", convert),
        Command("convert patches", f"{convert} --patches"),
        Command("report", "report kmex --explain 3 --output out/page.html", earlier="--explain 1"),
        Command("evaluate", "evaluate kmex --output out/evaluation.json", earlier="--split val"),
        Command(
            "evaluate measures",
            "evaluate kmex --metrics all --images 8 --steps 2 --batch-size 4 --output out",
            earlier="--split val",
        ),
        Command("explain", "explain kmex data/test/0 --output out", earlier="--top 1"),
        Command("prototypes", "prototypes kmex --output out/prototypes.png", earlier="--classes 0"),
        Command("embed", "embed kmex --output out/latents.png", earlier="--limit 5"),
    ]


class Workplace:
    """A folder with data and the runs that commands read; commands write into its folder ``out``.

    Args:
        where: the current folder, empty.
    """

    def __init__(self, where: Path) -> None:
        partial.SECONDS = 0.0  # the forked commands keep the state of evaluations after each batch
        self.out, self.log = where / "out", where / "log.txt"
        make_data(where / "data")
        for words in (
            TRAIN.format("blackbox", "blackbox"),
            "convert blackbox --output kmex --no-report --no-progress --force",
        ):
            ended = self.run(words)
            assert ended.code == 0, f"{words}: {ended.output}"

    def run(self, words: str, **hooks: Callable[..., None]) -> Ended:
        """Run a command line; the hooks are those of `run_command`."""
        return run_command(words.split(), self.log, **hooks)

    def start(self, command: Command) -> dict[str, Any]:
        """Empty the output, and make the earlier one; return its `digest`."""
        shutil.rmtree(self.out, ignore_errors=True)
        if not command.earlier:
            return {}
        ended = self.run(f"{command.words} {command.earlier}")
        assert ended.code == 0, ended.output
        return digest(self.out)

    def expected(self, command: Command, **hooks: Callable[..., None]) -> tuple[dict[str, Any], float]:
        """Run the command undisturbed; return the `digest` of its output, and the seconds."""
        self.start(command)
        ended = self.run(command.words, **hooks)
        assert ended.code == 0, f"{command.words}: {ended.output}"
        return digest(self.out), ended.seconds

    def harmed(self, earlier: dict[str, Any], expected: dict[str, Any]) -> list[str]:
        """Return what is wrong with the output of a command that was disturbed."""
        if not self.out.exists():
            return [f"{name} is gone" for name in earlier]
        now = digest(self.out)
        changed = [name for name, old in earlier.items() if now.get(name) not in (old, expected.get(name))]
        return [*incomplete(self.out), *(f"{name} is neither the old nor the new one" for name in changed)]

    def unlike(self, expected: dict[str, Any]) -> list[str]:
        """Return what is wrong with the output of a command that has ended well."""
        known, contents = ({**files, "config.yaml": "options"} for files in (expected, digest(self.out)))
        return [*differences(known, contents), *leftovers(self.out), *incomplete(self.out)]


def make_data(folder: Path) -> None:
    """Write digits of four classes as pictures, with splits."""
    splits = digits(320, 100)
    for name, source, most in (("train", splits.train, 14), ("val", splits.val, 4), ("test", splits.val, 8)):
        for label in range(4):
            indices = [index for index in range(len(source)) if source.labels[index] == label]
            chosen = indices[:most] if name != "test" else indices[-most:]
            (folder / name / str(label)).mkdir(parents=True)
            for index in chosen:
                image: Image.Image = source.read(index)
                image.resize((SIZE, SIZE)).save(folder / name / str(label) / f"{index}.png")

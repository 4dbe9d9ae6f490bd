"""Fuzz everything that the commands read: damaged, foreign and malicious files.

An input is good if it is read, and then used with finite results, or refused in one line; it must run no code, and
stay within the limits of `judging`. From the root of the project:

    PYTHONPATH=src:tests python -m robustness.fuzz --inputs 20000
    PYTHONPATH=src:tests python -m robustness.fuzz --only images --seed 0 --trial 17   repeats one input, with its trace
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = (
    "1"  # before the hub's client is imported; a foreign name must not be looked up
)

from robustness import arrays, configs, images, measures, model_folders, run_folders, weights
from robustness.judging import Judgement
from robustness.kind import Kind
from robustness.malice import Trap
from robustness.workers import random_of, run_trials

KINDS: dict[str, Kind] = {
    "images": images.KIND,
    "arrays": arrays.KIND,
    "weights": weights.KIND,
    "configs": configs.KIND,
    "model-folders": model_folders.KIND,
    "run-folders": run_folders.KIND,
    "measures": measures.KIND,
}


def fuzz(inputs: int, only: Sequence[str] = (), seed: int = 0) -> dict[str, list[Judgement]]:
    """Run inputs of all kinds, or of some, print each bad one and the counts, and return all judgements by kind.

    Args:
        inputs: the number of inputs of all kinds together.
        only: the kinds; by default all.
        seed: other seeds make other inputs.
    """
    chosen = {name: kind for name, kind in KINDS.items() if not only or name in only}
    total = sum(kind.share for kind in chosen.values())
    results: dict[str, list[Judgement]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="seeds-") as folder, chdir(folder):
        for name, kind in chosen.items():
            trap = Trap(Path(folder) / f"trap-{name}")
            seeds = _prepare(kind, Path(folder) / name, trap)
            started = time.monotonic()
            count = round(inputs * kind.share / total)
            for trial, judgement in run_trials(name, kind, seeds, seed, range(count), trap):
                results[name].append(judgement)
                if judgement.verdict == "bad":
                    words = f"--only {name} --seed {seed} --trial {trial}"
                    print(f"bad: {words}: {judgement.cause} ({judgement.seconds:.1f} s)", flush=True)
            print(_counts(name, results[name], time.monotonic() - started), flush=True)
    causes = Counter(one.cause for judged in results.values() for one in judged if one.verdict == "bad")
    for cause, count in causes.most_common():
        print(f"{count:6} x {cause}")
    print(f"{sum(map(len, results.values()))} inputs, {causes.total()} bad, seed {seed}")
    return results


def repeat(name: str, seed: int, trial: int) -> None:
    """Run one input without limits, so that an error ends with its trace; its files are kept."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-{trial}-"))
    kind, place = KINDS[name], folder / "input"
    trap = Trap(folder / "trap")
    seeds = _prepare(kind, folder / "seeds", trap)
    place.mkdir()
    print(f"files: {place}", flush=True)
    os.chdir(place)
    kind.attempt(random_of(seed, name, trial), seeds, place)
    print("accepted; code was run" if trap.sprung else "accepted")


def _prepare(kind: Kind, folder: Path, trap: Trap) -> object:
    folder.mkdir()
    return kind.prepare(folder, trap)


def _counts(name: str, judged: Sequence[Judgement], seconds: float) -> str:
    verdicts = Counter(one.verdict for one in judged)
    slowest = max((one.seconds for one in judged), default=0.0)
    return (
        f"{name}: {len(judged)} inputs, {verdicts['accepted']} accepted, {verdicts['refused']} refused, "
        f"{verdicts['bad']} bad, in {seconds:.0f} s, the slowest in {slowest:.1f} s"
    )


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--only", action="append", choices=list(KINDS), default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trial", type=int, help="repeat this input of the kind that --only names")
    options = parser.parse_args(words)
    if options.trial is not None:
        repeat(options.only[0], options.seed, options.trial)
        return 0
    results = fuzz(options.inputs, options.only, options.seed)
    return int(any(one.verdict == "bad" for judged in results.values() for one in judged))


if __name__ == "__main__":
    sys.exit(main())

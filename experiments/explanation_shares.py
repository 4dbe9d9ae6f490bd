"""Measure how much of a score five reasons carry: of the plain score, and against the runner-up and the mean.

    python experiments/explanation_shares.py [--images N] [--top K] RUN ...

Each RUN is a run folder; the test images of its data are explained. Printed for each run, for the plain score and for
both differences: the mean over the images of the share of the reasons shown in Σ|contributions|, and in brackets the
percentage of images where it is below half; then the percentage of images of which the default explanation warns that
the reasons shown miss most of what decided.
"""

from __future__ import annotations

import argparse
import statistics

import resemblance
from resemblance.explain.explain import explain_batch
from resemblance.explain.explanation import Explanation
from resemblance.explain.request import explainable
from resemblance.runs.run import choose_split

REFERENCES = ("none", "runner-up", "mean")


def explained(run: resemblance.Run, reference: str, images: int, top: int) -> list[Explanation]:
    """Explain the first test images, and return the explanations in which a reason contributes."""
    _, source = choose_split(run.images(), "auto")
    pictures = [source.read(index) for index in range(min(images, len(source)))]
    explanations = explain_batch(
        explainable(run.model), pictures, against=reference, top=top, maps="none", batch_size=64
    )
    return [explanation for explanation in explanations if explanation.breakdown.absolute > 0]


def cell(explanations: list[Explanation]) -> str:
    """Return the mean share of the reasons shown, and how often it is below half."""
    shares = [explanation.share for explanation in explanations]
    weak = statistics.fmean(share < 0.5 for share in shares)
    return f"{100 * statistics.fmean(shares):.0f} % ({100 * weak:.0f} %)"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--top", type=int, default=5)
    options = parser.parse_args()
    print(
        "| method | reasons | plain score | against the runner-up | against the mean | warned | accuracy | images |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for folder in options.runs:
        run = resemblance.open_run(folder)
        columns = [explained(run, reference, options.images, options.top) for reference in REFERENCES]
        cells = [cell(column) for column in columns]
        default = explained(run, "auto", options.images, options.top)
        cells.append(f"{100 * statistics.fmean(e.misses(e.breakdown) for e in default):.0f} %")
        count = len(explainable(run.model).prototypes)
        accuracy = f"{100 * run.metrics['test']['accuracy']:.1f} %"
        print(f"| {run.name} | {count} | {' | '.join(cells)} | {accuracy} | {len(columns[0])} |")


if __name__ == "__main__":
    main()

"""`Run`, a finished run with the verbs as its methods."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from resemblance.data.sources.source import DataSplits, Source
from resemblance.explain.many.explanations import Explanations
from resemblance.explaining import explain
from resemblance.runs.explained_images import Labels
from resemblance.runs.messages import Messages
from resemblance.runs.opening import Openable
from resemblance.runs.run import RunRecord

# The other verbs are imported where they are used: scikit-learn, Lightning, torchmetrics and matplotlib take four times
# as long to import as torch, and who explains an image needs none of them.
if TYPE_CHECKING:
    from resemblance.export.bundle import Exported
    from resemblance.metrics.evaluation import Evaluation
    from resemblance.runs.audited_run import RunAudit
    from resemblance.runs.evaluated_runs import RunsEvaluation


class Run(RunRecord):
    """A finished run, as `train`, `convert` and `open_run` return it.

    Attributes:
        name: the name of the folder.
        model: the model in evaluation mode; after `train` and `convert`, it is on the CPU.
        folder: the run folder; None for a model folder alone, or a model on the Hugging Face Hub.
        config: the content of its config.yaml.
        metrics: the content of its metrics.json.
        notes: notes that the reader should know: images left out or split off, results of projection and pruning.
    """

    def explain(
        self,
        images: Any,
        *,
        top: int | None = 5,
        prototypes: Sequence[int] | None = None,
        classes: Sequence[int | str] | None = None,
        against: int | str = "auto",
        labels: Labels = None,
        maps: str = "auto",
        check_maps: bool | None = None,
        abstain_below: float | None = None,
        conformal: float | None = None,
        figures: str = "auto",
        output: Path | str | None = None,
        skip_bad_images: bool = False,
        batch_size: int = 16,
        accelerator: str = "auto",
        progress: bool = False,
        messages: Messages | None = None,
    ) -> Explanations:
        """Explain images; see `resemblance.explain`."""
        return explain(
            self,
            images,
            top=top,
            prototypes=prototypes,
            classes=classes,
            against=against,
            labels=labels,
            maps=maps,
            check_maps=check_maps,
            abstain_below=abstain_below,
            conformal=conformal,
            figures=figures,
            output=output,
            skip_bad_images=skip_bad_images,
            batch_size=batch_size,
            accelerator=accelerator,
            progress=progress,
            messages=messages,
        )

    @overload
    def evaluate(
        self,
        data: str | DataSplits | Source | None = None,
        *,
        metrics: None = None,
        split: str = "auto",
        batch_size: int = 128,
        workers: int = 0,
        skip_bad_images: bool = False,
        labels: str | None = None,
        accelerator: str = "auto",
        devices: int = 1,
        progress: bool = False,
    ) -> Evaluation: ...

    @overload
    def evaluate(
        self,
        data: str | DataSplits | Source | None = None,
        *,
        metrics: str | Sequence[str] | None = None,
        against_kmex: bool = False,
        output: Path | str | None = None,
        blackbox: Openable | None = None,
        split: str = "auto",
        batch_size: int = 128,
        workers: int = 0,
        skip_bad_images: bool = False,
        labels: str | None = None,
        accelerator: str = "auto",
        devices: int = 1,
        progress: bool = False,
        messages: Messages | None = None,
        **options: Any,
    ) -> RunsEvaluation: ...

    def evaluate(
        self, data: str | DataSplits | Source | None = None, **options: Any
    ) -> Evaluation | RunsEvaluation:
        """Measure the model; see `resemblance.evaluate`."""
        from resemblance.evaluating import evaluate

        result: Evaluation | RunsEvaluation = evaluate(self, data, **options)
        return result

    def audit(
        self,
        data: str | DataSplits | None = None,
        *,
        checks: str | Sequence[str] | None = None,
        output: Path | str | None = None,
        split: str = "auto",
        batch_size: int = 32,
        skip_bad_images: bool = False,
        labels: str | None = None,
        accelerator: str = "auto",
        devices: int = 1,
        progress: bool = False,
        messages: Messages | None = None,
        **options: Any,
    ) -> RunAudit:
        """Try whether the model's explanations can be trusted; see `resemblance.audit`."""
        from resemblance.auditing import audit

        return audit(
            self,
            data,
            checks=checks,
            output=output,
            split=split,
            batch_size=batch_size,
            skip_bad_images=skip_bad_images,
            labels=labels,
            accelerator=accelerator,
            devices=devices,
            progress=progress,
            messages=messages,
            **options,
        )

    def report(
        self,
        output: Path | str | None = None,
        *,
        data: str | DataSplits | None = None,
        title: str = "",
        explain: int = 8,
        top: int = 5,
        against: int | str = "auto",
        maps: str = "auto",
        check_maps: bool = True,
        seed: int = 0,
        batch_size: int = 128,
        workers: int = 0,
        skip_bad_images: bool = False,
        labels: str | None = None,
        messages: Messages | None = None,
    ) -> Path:
        """Write the run's page; see `resemblance.report`."""
        from resemblance.report.run_pages import report

        return report(
            self,
            output,
            data=data,
            title=title,
            explain=explain,
            top=top,
            against=against,
            maps=maps,
            check_maps=check_maps,
            seed=seed,
            batch_size=batch_size,
            workers=workers,
            skip_bad_images=skip_bad_images,
            labels=labels,
            messages=messages,
        )

    def export(self, onnx: Path | str, *, pictures: bool = True) -> Exported:
        """Write the model as an ONNX graph; see `resemblance.export`."""
        from resemblance.exporting import export

        return export(self, onnx, pictures=pictures)

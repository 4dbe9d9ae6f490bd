"""`explain`, the verb of the Python interface that explains images; `resemblance.api` has the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resemblance.config.commands import FEW
from resemblance.data.sources.image_list import list_images
from resemblance.explain.explanation import Explanation
from resemblance.explain.many.explanations import Explanations
from resemblance.explain.request import Request, explainable
from resemblance.relevance.similarity import default_kind
from resemblance.runs.explained_images import Labels, explain_images, true_labels
from resemblance.runs.messages import Messages
from resemblance.runs.opening import Openable, as_runs
from resemblance.runs.run import RunRecord

if TYPE_CHECKING:
    from resemblance.report.explanation_page import ExplanationWriter


def explain(
    model: Openable,
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
    """Explain a model's predictions for images.

    Args:
        model: a model with prototypes, a run, or the folder of one.
        images: one or several images: paths, PIL images, arrays or tensors (C, H, W) in [0, 1], batches (B, C, H, W);
            or folders, with their subfolders, of which files that are not images are left out.
        top: the number of reasons to show; None for all.
        prototypes: the prototypes to show instead, whatever class they belong to.
        classes: names or indices of the classes whose scores are explained; by default, the predicted class.
        against: what scores are compared with, so that contributions add up to the difference: ``mean`` (of the
            classes), ``runner-up``, a class, or ``none`` for the plain score; by default the mean for logits with
            many negative weights, and the plain score for others.
        labels: the true class of each image, or one for all of them, or the `Path` of a table of files and classes; by
            default, the class folders in which images lie, or the only table beside them.
        maps: the map of each reason: auto, none, similarity, gradient, smoothgrad, integrated or prp. For more than 10
            images, auto shows only maps that cost nothing.
        check_maps: whether to check maps by deletion (30 forward passes each); by default if there is an output, for
            at most 10 images.
        abstain_below: the quantile, in [0, 1], of the deciding similarity of correctly classified validation images
            below which the model abstains; by default it always predicts.
        conformal: the probability with which a set of classes, ``answer_set``, holds the true class; by default there
            is no set.
        figures: which explanations have a figure in the folder: all, wrong, none, or auto: all of at most 10.
        output: a folder for explanations.csv and explanations.jsonl, a page and figures; or a picture or .html file;
            by default nothing is written.
        skip_bad_images: whether to leave out image files that are named and cannot be read instead of stopping.
        batch_size: images per forward pass.
        accelerator: the hardware of a model that is opened here: auto, cpu, gpu or mps.
        progress: whether to show progress bars.
        messages: receives notes about images that are left out.

    Returns:
        One explanation per image, in the order of the images.

    Raises:
        UserError: if an image cannot be read, a class or prototype does not exist, or the model has no prototypes.

    Example:
        >>> [explanation] = explain("runs/kmex", "digit.png", labels="3")  # doctest: +SKIP
        >>> explanation.plot().savefig("why.png")  # doctest: +SKIP
        >>> explain("runs/kmex", "xrays/test", output="why").summary  # doctest: +SKIP
    """
    explanations = explain_each(
        model,
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
    return Explanations(explanations)


def explain_each(
    model: Openable,
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
) -> Iterator[Explanation]:
    """Explain images one by one, as `explain` does: for more images than the memory holds explanations of.

    The tables of the output are written as it goes, the page and the figures at the end. The arguments are those of
    `explain`.
    """
    [run], listed, told = as_runs(model, accelerator), list_images(images), messages or Messages()
    path = None if output is None else Path(output).expanduser()
    many = len(listed) > FEW
    if many and maps == "auto" and default_kind(explainable(run.model)) != "similarity":
        maps = "none"  # the others cost many passes per image
    check = path is not None and not many if check_maps is None else check_maps
    chosen: dict[str, Any] = {"top": top, "prototypes": prototypes, "classes": classes, "against": against}
    chosen |= {"maps": maps, "abstain_below": abstain_below, "conformal": conformal}
    # Mistakes are found before anything is written.
    Request.of(explainable(run.model), check=check, **chosen)
    true_labels(run.model, listed, labels)
    for note in listed.notes:
        told.warn(note)
    writing = nullcontext() if path is None else _writing(run, path, len(listed), figures)
    made = explain_images(
        run.model,
        listed,
        labels,
        skip_bad_images,
        told,
        batch_size=batch_size,
        progress=progress,
        check_maps=check,
        **chosen,
    )
    with writing as writer, closing(made):
        for explanation in made:
            if writer is not None:
                writer.add(explanation)
            yield explanation
        if writer is not None:
            writer.finish(progress)


def _writing(
    run: RunRecord, output: Path, images: int, figures: str
) -> AbstractContextManager[ExplanationWriter]:
    """Return what writes the explanations; imported only here, since matplotlib and the page take a second."""
    from resemblance.report.explanation_page import writing_explanations

    return writing_explanations(run, output, images, figures)

"""Compare the answers of an ONNX graph, as onnxruntime computes them, with those of the model."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.export.answer_graph import AnswerGraph
from resemblance.export.onnx_file import INPUT
from resemblance.export.packages import import_packages

TOLERANCE = 1e-5  # of the largest value of an output
OWN_ERRORS = 4  # multiple of the model's own largest rounding error that is allowed beyond that
LARGEST = 1e-3  # of the largest value; never allowed is more
# Outputs that are choices, which the other ones decide, and outputs that belong to the predicted class.
CHOICES = ("prediction", "deciding_prototype")
OF_THE_SUM = ("scores", "contributions", "bias")
OF_THE_PREDICTION = ("contributions", "bias", "reason_similarities", "deciding_similarity")
Answers = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Agreement:
    """How well an ONNX graph agrees with its model.

    Args:
        images: the number of images compared.
        differences: the largest difference of each output, relative to its largest value.
        software: the name and version of what computed the graph.
    """

    images: int
    differences: Mapping[str, float]
    software: str

    @property
    def largest(self) -> float:
        """The largest of the differences."""
        return max(self.differences.values())


def check_onnx(content: bytes, graph: AnswerGraph, images: Tensor) -> Agreement:
    """Compare the outputs of an ONNX graph with those of the model, for a batch and for one image.

    A difference may be 1e-5 of the output's largest value; for scores and contributions, of Σ|contributions| + |bias|.
    Only where the model itself rounds more, as a comparison
    with the same model in float64 shows, it may be four times that error, and at most 1e-3: beside a prototype, the
    logarithm of ProtoPNet's similarity magnifies the last digit of a distance ten-thousandfold.

    Args:
        content: the content of the ONNX file.
        graph: the model's answer that it was made from.
        images: (B, C, H, W) in [0, 1].

    Raises:
        UserError: if an output differs by more.
    """
    onnxruntime = import_packages().onnxruntime
    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        parts = [_computed(session, graph, images), _computed(session, graph, images[:1])]
    except Exception as error:  # onnxruntime raises kinds of its own, without a common base
        lines = str(error).splitlines() or [type(error).__name__]
        raise UserError(
            f"onnxruntime cannot compute the graph of {graph.model.name}: {lines[0][:200]}"
        ) from error
    comparison = _Comparison(graph, images)
    for answers in parts:
        comparison.add(answers)
    return Agreement(len(images), comparison.differences, f"onnxruntime {onnxruntime.__version__}")


class _Comparison:
    """Compares answers with those of the model, and collects the largest differences."""

    def __init__(self, graph: AnswerGraph, images: Tensor) -> None:
        self.graph, self.images = graph, images
        self.expected = _expected(graph, images)
        self.differences: dict[str, float] = {}

    def add(self, answers: Answers) -> None:
        """Compare the answers for the first images.

        Raises:
            UserError: if they differ by more than is allowed.
        """
        count = len(answers["scores"])
        expected = {name: values[:count] for name, values in self.expected.items()}
        # Where two classes have equal scores, the last digit chooses one: then reasons are of another class.
        same = answers["prediction"] == expected["prediction"]
        parts = np.abs(expected["contributions"]).sum(axis=1) + np.abs(expected["bias"])
        for name in self.graph.names:
            if name in CHOICES:
                continue
            rows = same if name in OF_THE_PREDICTION else np.ones_like(same)
            # The parts of a sum and the sum have one scale, that of the numbers which are added up.
            scale = float((parts if name in OF_THE_SUM else _finite(expected[name])).max(initial=0))
            self._compare(name, answers[name][rows].astype(np.float64), expected[name][rows], rows, scale)

    def _compare(
        self,
        name: str,
        values: NDArray[np.float64],
        right: NDArray[np.float64],
        rows: NDArray[np.bool_],
        scale: float,
    ) -> None:
        errors = np.where(values == right, 0, np.abs(values - right))  # equal infinities do not differ
        allowed = TOLERANCE * scale
        if (errors > allowed).any():
            own_error = _finite(right - self._exact[name][: len(rows)][rows]).max(initial=0)
            allowed = min(allowed + OWN_ERRORS * own_error, LARGEST * scale)
        if not (errors <= allowed).all():  # NaN is no agreement
            raise UserError(
                f"the {name} of the graph differ from those of the {self.graph.model.name} by up to "
                f"{errors.max():.2g}, where {allowed:.2g} is allowed; nothing was written"
            )
        share = float(errors.max(initial=0) / scale) if scale else 0.0
        self.differences[name] = max(self.differences.get(name, 0.0), share)

    @cached_property
    def _exact(self) -> Answers:
        return _expected(self.graph, self.images, torch.float64)


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the absolute values of the finite numbers, in one row."""
    return np.abs(values[np.isfinite(values)])


def _computed(session: Any, graph: AnswerGraph, images: Tensor) -> Answers:
    outputs = session.run(list(graph.names), {INPUT: images.numpy()})
    return dict(zip(graph.names, outputs, strict=True))


@torch.no_grad()
def _expected(graph: AnswerGraph, images: Tensor, dtype: torch.dtype = torch.float32) -> Answers:
    if dtype != torch.float32:
        graph = deepcopy(graph).to(dtype)
    answers = graph(images.to(dtype))
    return {name: answer.double().numpy() for name, answer in zip(graph.names, answers, strict=True)}

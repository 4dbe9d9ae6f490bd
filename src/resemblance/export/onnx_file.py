"""Convert the answer of a model to an ONNX graph."""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from resemblance.config.errors import UserError
from resemblance.export.accurate_logarithms import accurate_operations
from resemblance.export.answer_graph import AnswerGraph
from resemblance.export.packages import import_packages

INPUT, BATCH = "images", "batch"
LARGEST = 2_000_000_000  # bytes of one file; protobuf allows no more than 2 GiB
_OPERATOR = re.compile(r"\b(aten|prims|torchvision)[.:]+(\w+)")
_OPEN_BATCH = re.compile(r"specialized|Constraints violated")


def onnx_bytes(graph: AnswerGraph, properties: Mapping[str, Any]) -> bytes:
    """Return the graph as the content of an ONNX file, for any number of images.

    Args:
        graph: the answer of a model.
        properties: values by name that are stored in the file, as JSON; they do not change the graph.

    Raises:
        UserError: if the model has an operation that cannot be recorded or that ONNX does not have, or the weights do
            not fit into one file.
    """
    onnx = import_packages().onnx
    with _silence():
        proto: Any = _converted(graph, _recorded(graph))
    if proto.ByteSize() > LARGEST:
        raise UserError(
            f"the weights of this {graph.model.name} are {proto.ByteSize() / 1e9:.1f} GB, and one ONNX file holds 2 GB"
        )
    _name_batch(proto.graph)
    onnx.helper.set_model_props(
        proto, {name: json.dumps(value, ensure_ascii=False) for name, value in properties.items()}
    )
    onnx.checker.check_model(proto)
    content: bytes = proto.SerializeToString()
    return content


def _recorded(graph: AnswerGraph) -> torch.export.ExportedProgram:
    name = graph.model.name
    batch = torch.export.Dim(BATCH)
    try:
        with torch.no_grad():
            return torch.export.export(graph, (graph.example(),), dynamic_shapes=({0: batch},))
    except Exception as error:  # torch raises a dozen kinds
        if _OPEN_BATCH.search(str(error)):
            raise UserError(
                f"{name} cannot be exported: its computation depends on the number of images in a batch"
            ) from error
        raise UserError(
            f"{name} cannot be exported: torch.export cannot record it ({_first_line(error)})"
        ) from error


def _converted(graph: AnswerGraph, program: torch.export.ExportedProgram) -> Any:
    try:
        made = torch.onnx.export(
            program,
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=list(graph.names),
            custom_translation_table=accurate_operations(),
        )
        assert made is not None
        return made.model_proto
    except Exception as error:
        operators = sorted({match[2] for text in _texts(error) for match in _OPERATOR.finditer(text)})
        reason = (
            f"ONNX has no equivalent of its operation {operators[0]}" if operators else _first_line(error)
        )
        raise UserError(f"{graph.model.name} cannot be exported: {reason}") from error


def _name_batch(graph: Any) -> None:
    """Give the number of images its name in all shapes; the converter calls it by a symbol of its own."""
    symbol = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*graph.input, *graph.output, *graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param == symbol:
                size.dim_param = BATCH


def _texts(error: BaseException | None) -> Iterator[str]:
    """Yield the messages of an error's causes, the innermost first: the outer ones quote the whole graph."""
    chain = []
    while error is not None:
        chain.append(str(error).split("\n", 1)[0])
        error = error.__cause__ or error.__context__
    yield from reversed(chain)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the notes of the converters to their developers from the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

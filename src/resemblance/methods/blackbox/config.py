"""Configuration of the black box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.encoder import EncoderConfig
from resemblance.config.method import MethodConfig
from resemblance.config.options import option


@dataclass
class BlackBoxConfig(EncoderConfig, MethodConfig):
    """An encoder with a linear classifier: the baseline for all methods."""

    name: ClassVar[str] = "blackbox"
    model: ClassVar[str] = "resemblance.methods.blackbox.model:BlackBox"
    line: ClassVar[str] = "encoder, global pooling, linear classifier: the baseline; does not explain"
    citation: ClassVar[str] = "baseline"

    rate: float = option(1e-3, "learning rate", above=0)
    weight_decay: float = option(1e-4, "weight decay (AdamW)", least=0)
    label_smoothing: float = option(
        0.0, "share of each label that is spread evenly over the classes, from 0 to below 1", least=0, below=1
    )

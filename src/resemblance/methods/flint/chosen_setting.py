"""Choose the predictor and the setting of FLINT for images, with the values that the configuration replaces."""

from __future__ import annotations

from dataclasses import replace

from resemblance.config.model import ModelSpec
from resemblance.methods.flint.config import SETTINGS, WEIGHTS, FLINTConfig, Setting
from resemblance.methods.flint.networks import choose_predictor


def choose_setting(config: FLINTConfig, spec: ModelSpec) -> tuple[str, Setting]:
    """Return the predictor's name, and the setting, in which values of the configuration replace the setting's.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> name, setting = choose_setting(FLINTConfig(attributes=9), spec)
        >>> name, setting.attributes, setting.input_fidelity.weight
        ('mnist', 9, 0.8)
    """
    name = choose_predictor(spec.image) if config.encoder == "auto" else config.encoder
    chosen = config.setting
    if chosen == "auto":
        resnet = "cifar" if spec.image.channels == 3 else "quickdraw"
        chosen = {"mnist": "mnist", "resnet": resnet}.get(name, "kmex")
    setting = SETTINGS[chosen]
    count = setting.attributes * (spec.num_classes if setting.per_class else 1)
    setting = replace(setting, attributes=count if config.attributes is None else config.attributes)
    if config.threshold is not None:
        setting = replace(setting, threshold=config.threshold)
    for term in WEIGHTS:
        if (weight := getattr(config, term)) is not None:
            setting = replace(setting, **{term: replace(getattr(setting, term), weight=weight)})
    return name, setting

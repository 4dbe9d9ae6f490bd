"""The black box's schedule: from the start without weights, after a linear probe with them.

An encoder without weights is trained with its classifier in one stage. Weights are worth more than what a small set of
images teaches: training all of it at once moves the encoder while the classifier is still random. So the classifier is
fitted first, to convergence, on the embeddings of the encoder as it is (a linear probe); then both are trained, the
encoder at a tenth of the rate. The probe is kept unless validation clearly prefers what follows (Kumar et al. 2022,
"Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", train in the same two steps).
"""

from __future__ import annotations

from torch import nn

from resemblance.core.recipe import Group, Schedule, Stage
from resemblance.encoders.build import Encoder
from resemblance.methods.blackbox.config import BlackBoxConfig

EPOCHS = 20
PROBE = "probe"
WARMUP = 0.1  # share of the stage
ENCODER_SHARE = 0.1  # of the rate


def blackbox_stages(config: BlackBoxConfig, encoder: Encoder) -> list[Stage]:
    """Return the stages that train an encoder and its classifier: AdamW, with a cosine schedule down to 0.

    Args:
        config: the configuration.
        encoder: with its classifier; a classifier that was loaded with the weights is not fitted again.
    """
    rate = Group(config.rate, config.weight_decay)
    if config.weights == "none":
        return [_stage("classifier", {"encoder": rate, "head": rate})]
    linear = isinstance(encoder.classifier, nn.Linear) and encoder.classifier.bias is not None
    probes = linear and not encoder.trained_head
    stages = (
        [Stage(PROBE, 0, {}, end=("probe",), candidate=True, scales=False, measured=True)] if probes else []
    )
    if not config.freeze_encoder:
        slower = Group(ENCODER_SHARE * config.rate, config.weight_decay)
        stages.append(_stage("encoder and head", {"encoder": slower, "head": rate}, WARMUP, candidate=probes))
    elif not probes:
        stages.append(_stage("head", {"head": rate}))
    return stages


def _stage(name: str, groups: dict[str, Group], warmup: float = 0.0, candidate: bool = False) -> Stage:
    schedule = Schedule("cosine", warmup=warmup)
    return Stage(
        name,
        EPOCHS,
        groups,
        optimizer="adamw",
        schedule=schedule,
        select="best",
        candidate=candidate,
        clearly=candidate,
    )


def batch_size(config: BlackBoxConfig) -> int:
    """Return the images per batch: fewer with weights, so that few images make several steps per epoch."""
    return 128 if config.weights == "none" else 32


def encoder_and_head(encoder: Encoder) -> dict[str, list[nn.Parameter]]:
    """Return the parameters of an encoder without its classifier, and of its classifier."""
    head = [] if encoder.classifier is None else list(encoder.classifier.parameters())
    known = {id(parameter) for parameter in head}
    rest = [parameter for parameter in encoder.parameters() if id(parameter) not in known]
    return {name: parameters for name, parameters in (("encoder", rest), ("head", head)) if parameters}

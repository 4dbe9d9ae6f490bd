"""PIP-Net: patch-based intuitive prototypes (Nauta, Schlötterer, van Keulen and Seifert, CVPR 2023).

No vectors are compared: a prototype *is* a channel of the encoder. A softmax over the channels of the latent map gives
the prototype that each patch shows; the maximum over the patches is the presence of a prototype in the image:

    z = softmax_d f(x)                       (D, H, W): each patch is nearly one of D prototypes
    p_d = max_{h,w} z_{d,h,w}                presence in [0, 1]
    o = p · ω,  ω ≥ 0                        the scoring sheet: present prototypes add points to classes

The parts are learned first, from two views x', x'' of each image and without classes, then everything together:

    L = λ_C L_C + λ_A L_A + λ_T L_T
    L_A = −mean_{h,w} log(z'_{h,w} · z''_{h,w})            a patch is the same prototype in both views
    L_T = −mean_d log(tanh(Σ_b p_d))                       each prototype is present in some image of the batch
    L_C = cross entropy of log(1 + o²)                     its gradient is small for large o: ω becomes sparse

In evaluation, presences below 0.1 are set to zero. If no prototype with a weight is present, all scores are zero: the
model abstains.
Symbols: B images, C classes, D channels, P of them in use.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resemblance.config.model import ModelSpec
from resemblance.core.distributed import gather
from resemblance.core.output import Evidence, Output
from resemblance.core.recipe import Recipe
from resemblance.core.training_step import TrainingStep
from resemblance.core.traits import Traits
from resemblance.encoders.build import Encoder, build_map_encoder, check_map
from resemblance.methods.base import PrototypeMethod
from resemblance.methods.pipnet.config import PIPNetConfig
from resemblance.methods.pipnet.finer import make_finer
from resemblance.methods.pipnet.losses import SHRINK, align, logits, shrunk, tanh
from resemblance.methods.pipnet.prototypes import ChannelPrototypes
from resemblance.methods.pipnet.schedule import ALL, HEAD, LAST_LAYERS, PRETRAIN, schedule
from resemblance.methods.pipnet.stages import first_and_later
from resemblance.methods.pipnet.views import recoloured, shifted
from resemblance.prototypes.precision import full_precision, widened


class PIPNet(PrototypeMethod):
    """Channels as prototypes, present or not, and a scoring sheet without negative weights.

    Similarities are presences. In training `forward` computes two views of each image; the scores of the second view
    are in the output's extras. After training, only prototypes with a weight are kept, but the softmax is still over
    all channels.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: computes the latent map; its own classifier is not needed.
        saved: a saved state, whose number of prototypes is used; by default one per channel.

    Attributes:
        mean_contributions: (C, P), contribution of each prototype to a class's score, mean over its training images;
            NaN while unknown, and for classes without images.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> model = build("pipnet", {"encoder": "small"}, spec).eval()
        >>> output = model(torch.rand(3, 1, 28, 28))
        >>> output.similarities.shape, bool(torch.allclose(output.latents.sum(dim=1), torch.ones(3, 7, 7)))
        (torch.Size([3, 128]), True)
    """

    traits = Traits(maps=True, sources="all", encoder_groups=frozenset({"free", "later"}))
    renamed_tensors = {  # noqa: RUF012
        name: f"prototypes.{name}" for name in ("channels", "examples", "strengths")
    }

    mean_contributions: Tensor

    def __init__(
        self,
        config: PIPNetConfig,
        spec: ModelSpec,
        encoder: Encoder,
        saved: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(config, spec)
        self.config: PIPNetConfig = config
        self.encoder = encoder
        self.addon: nn.Module = nn.Identity()
        depth = encoder.channels
        if config.prototypes is not None:
            depth = config.prototypes
            self.addon = nn.Conv2d(encoder.channels, depth, kernel_size=1)
            nn.init.xavier_uniform_(self.addon.weight)
        count, classes = depth if saved is None else len(saved["prototypes.owners"]), spec.num_classes
        self.prototypes: ChannelPrototypes = ChannelPrototypes(
            torch.zeros(count, classes), config.least_presence
        )
        self.last = nn.Linear(count, classes, bias=False)
        nn.init.normal_(self.last.weight, mean=1.0, std=0.1)
        self.register_buffer("mean_contributions", torch.full((classes, count), torch.nan))
        self._step: TrainingStep | None = None

    @classmethod
    def make_encoder(
        cls,
        config: PIPNetConfig,
        spec: ModelSpec,
        module: nn.Module | None,
        tensors: Mapping[str, Tensor] | None,
        load_weights: bool,
    ) -> Encoder:
        """Make an encoder of which only the map is used, with a finer map if configured."""
        encoder = build_map_encoder(config, spec.image, module, load_weights, parts=False)
        make_finer(encoder, spec.image, config.finer)
        check_map(encoder, spec.image)
        return encoder

    # image → patches' prototypes → presences → scores

    def encode(self, images: Tensor) -> Tensor:
        """Return the encoder's map (B, D', H, W)."""
        return self.encoder.map(self.encoder.features(self.normalize(images)))

    def refine(self, encoded: Tensor) -> Tensor:
        """Return z = softmax_d f(x), (B, D, H, W)."""
        features = self.addon(encoded)
        with full_precision(features):
            z: Tensor = widened(features).softmax(dim=1)
        return z

    def head(self, latents: Tensor) -> Output:
        """Compute presences p (B, P) and scores o = p · ω (B, C)."""
        with full_precision(latents):
            presence = self.prototypes(latents).similarities
            # The paper's abstention needs presences of zero, which a softmax never has: the authors' threshold is 0.1.
            used = presence if self.training else presence * (presence >= self.config.least_presence)
            return Output(F.linear(used, self.weights()), presence, latents, {"used": used})

    def weights(self) -> Tensor:
        """Return ω (C, P), which is not negative."""
        return widened(self.last.weight).relu()

    def view(self, images: Tensor) -> Tensor:
        """Change colours of images and shift them slightly; shapes do not change, so that patches can be compared."""
        shift = self.config.view_shift
        if shift is None:
            shift = max(1, round(4 / 224 * min(self.spec.image.size)))
        return shifted(recoloured(images, self.config.view_strength, self.config.view_colours), shift)

    def forward(self, images: Tensor) -> Output:
        """Classify images (B, C, H, W) in [0, 1]; in training, two views of each."""
        if not self.training:
            return super().forward(images)
        both = super().forward(torch.cat([self.view(images), self.view(images)]))
        (scores, scores2), (presence, presence2) = both.scores.chunk(2), both.similarities.chunk(2)
        latents, latents2 = both.latents.chunk(2)
        second = {"second scores": scores2, "second presence": presence2, "second latents": latents2}
        return Output(scores, presence, latents, {"used": presence, **second})

    def evidence(self, output: Output, classes: Tensor) -> Evidence:
        """Return the contributions p_d ω_dc of prototypes that are present; the bias is 0."""
        weights, used = self.weights()[classes], output.extras["used"]
        prototypes = torch.arange(len(self.prototypes), device=classes.device)
        return Evidence(weights * used, used.new_zeros(classes.shape[0]), prototypes, weights)

    def abstains(self, output: Output) -> Tensor:
        """Return where all scores are 0, (B,)."""
        return (output.scores == 0).all(dim=1)

    def probabilities(self, scores: Tensor) -> Tensor:
        """Return the probabilities in the classification loss, softmax of log(1 + o²)."""
        return logits(scores).softmax(dim=1)

    def used_prototypes(self, output: Output) -> Tensor:
        """Return the prototypes (B, P) that are present."""
        return output.extras["used"] > 0

    def extra_metrics(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Return whether the model abstains, and the share of the prototypes that contribute ("local size")."""
        contributions = self.evidence(output, output.scores.argmax(dim=1)).contributions
        return {
            "abstention": self.abstains(output),
            "share of the prototypes that count for an answer": (contributions > SHRINK).float().mean(dim=1),
        }

    # training

    def before_step(self, step: TrainingStep) -> None:
        """Note the training step, on which the weights of the terms depend."""
        self._step = step

    def term_weights(self) -> tuple[float, float, float]:
        """Return λ_A, λ_T and λ_C at this step; in evaluation, those of joint training.

        In pretraining, the authors' code has λ_T = 5, and λ_A increases to 1 from epoch to epoch.
        """
        config, step = self.config, self._step
        if not self.training or step is None or step.stage in (LAST_LAYERS, ALL):
            return config.align, config.tanh, config.classification
        if step.stage == HEAD:
            return 0.0, 0.0, config.classification
        if config.variant == "released":
            return (step.epoch + 1) / step.epochs, 5.0, 0.0
        return config.align, config.tanh, 0.0

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Compute λ_A L_A + λ_T L_T + λ_C L_C; in evaluation, from one view as if the other were the same."""
        presence, extras = output.similarities, output.extras
        pairs = [(output.scores, presence)]
        if "second scores" in extras:
            pairs.append((extras["second scores"], extras["second presence"]))
        weights = dict(zip(("align", "tanh", "classification"), self.term_weights(), strict=True))
        terms = {name: presence.new_zeros(()) for name in weights}
        if weights["align"]:
            terms["align"] = align(output.latents, extras.get("second latents", output.latents))
        if weights["tanh"]:
            parts = [tanh(gather(p.sum(dim=0, keepdim=True)).sum(dim=0)) for _, p in pairs]
            terms["tanh"] = torch.stack(parts).mean()
        if weights["classification"]:
            parts = [self.cross_entropy(logits(scores), labels) for scores, _ in pairs]
            terms["classification"] = torch.stack(parts).mean()
        return {name: weights[name] * term for name, term in terms.items()}

    def after_step(self) -> None:
        """Shrink all weights, so that those without a gradient become zero."""
        if self._step is not None and self._step.stage != PRETRAIN:
            self.last.weight.copy_(shrunk(self.last.weight))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the encoder's parameters that train first, those that train later, add-on and scoring sheet."""
        config = self.config
        free, later = first_and_later(self.encoder, not config.from_scratch, config.free_layers)
        groups = {
            "free": free,
            "later": later,
            "addon": list(self.addon.parameters()),
            "last": list(self.last.parameters()),
        }
        return {name: parameters for name, parameters in groups.items() if parameters}

    def recipe(self) -> Recipe:
        """Return the schedule: parts, scoring sheet, both with the last layers of a trained encoder, all layers."""
        return schedule(self.config, self.parameter_groups().keys())

    # after training

    @torch.no_grad()
    def assign_owners(self) -> None:
        """Let each prototype belong to the classes for which it has a weight, if it is present in a training image."""
        never = self.prototypes.strengths[:, 0] <= self.config.least_presence  # False while unknown
        self.last.weight[:, never] = 0
        self.prototypes.owners.copy_((self.weights() > SHRINK).T)

    @torch.no_grad()
    def keep(self, indices: Tensor) -> None:
        """Drop prototypes, but not their channels: the softmax is still over all channels."""
        super().keep(indices)
        self.last.weight = nn.Parameter(self.last.weight[:, indices].clone())
        self.last.in_features = len(indices)
        self.mean_contributions = self.mean_contributions[:, indices].clone()

"""The answer of a model as one function of tensors, with everything that an explanation shows."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resemblance.config.errors import UserError
from resemblance.core.deciding import has_deciding_similarity, largest_similarity
from resemblance.core.output import Evidence, Paths
from resemblance.core.prototype_model import PrototypeModel


@dataclass(frozen=True)
class MapOutput:
    """A tensor of similarity maps among the outputs.

    Args:
        output: its name.
        first: the prototype of its first map.
        count: the number of prototypes.
    """

    output: str
    first: int
    count: int


class AnswerGraph(nn.Module):
    """A copy of a model in evaluation mode and float32, whose answer is a tuple of tensors.

    Args:
        model: a model with prototypes; it is not changed.

    Attributes:
        names: the names of the outputs, in their order.
        maps: which outputs are similarity maps.
        reasons: the prototype of each reason, (R,).
        paths: the paths of the reasons, where reasons are paths.
        weighted: whether a weight leads from similarities to contributions.

    Raises:
        UserError: if the scores or similarities of the model are not finite.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.config.model import ModelSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> graph = AnswerGraph(build("protopnet", {"encoder": "small"}, spec))
        >>> answer = dict(zip(graph.names, graph(torch.rand(3, 1, 28, 28)), strict=True))
        >>> answer["scores"].shape, answer["contributions"].shape, answer["maps"].shape
        (torch.Size([3, 2]), torch.Size([3, 20]), torch.Size([3, 20, 7, 7]))
    """

    def __init__(self, model: PrototypeModel) -> None:
        super().__init__()
        copy = deepcopy(model).cpu().float().eval()
        self.model = copy.requires_grad_(False)
        self.model.fix_choices()
        with torch.no_grad():
            output = self.model(self.example())
            if not bool(output.finite.all()):
                raise UserError(f"the scores of this {model.name} are not finite; its weights are broken")
            self._decides = has_deciding_similarity(self.model, output)
            evidence = self.model.evidence(output, output.scores.argmax(dim=1))
            self.reasons, self.paths = evidence.prototypes, evidence.paths
            self.weighted = evidence.weights is not None
            components = list(self.model.prototypes.components(output.latents))
            named = len(components) > 1
            self.maps = tuple(
                MapOutput(f"maps_{number}" if named else "maps", first, len(layer))
                for number, (first, layer, _) in enumerate(components)
                if layer.has_maps
            )
            self.names: tuple[str, ...] = tuple(self._answer(self.example()))

    def example(self, count: int = 2) -> Tensor:
        """Return images (B, C, H, W) in [0, 1] of noise, the same each time."""
        image = self.model.spec.image
        generator = torch.Generator().manual_seed(0)
        return torch.rand(count, image.channels, *image.size, generator=generator)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs `names` for images (B, C, H, W) in [0, 1]."""
        return tuple(self._answer(images).values())

    def _answer(self, images: Tensor) -> dict[str, Tensor]:
        model = self.model
        output = model(images)
        predicted = output.scores.argmax(dim=1)
        evidence = model.evidence(output, predicted)
        answer = {
            "scores": output.scores,
            "probabilities": model.probabilities(output.scores),
            "prediction": predicted,
            "similarities": output.similarities,
            "contributions": evidence.contributions,
            "bias": evidence.bias,
        }
        if (shown := _reason_similarities(evidence)) is not None:
            answer["reason_similarities"] = shown
        if self._decides:
            answer["deciding_similarity"], answer["deciding_prototype"] = largest_similarity(model, output)
        if (abstains := model.abstains(output)) is not None:
            answer["abstains"] = abstains
        if (original := model.black_box_probabilities(output)) is not None:
            answer["original_probabilities"] = original
        layers = [
            (layer, part) for _, layer, part in model.prototypes.components(output.latents) if layer.has_maps
        ]
        for entry, (layer, part) in zip(self.maps, layers, strict=True):
            answer[entry.output] = layer.maps(part)
        return answer

    def steps(self, reason: int) -> list[tuple[int, bool]]:
        """Return the path of a reason, prototypes and whether they are present; empty where reasons are no paths."""
        paths: Paths | None = self.paths
        if paths is None:
            return []
        steps = zip(paths.prototypes[reason].tolist(), paths.present[reason].tolist(), strict=True)
        return [(prototype, present) for prototype, present in steps if prototype >= 0]


def _reason_similarities(evidence: Evidence) -> Tensor | None:
    """Return the similarities shown for reasons, (B, R), where these are not those of their prototypes."""
    return None if evidence.similarities is None else evidence.similarities.float()

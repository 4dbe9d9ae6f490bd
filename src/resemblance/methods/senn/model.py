"""SENN: self-explaining neural networks (Alvarez-Melis and Jaakkola, NeurIPS 2018).

A linear model whose features and coefficients are both computed by networks:

    f_c(x) = Σ_i θ_ic(x) h_i(x)                P(y = c | x) = softmax(f(x))_c

The conceptizer h is an autoencoder with K scalar concepts; the parametrizer θ computes the relevance of each concept
to each class, in (−1, 1). If θ is to be the coefficients of a model that is linear around x, it must change slowly
compared with h: if it were constant, J_x f would be θᵀ J_x h. The loss penalises the difference,

    L = E + λ ‖J_x f − θᵀ J_x h‖ + reconstruction + sparsity of h

By the product rule, J_x f − θᵀ J_x h = Σ_i h_i J_x θ_i: how f would change with x if h were constant. So h and θ
read x as two variables, and the penalty is the norm of ∂f/∂x through the second.

Concepts do not belong to classes: evidence for one class is evidence against another. They are shown by the training
images with the largest h_i ("prototypes" in the paper), and `mean_contributions` has the contribution of each to each
class.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resemblance.config.model import ModelSpec
from resemblance.core.distributed import gather
from resemblance.core.output import Evidence, Output
from resemblance.core.recipe import Group, Recipe, Stage
from resemblance.methods.base import PrototypeMethod
from resemblance.methods.senn.conceptizer import Conceptizer, build_parametrizer
from resemblance.methods.senn.config import SENNConfig
from resemblance.prototypes.precision import full_precision, widened
from resemblance.prototypes.scalars import ScalarPrototypes

EXACT_UP_TO = 20  # classes; for more classes the penalty is estimated
DIRECTIONS = 10
EXAMPLES = 6  # training images that show a concept


def row_gradients(
    scores: Tensor, images: Tensor, rows: Tensor, *, create_graph: bool, batched: bool
) -> Tensor:
    """Compute the gradients (R, B, ...) of Σ_c rows_rbc · score_bc with respect to the images, for each r.

    Args:
        scores: (B, C), computed from ``images``.
        images: (B, ...).
        rows: (R, B, C).
        create_graph: whether the result will be differentiated.
        batched: whether to use one backward pass for all, which is faster on GPUs, or one for each, faster on CPUs.

    Example:
        >>> x = torch.tensor([[2.0, 3.0]], requires_grad=True)
        >>> row_gradients(x**2, x, torch.eye(2)[:, None], create_graph=False, batched=True)[:, 0]
        tensor([[4., 0.],
                [0., 6.]])
    """
    if batched:
        return torch.autograd.grad(scores, images, rows, create_graph=create_graph, is_grads_batched=True)[0]
    gradients = [
        torch.autograd.grad(scores, images, row, create_graph=create_graph, retain_graph=True)[0]
        for row in rows
    ]
    return torch.stack(gradients)


class SENN(PrototypeMethod):
    """Concepts h(x), their relevances θ(x), and scores that are the sums of their products.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: not used: the method has its own networks.
        saved: not used: the model's shape does not depend on training.

    Attributes:
        mean_contributions: (C, K), contribution of each concept to a class's score, mean over its training images;
            NaN before the end of training, and for classes without images.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.1307,), (0.3081,)))
        >>> model = build("senn", {}, spec).eval()
        >>> output = model(torch.rand(3, 1, 28, 28))
        >>> output.similarities.shape, output.extras["theta"].shape
        (torch.Size([3, 20]), torch.Size([3, 20, 2]))
    """

    renamed_tensors = {"examples": "prototypes.examples"}  # noqa: RUF012

    mean_contributions: Tensor

    def __init__(
        self,
        config: SENNConfig,
        spec: ModelSpec,
        encoder: None = None,
        saved: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(config, spec)
        self.config: SENNConfig = config
        concepts, classes = config.concepts, spec.num_classes
        self.conceptizer = Conceptizer(spec.image, concepts)
        self.parametrizer = build_parametrizer(config.parametrizer, spec.image, concepts * classes)
        self.prototypes: ScalarPrototypes = ScalarPrototypes(
            torch.zeros(concepts, classes), examples=EXAMPLES
        )
        self.register_buffer("mean_contributions", torch.full((classes, concepts), torch.nan))

    # image → concepts and relevances → scores

    def latents(self, images: Tensor) -> Tensor:
        """Return the concepts and the inputs of tanh or sigmoid for their relevances, concatenated: (B, K + K·C)."""
        x = self.normalize(images)
        return self._latents(x, x)

    def _latents(self, x_h: Tensor, x_theta: Tensor) -> Tensor:
        return torch.cat([widened(self.conceptizer.encode(x_h)), widened(self.parametrizer(x_theta))], dim=1)

    def embed(self, latents: Tensor) -> Tensor:
        """Return the concepts h(x), (B, K)."""
        return latents[:, : self.config.concepts]

    def head(self, latents: Tensor) -> Output:
        """Compute the scores f_c = Σ_i θ_ic h_i.

        Dropout is applied to the relevances, as in the authors' code; the paper does not mention it.
        """
        with full_precision(latents):
            h = self.prototypes(latents).similarities
            raw = widened(latents)[:, self.config.concepts :]
            raw = F.dropout(raw, self.config.dropout, self.training)
            theta = raw.sigmoid() if self.config.positive else raw.tanh()
            theta = theta.reshape(-1, self.config.concepts, self.spec.num_classes)
            scores = torch.einsum("bk,bkc->bc", h, theta)
        return Output(scores, h, latents, {"theta": theta})

    def forward(self, images: Tensor) -> Output:
        """Classify images (B, C, H, W) in [0, 1]; in training, keep the variables for the gradient penalty."""
        x = self.normalize(images)
        x_h = x_theta = x
        if self.training and torch.is_grad_enabled() and self.config.robustness:
            x_h, x_theta = _variable(x), _variable(x)
        output = self.head(self._latents(x_h, x_theta))
        output.extras |= {"images": images, "x_h": x_h, "x_theta": x_theta}
        return output

    def evidence(self, output: Output, classes: Tensor) -> Evidence:
        """Return the contributions h_i θ_ic; the bias is 0."""
        h, theta = output.similarities, output.extras["theta"]
        weights = theta[torch.arange(classes.shape[0], device=classes.device), :, classes]
        prototypes = torch.arange(len(self.prototypes), device=classes.device)
        return Evidence(h * weights, h.new_zeros(classes.shape[0]), prototypes, weights)

    def reconstruct(self, images: Tensor) -> Tensor:
        """Reconstruct images (B, C, H, W) in [0, 1] from their concepts."""
        return self._as_images(self.conceptizer.decode(self.embed(self.latents(images))))

    def _as_images(self, decoded: Tensor) -> Tensor:
        if self.config.variant == "released":
            return (decoded * self.normalize.std + self.normalize.mean).clamp(0, 1)
        return (decoded + 1) / 2

    # training

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Compute cross entropy, gradient penalty, reconstruction error and sparsity, means over the images.

        The authors' code omits the last two if there is a penalty, and sums the sparsity over the batch.
        """
        config = self.config
        terms = {"cross_entropy": self.cross_entropy(output.scores, labels)}
        if config.robustness:
            terms["robustness"] = config.robustness * self.penalty(output)
        if self.decoder_is_trained:
            h = self.embed(output.latents)
            decoded, images = self.conceptizer.decode(h).float(), output.extras["images"]
            if config.variant == "released":  # standardised images have values outside the range of tanh
                error = F.mse_loss(decoded, self.normalize(images))
                size = gather(h).abs().sum()
            else:
                error = F.mse_loss(self._as_images(decoded), images)
                size = h.abs().sum(dim=1).mean()
            terms["reconstruction"] = config.reconstruction * error
            terms["sparsity"] = config.sparsity * size
        return terms

    @property
    def decoder_is_trained(self) -> bool:
        """Whether reconstructions are in the loss: in the authors' code, only if there is no penalty."""
        return self.config.variant == "paper" or not self.config.robustness

    def penalty(self, output: Output) -> Tensor:
        """Compute ‖J_x f − θᵀ J_x h‖, the Frobenius norm over classes and pixels of normalised x, mean over images.

        The authors' code has J_x of the log probabilities, and one norm over the whole batch (here that of all
        processes).
        """
        create_graph = torch.is_grad_enabled()
        if not output.extras["x_theta"].requires_grad:
            # The output was computed without gradients, as in validation: compute it again with them.
            with torch.inference_mode(False), torch.enable_grad():
                x = self.normalize(output.extras["images"].detach().clone())
                x_h, x_theta = _variable(x), _variable(x)
                output = self.head(self._latents(x_h, x_theta))
                output.extras |= {"x_h": x_h, "x_theta": x_theta}
                return self._penalty(output, create_graph)
        return self._penalty(output, create_graph)

    def _penalty(self, output: Output, create_graph: bool) -> Tensor:
        scores, x_theta = output.scores, output.extras["x_theta"]
        rows, count = self._rows(scores)
        gradients = row_gradients(
            scores, x_theta, rows, create_graph=create_graph, batched=scores.device.type != "cpu"
        )
        if self.config.variant == "released":
            # J log p_c = J f_c − J log Σ exp f, the latter through h and θ.
            total = scores.logsumexp(dim=1).sum()
            log_sum = torch.autograd.grad(
                total, [output.extras["x_h"], x_theta], create_graph=create_graph, retain_graph=True
            )
            gradients = gradients - rows.sum(dim=2)[:, :, None, None, None] * (log_sum[0] + log_sum[1])
        each: Tensor = torch.linalg.vector_norm(gradients.float(), dim=(0, 2, 3, 4)) / count**0.5  # (B,)
        whole: Tensor = torch.linalg.vector_norm(gather(each))
        return whole if self.config.variant == "released" else each.mean()

    def _rows(self, scores: Tensor) -> tuple[Tensor, int]:
        """Return directions (R, B, C), and the divisor of the sum of the squared norms of their gradients.

        The directions are all classes, or random signs v, since E‖Σ_c v_c g_c‖² = Σ_c ‖g_c‖². In evaluation the signs
        are the same each time.
        """
        batch, classes = scores.shape
        count = self.config.directions
        if count is None:
            count = 0 if classes <= EXACT_UP_TO else DIRECTIONS
        if not count:
            return torch.eye(classes, device=scores.device)[:, None].expand(-1, batch, -1), 1
        with torch.random.fork_rng(_devices(scores), enabled=not self.training):
            if not self.training:
                torch.manual_seed(0)
            signs = torch.randint(0, 2, (count, batch, classes), device=scores.device)
        return 2.0 * signs - 1, count

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of conceptizer, parametrizer and, if it is trained, the decoder."""
        groups = {
            "conceptizer": list(self.conceptizer.encoder.parameters()),
            "parametrizer": list(self.parametrizer.parameters()),
        }
        if self.decoder_is_trained:
            decoder = [self.conceptizer.spread, self.conceptizer.decoder]
            groups["decoder"] = [parameter for part in decoder for parameter in part.parameters()]
        return groups

    def recipe(self) -> Recipe:
        """Return ten epochs of Adam at 10⁻³ with batches of 128; the epoch with the best validation score is kept."""
        groups = {name: Group(0.001) for name in self.parameter_groups()}
        stage = Stage("train", 10, groups, end=("concepts", "usage"), select="best")
        return Recipe((stage,), batch_size=128)


def _variable(x: Tensor) -> Tensor:
    """Return the same numbers as a separate variable with a gradient."""
    return x.view_as(x) if x.requires_grad else x.detach().clone().requires_grad_()


def _devices(tensor: Tensor) -> list[int]:
    return [tensor.get_device()] if tensor.is_cuda else []

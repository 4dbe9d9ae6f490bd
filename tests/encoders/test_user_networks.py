"""Test networks as other people write them: what they return, how they classify, what wraps them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.optim.swa_utils import AveragedModel

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.encoders.build import Encoder, build_encoder
from resemblance.encoders.user.returned import relation
from resemblance.methods.loading import unwrapped_names

IMAGE = ImageSpec(32, 32, 3, (0.5,) * 3, (0.5,) * 3)


class Net(nn.Module):
    """A network as a user might write it, whose answer can be changed."""

    def __init__(self, classes: int = 3, answer: Callable[[Tensor], Any] = lambda logits: logits) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1)
        )
        self.head = self.make_head(classes)
        self.answer = answer
        self.eval()

    def make_head(self, classes: int) -> nn.Module:
        return nn.Linear(16, classes)

    def forward(self, images: Tensor) -> Any:
        features = self.body(images).relu().mean((2, 3))
        return (
            self.answer(self.logits(features))
            if self.answer is not None
            else (features, self.logits(features))
        )

    def logits(self, features: Tensor) -> Tensor:
        return self.head(features)


def build(
    module: nn.Module, num_classes: int | None = 3, image: ImageSpec = IMAGE, **options: Any
) -> Encoder:
    return build_encoder(EncoderConfig(encoder="custom", **options), image, num_classes, module=module).eval()


def images() -> Tensor:
    return torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(7))


def logits_of(net: Net) -> Tensor:
    return net.logits(net.body(images()).relu().mean((2, 3)))


class Answer(NamedTuple):
    features: Tensor
    logits: Tensor


@dataclass
class Record:
    name: str
    scores: Tensor


ANSWERS: dict[str, Callable[[Tensor], Any]] = {
    "features first": None,  # type: ignore[dict-item]
    "dictionary": lambda z: {"features": 1, "prediction": z},
    "nested": lambda z: {"aux": [torch.ones(len(z), 3), "text"], "deep": (z,)},
    "named tuple": lambda z: Answer(z.new_ones(len(z), 7), z),
    "dataclass": lambda z: Record("cat", z),
    "softmax": lambda z: z.softmax(1),
    "log-softmax": lambda z: (z.log_softmax(1), None),
    "sigmoids": lambda z: z.sigmoid(),
    "reshaped": lambda z: z[:, :3].view(-1, 3, 1, 1),
    "split": lambda z: torch.cat(z.view(-1, 3).unbind(1)).view(3, -1).t(),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_logits_are_found_in_whatever_is_returned(kind: str) -> None:
    net = Net(answer=ANSWERS[kind])
    encoder = build(net)
    torch.testing.assert_close(encoder(images()), logits_of(net))
    assert encoder.trained_head
    assert (encoder.grid, encoder.channels, encoder.embedding) == ((8, 8), 16, 16)


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (lambda z: z / 1.7, lambda z: z / 1.7, "the scale of 0.5882"),
        (lambda z: (z / 2).softmax(1), None, "the scale of 0.5"),
        (lambda z: (z / 2).sigmoid(), lambda z: z / 2, "the scale of 0.5"),
        (
            lambda z: z + torch.tensor([1.0, -1.0, 0.0]),
            lambda z: z + torch.tensor([1.0, -1.0, 0.0]),
            "the shift",
        ),
    ],
)
def test_scales_and_shifts_are_taken_into_the_classifier(answer: Any, expected: Any, words: str) -> None:
    net = Net(answer=answer)
    encoder, z = build(net), logits_of(net)
    if expected is None:
        torch.testing.assert_close(encoder(images()).softmax(1), answer(z), rtol=1e-3, atol=1e-4)
    else:
        torch.testing.assert_close(encoder(images()), expected(z), rtol=1e-3, atol=1e-4)
    assert words in encoder.description


@pytest.mark.parametrize(
    "answer",
    [lambda z: -z, lambda z: z.square(), lambda z: z * torch.tensor([1.0, 2.0, 3.0]), lambda z: z.relu()],
)
def test_answers_that_change_the_order_are_refused(answer: Any) -> None:
    with pytest.raises(
        UserError, match=r"changes the output of its last linear layer, head.*positive scale may follow"
    ):
        build(Net(answer=answer))


def test_what_is_returned_is_said() -> None:
    net = Net(answer=lambda z: (torch.ones(len(z), 8), {"a": z.argmax(1)}))
    with pytest.raises(
        UserError, match=r"returns a tuple of a tensor of shape \(3, 8\) and a dict of 'a': a tensor"
    ):
        build(net)


ONE: dict[str, Callable[[Tensor], Any]] = {
    "column": lambda z: z,
    "flat": lambda z: z.squeeze(1),
    "sigmoid": lambda z: z.sigmoid(),
    "flat sigmoid": lambda z: {"p": z.squeeze(1).sigmoid()},
    "two probabilities": lambda z: torch.cat([1 - z.sigmoid(), z.sigmoid()], 1),
    "zero beside": lambda z: torch.cat([z * 0, z], 1),
    "log-sigmoid": lambda z: F.logsigmoid(z),
}


@pytest.mark.parametrize("kind", ONE)
def test_one_output_becomes_two_logits(kind: str) -> None:
    net = Net(1, ONE[kind])
    encoder, z = build(net, 2), logits_of(net)
    torch.testing.assert_close(encoder(images()), torch.cat([z * 0, z], 1))
    assert encoder.num_classes == 2
    assert "its one output z is read as the logits (0, z)" in encoder.description
    with pytest.raises(UserError, match="has 1 classes, but 3 are needed"):
        build(net, 3)


def test_one_output_whose_first_column_is_its_probability() -> None:
    net = Net(1, lambda z: torch.cat([z.sigmoid(), 1 - z.sigmoid()], 1))
    encoder, z = build(net, 2), logits_of(net)
    torch.testing.assert_close(encoder(images()), torch.cat([z, z * 0], 1))


class ConvolutionalHead(Net):
    """A 1×1 convolution after the pooling."""

    def make_head(self, classes: int) -> nn.Module:
        return nn.Conv2d(16, classes, 1)

    def logits(self, features: Tensor) -> Tensor:
        return self.head(features[:, :, None, None]).flatten(1)


class PooledHead(ConvolutionalHead):
    """A 1×1 convolution of which the mean is returned."""

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images).relu()).mean((2, 3))


class FunctionalHead(Net):
    """Weights without a layer."""

    def make_head(self, classes: int) -> nn.Module:
        self.weight, self.bias = nn.Parameter(torch.randn(classes, 16)), nn.Parameter(torch.randn(classes))
        return nn.Identity()

    def logits(self, features: Tensor) -> Tensor:
        return F.linear(features, self.weight, self.bias)


class ProductHead(FunctionalHead):
    """A matrix product and a sum."""

    def logits(self, features: Tensor) -> Tensor:
        return features @ self.weight.t() + self.bias


class CosineHead(FunctionalHead):
    """Cosines times a scale, as in ArcFace."""

    def logits(self, features: Tensor) -> Tensor:
        return 16 * F.linear(F.normalize(features), F.normalize(self.weight))


class CosineLinear(nn.Linear):
    """A linear layer of a user's own, whose weights are normalised."""

    def forward(self, features: Tensor) -> Tensor:
        return F.linear(F.normalize(features), F.normalize(self.weight))


class CosineLayer(Net):
    """A head of a layer that is not what its class says."""

    def make_head(self, classes: int) -> nn.Module:
        return CosineLinear(16, classes)


class TokenHead(Net):
    """A head that reads a sequence of one token."""

    def logits(self, features: Tensor) -> Tensor:
        return self.head(features[:, None])[:, 0]


class NormedHead(Net):
    """A head with weight normalisation."""

    def make_head(self, classes: int) -> nn.Module:
        return weight_norm(nn.Linear(16, classes))


class DeepHead(Net):
    """A head of several layers, the last of which is the classifier."""

    def make_head(self, classes: int) -> nn.Module:
        return nn.Sequential(nn.Dropout(0.3), nn.Linear(16, 10), nn.ReLU(), nn.Linear(10, classes))


HEADS = [
    ConvolutionalHead,
    PooledHead,
    FunctionalHead,
    ProductHead,
    CosineHead,
    CosineLayer,
    NormedHead,
    DeepHead,
]


@pytest.mark.parametrize("kind", HEADS)
def test_classifiers_of_any_form(kind: type[Net]) -> None:
    net = kind()
    before = copy.deepcopy(net.state_dict())
    encoder = build(net)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images()), net(images()), rtol=1e-4, atol=1e-5)
    assert encoder.trained_head
    assert encoder.num_classes == 3
    assert encoder.grid == (8, 8)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert encoder.embed(encoder.features(images())).shape == (5, encoder.embedding)
    twin = copy.deepcopy(encoder)
    torch.testing.assert_close(twin(images()), encoder(images()))


@pytest.mark.parametrize("kind", HEADS)
def test_every_parameter_that_requires_a_gradient_gets_one(kind: type[Net]) -> None:
    encoder = build(kind()).train()
    encoder(images()).square().sum().backward()
    without = [name for name, p in encoder.named_parameters() if p.requires_grad and p.grad is None]
    assert not without


def test_the_output_with_as_many_values_as_classes_is_used() -> None:
    class Twofold(Net):
        def __init__(self) -> None:
            super().__init__(4)
            self.other = nn.Linear(16, 3)

        def forward(self, images: Tensor) -> Any:
            features = self.body(images).relu().mean((2, 3))
            return self.head(features), self.other(features)

    net = Twofold().eval()
    torch.testing.assert_close(build(net, 3)(images()), net(images())[1])
    torch.testing.assert_close(build(net, 4)(images()), net(images())[0])


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_brought_to_float32(kind: torch.dtype) -> None:
    net = Net().to(kind)
    encoder = build(net)
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    assert f"brought from {str(kind).removeprefix('torch.')} to float32" in encoder.description
    assert encoder(images()).dtype == torch.float32
    assert net.head.weight.dtype == kind


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel, AveragedModel])
def test_wrappers_are_taken_off(wrap: Any) -> None:
    net = Net()
    encoder = build(wrap(net))
    torch.testing.assert_close(encoder(images()), net(images()))
    assert "taken out of" in encoder.description
    assert type(encoder.module) is Net


def test_models_that_were_saved_around_a_wrapper_load() -> None:
    class Model(nn.Module):
        def __init__(self, encoder: Encoder) -> None:
            super().__init__()
            self.encoder = encoder

    model = Model(build(nn.DataParallel(Net())))
    tensors = dict(model.state_dict())
    old = {
        name.replace("encoder.module.", "encoder.module.module."): tensor for name, tensor in tensors.items()
    }
    assert unwrapped_names(old, model).keys() == tensors.keys()
    assert unwrapped_names(tensors, model) is tensors
    other = {"other": torch.ones(1)}
    assert unwrapped_names(other, model) is other


def test_wrappers_inside_a_network_are_taken_off() -> None:
    net, wrapped = Net(), Net()
    wrapped.body = nn.DataParallel(torch.compile(wrapped.body))
    encoder = build(wrapped)
    torch.testing.assert_close(encoder(images()), net(images()))
    assert isinstance(encoder.module.body, nn.Sequential)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_programs_are_named() -> None:
    traced = torch.jit.trace(Net(answer=lambda z: z), torch.zeros(2, 3, 32, 32))
    for module in (traced, nn.DataParallel(traced), nn.Sequential(traced)):
        with pytest.raises(
            UserError, match=r"TorchScript .* hand over the network from which it was made"
        ) as caught:
            build(module)
        assert "image-size" not in str(caught.value)


def test_the_size_is_only_blamed_if_another_one_works() -> None:
    class Fixed(Net):
        def forward(self, images: Tensor) -> Any:
            assert images.shape[-1] == 64
            return super().forward(images)

    class Twice(Net):
        def forward(self, images: Tensor, mask: Tensor) -> Any:  # type: ignore[override]
            return super().forward(images * mask)

    with pytest.raises(UserError, match=r"but it reads 3-channel images of 64x64: give --image-size 64"):
        build(Fixed())
    with pytest.raises(
        UserError, match=r"missing 1 required positional argument: 'mask'\), nor those of other"
    ) as twice:
        build(Twice())
    assert "--image-size" not in str(twice.value)
    with pytest.raises(UserError, match=r"reads 3-channel images of 32x32: give --channels 3"):
        build(Net(), image=ImageSpec(32, 32, 1, (0.5,), (0.5,)))


def test_networks_that_cannot_be_copied() -> None:
    net = Net()
    net.cache = net.head.weight * 2  # type: ignore[assignment]
    with pytest.raises(
        UserError, match=r"cannot be copied .*hand over a network that copy.deepcopy can copy"
    ):
        build(net)


def test_relations() -> None:
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    assert relation(z, z).plain
    assert relation(z, z[:2]) is None
    assert relation(z, torch.zeros(4, 3)) is None
    assert relation(z, z[:, [1, 0, 2]]) is None
    scaled = relation(z, (3 * z + 1).log_softmax(1))
    assert scaled is not None
    assert scaled.scale == pytest.approx(3, rel=1e-3)
    assert relation(z[:, :1], (z[:, :1] * 2).sigmoid()).scale == pytest.approx(2, rel=1e-3)  # type: ignore[union-attr]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", [FunctionalHead, ConvolutionalHead])
def test_networks_of_any_form_can_be_traced_and_exported(kind: type[Net]) -> None:
    encoder, batch = build(kind()), images()
    for parameter in encoder.parameters():
        parameter.requires_grad_(False)
    torch.testing.assert_close(torch.jit.trace(encoder, batch)(batch), encoder(batch))
    torch.testing.assert_close(torch.export.export(encoder, (batch,)).module()(batch), encoder(batch))

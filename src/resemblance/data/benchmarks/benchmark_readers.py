"""The readers of benchmark data sets, by the names of `config.files.named_files.NAMED`."""

from __future__ import annotations

from collections.abc import Callable

from resemblance.data.benchmarks.celeba import open_celeba
from resemblance.data.benchmarks.cifar10 import open_cifar
from resemblance.data.benchmarks.cub import open_cub
from resemblance.data.benchmarks.data_request import DataRequest
from resemblance.data.benchmarks.idx_files import open_idx
from resemblance.data.benchmarks.quickdraw import open_quickdraw
from resemblance.data.benchmarks.rendered_cars import open_rendered_cars
from resemblance.data.benchmarks.stanford_cars import open_cars
from resemblance.data.benchmarks.stl10 import open_stl10
from resemblance.data.benchmarks.svhn import open_svhn
from resemblance.data.sources.source import DataSplits

BENCHMARKS: dict[str, Callable[[DataRequest], DataSplits]] = {
    "mnist": open_idx,
    "fashion-mnist": open_idx,
    "cifar10": open_cifar,
    "svhn": open_svhn,
    "stl10": open_stl10,
    "quickdraw": open_quickdraw,
    "celeba": open_celeba,
    "cub": open_cub,
    "cub-cropped": open_cub,
    "cub-corners": open_cub,
    "cars": open_cars,
    "cars-cropped": open_cars,
    "rendered-cars": open_rendered_cars,
}
CHOOSES_LABELS = ("celeba",)  # whose --labels names an attribute

# Names of files by which the folder of a data set is recognised, if it is given without the kind.
MARKS = {
    "mnist:DIR or fashion-mnist:DIR": ("train-images*ubyte*",),
    "cifar10:DIR": ("data_batch_1*",),
    "svhn:DIR": ("train_32x32.mat", "test_32x32.mat"),
    "stl10:DIR": ("train_X.bin", "test_X.bin"),
    "celeba:DIR": ("list_attr_celeba.txt", "list_eval_partition.txt"),
    "cub:DIR, cub-cropped:DIR or cub-corners:DIR": ("image_class_labels.txt", "train_test_split.txt"),
    "cars:DIR or cars-cropped:DIR": ("cars_train", "cars_test"),
}

"""Preprocessing: what a function does to a picture, and what it does to a pixel, told apart by measuring."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2 as transforms

from rather import Classifier, RatherError
from rather.io.preprocessing import Preprocess

RESIZED = [transforms.Resize(40), transforms.CenterCrop((30, 36))]
TENSOR = [transforms.PILToTensor(), transforms.ToDtype(torch.float32, scale=True)]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def picture(width: int = 90, height: int = 61) -> Image.Image:
    """A picture of noise on slopes."""
    noise = np.random.default_rng(width).integers(0, 90, (height, width, 3))
    x, y = np.meshgrid(np.linspace(0, 160, width), np.linspace(0, 160, height))
    return Image.fromarray((noise + np.stack([x, y, (x + y) / 2], -1)).astype(np.uint8))


def bgr(image: Image.Image) -> Tensor:
    """As OpenCV and Caffe have it: blue first, 0 to 255, a mean a channel."""
    pixels = torch.from_numpy(np.array(image.resize((36, 30)))).permute(2, 0, 1).flip(0)
    return pixels.float() - torch.tensor([103.94, 116.78, 123.68])[:, None, None]


def composed(*steps: Any) -> Any:
    return transforms.Compose([*steps])


FUNCTIONS: dict[str, Callable[[Image.Image], Any]] = {
    "normalised": composed(*RESIZED, *TENSOR, transforms.Normalize(MEAN, STD)),
    "pixels": composed(*RESIZED, *TENSOR),
    "blue first": bgr,
    "grey thrice": composed(*RESIZED, transforms.Grayscale(3), *TENSOR, transforms.Normalize([0.5] * 3, [0.25] * 3)),
    "negative": composed(*RESIZED, *TENSOR, lambda x: 1 - x),
    "padded": composed(transforms.Resize((20, 20)), transforms.Pad((8, 5), fill=124), *TENSOR),
    "gamma": composed(*RESIZED, *TENSOR, lambda x: ((255 * x**2).round() / 255 - 0.5) / 0.5),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_its_two_parts_make_the_function(name: str) -> None:
    function = FUNCTIONS[name]
    made = Preprocess.measure(function)
    kept, wanted = made(picture()), function(picture())
    assert kept.shape == made.shape == tuple(wanted.shape)
    assert torch.equal((255 * kept).round() / 255, kept), "on the 8-bit grid"
    mean, std = (torch.tensor(values)[:, None, None] for values in (made.mean, made.std))
    given = (kept - mean) / std if made.order is None else ((kept - mean) / std)[list(made.order)]
    # A few roundings of 32 bits: of pixel, mean and quotient; levels of 8 bits are 10,000 times as far apart.
    assert (given - wanted).abs().max() <= 8 * torch.finfo(torch.float32).eps * (
        1 / std.abs().min() + wanted.abs().max()
    )


def test_it_finds_mean_deviation_and_order() -> None:
    made = Preprocess.measure(FUNCTIONS["normalised"])
    assert made.mean == pytest.approx(MEAN, abs=1e-6)
    assert made.std == pytest.approx(STD, abs=1e-6)
    assert made.order is None
    made = Preprocess.measure(bgr)
    assert made.order == (2, 1, 0)
    assert made.mean == pytest.approx([123.68 / 255, 116.78 / 255, 103.94 / 255], abs=1e-6)
    assert made.std == pytest.approx([1 / 255] * 3, abs=1e-6)
    assert torch.equal(made(picture()), Preprocess.measure(lambda image: image.resize((36, 30)))(picture()))


def test_arrays_and_grey_pictures() -> None:
    as_array = Preprocess.measure(lambda image: np.array(image.resize((36, 30))))
    assert (as_array.shape, as_array.mean, as_array.std) == ((3, 30, 36), (0, 0, 0), (1, 1, 1))
    grey = Preprocess.measure(lambda image: np.array(image.resize((36, 30)), dtype=np.float32), mode="L")
    assert grey.shape == (1, 30, 36)
    assert grey.std == pytest.approx((1 / 255,))


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda image: 1 / 0, "ZeroDivisionError"),
        (lambda image: "a picture", "str"),
        (composed(transforms.Resize(40), *TENSOR), "depends on the picture: 3 x 40 x 54, and 3 x 54 x 40"),
        (composed(transforms.Resize((40, 40)), transforms.RandomCrop(20), *TENSOR), "random"),
        (composed(*RESIZED, *TENSOR, lambda x: (x - x.mean()) / (x.std() + 1e-5)), "black"),
        (composed(*RESIZED, *TENSOR, lambda x: x * 0), "black"),
        (composed(*RESIZED, *TENSOR, lambda x: x / x.mean().clamp(min=1e-3) ** 0.5), "the rest of the picture"),
        (composed(*RESIZED, *TENSOR, lambda x: torch.stack([x, x, x])), "(3, 3, 30, 36)"),
    ],
)
def test_what_cannot_be_followed_is_refused(function: Callable[[Image.Image], object], why: str) -> None:
    with pytest.raises(RatherError) as error:
        Preprocess.measure(function)
    assert error.value.code == "MODEL-PREPROCESS"
    assert why in error.value.why


@pytest.mark.parametrize("name", ["normalised", "blue first", "padded"])
@pytest.mark.parametrize("size", [(90, 61), (61, 90)])
def test_it_knows_what_part_it_shows(name: str, size: tuple[int, int]) -> None:
    width, height = size
    if name == "normalised":  # the shorter side becomes 40, then 30 by 36 of the middle
        scale = 40 / min(size)
        across, down = 36 / (int(width * scale) / width), 30 / (int(height * scale) / height)
        box = ((width - across) / 2, (height - down) / 2, (width + across) / 2, (height + down) / 2)
    else:
        edge = (8, 5) if name == "padded" else (0, 0)
        x, y = edge[0] * width / 20, edge[1] * height / 20
        box = (-x, -y, width + x, height + y)
    # A crop starts at a whole pixel; and the line through 8-bit values is good to a hundredth of the picture.
    near = max(size) * (0.5 / 40 + 0.01)
    assert Preprocess.measure(FUNCTIONS[name]).box(size) == pytest.approx(box, abs=near)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 28 * 34, 3)).eval()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_classifier_says_of_a_picture_what_the_net_says(name: str) -> None:
    function = FUNCTIONS[name]
    classifier = Classifier(net(), preprocess=function)
    assert classifier.preprocess is not None
    image = classifier.preprocess(picture())
    with torch.no_grad():
        wanted = net()(function(picture())[None])
    assert classifier.shape == (3, 30, 36)
    assert torch.allclose(classifier(image[None]), wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


def test_what_is_said_wins_over_what_is_measured() -> None:
    classifier = Classifier(net(), preprocess=FUNCTIONS["normalised"], mean=0.5, std=[0.25] * 3)
    assert classifier.get_buffer("mean").flatten().tolist() == [0.5] * 3
    assert classifier.get_buffer("std").flatten().tolist() == [0.25] * 3
    with pytest.raises(RatherError, match=r"its preprocessing gives \(3, 30, 36\)"):
        Classifier(net(), preprocess=FUNCTIONS["normalised"], shape=(3, 32, 32))


def test_another_preprocessing_is_another_classifier() -> None:
    one, other = (Classifier(net(), preprocess=composed(transforms.Resize(n), RESIZED[1], *TENSOR)) for n in (40, 41))
    assert one.fingerprint() != other.fingerprint()
    assert one.fingerprint() != Classifier(net(), shape=(3, 30, 36)).fingerprint()


EVERYDAY: list[dict[str, Any]] = [
    {"shape": [3, 30, 36]},
    {"shape": torch.Size([3, 30, 36])},
    {"shape": np.array([3, 30, 36])},
    {"mean": 0.5, "std": 0.5},
    {"mean": np.array([0.5] * 3), "std": np.float32(0.5)},
    {"mean": torch.tensor([0.5] * 3), "std": torch.tensor(0.5)},
    {"mean": 127.5, "std": 127.5, "scale": 255},
]


@pytest.mark.parametrize("options", EVERYDAY, ids=str)
def test_everyday_values(options: dict[str, Any]) -> None:
    classifier = Classifier(net(), **({"shape": (3, 30, 36)} | options))
    assert classifier.shape == (3, 30, 36)
    assert all(type(side) is int for side in classifier.shape)
    level = 0.5 if "mean" in options else 0.0
    assert classifier.get_buffer("mean").flatten().tolist() == [level] * 3
    assert classifier.get_buffer("std").flatten().tolist() == [level or 1.0] * 3


@pytest.mark.parametrize(
    ("options", "do"),
    [
        ({"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}, "scale=255"),
        ({"mean": 2.0}, "scale=255"),
        ({"shape": (30, 36)}, "three whole numbers"),
        ({"shape": (3, 30.5, 36)}, "three whole numbers"),
        ({"shape": (3, -30, 36)}, "three whole numbers"),
        ({"shape": 30}, "three whole numbers"),
        ({"std": 0}, ""),
        ({"mean": [0.1, 0.2]}, ""),
        ({"mean": float("nan")}, ""),
    ],
    ids=str,
)
def test_values_of_no_sense_are_refused(options: dict[str, Any], do: str) -> None:
    with pytest.raises(RatherError) as error:
        Classifier(net(), **({"shape": (3, 30, 36)} | options))
    assert error.value.code == "MODEL-INPUT"
    assert do in error.value.do


def test_a_net_of_pixels_from_0_to_255() -> None:
    classifier = Classifier(net(), shape=(3, 30, 36), scale=255)
    x = torch.rand(2, 3, 30, 36)
    assert torch.allclose(classifier(x), net()(255 * x), rtol=1e-4, atol=1e-2)

"""Preprocessing of other libraries: of a picture in a file, a classifier says what the library's own two calls say.

`benchmarks/recipes.py` does the same for many nets as they are published.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from rather import Classifier, RatherError, load_classifier, load_dataset
from rather.hub.preprocessing import Preprocessing
from rather.io.images import fit

PICTURES = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of several sizes, small and large, lying and standing: slopes, edges and noise."""
    place, draw = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for n in range(PICTURES):
        width, height = draw.integers(40, 420, 2)
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        edges = ((x // (5 + n) + y // (9 + n)) % 2)[..., None] * draw.integers(40, 120, 3)
        slopes = np.stack([x / width, y / height, (x + y) / (width + height)], -1) * 90
        noise = draw.integers(0, 45, (height, width, 3))
        Image.fromarray((edges + slopes + noise).astype(np.uint8)).save(place / f"{n:02d}.png")
    return place


def compare(classifier: Classifier, folder: Path, theirs: Callable[[Image.Image], Tensor]) -> None:
    """Logits from files, by us and by the library."""
    source = load_dataset(folder, like=classifier).test
    with torch.no_grad():
        ours = classifier(torch.stack([source.read(n) for n in range(len(source))]))
        wanted = torch.cat([theirs(Image.open(path).convert("RGB")) for path in sorted(folder.iterdir())])
    assert len(ours) == PICTURES
    # The same 8-bit pixels reach the net; what is left is rounding of 32 bits, of the normalisation and in the net.
    # One level of 8 bits in every pixel would change these logits by a hundred times more.
    assert (ours - wanted).abs().max() <= 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small"])
def test_torchvision(folder: Path, tmp_path: Path, name: str) -> None:
    from torchvision import models

    torch.manual_seed(0)
    net = models.get_model(name, num_classes=5).eval()
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    transform = models.get_model_weights(name).DEFAULT.transforms()
    classifier = load_classifier(f"torchvision:{name}={tmp_path / 'net.safetensors'}")
    compare(classifier, folder, lambda image: net(transform(image)[None]))


@pytest.mark.parametrize("changed", [{}, {"crop_mode": "squash"}, {"crop_mode": "border"}, {"crop_pct": 1.0}], ids=str)
def test_timm(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model("resnet10t", num_classes=5).eval()
    own = timm.data.resolve_model_data_config(net) | changed
    monkeypatch.setattr(timm.data, "resolve_model_data_config", lambda _net: own)
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    transform = timm.data.create_transform(**own)
    classifier = load_classifier(f"timm:resnet10t={tmp_path / 'net.safetensors'}")
    compare(classifier, folder, lambda image: net(transform(image)[None]))


SQUARE = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": 32, "width": 32},
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
EFFICIENT = SQUARE | {
    "image_processor_type": "EfficientNetImageProcessor",
    "rescale_offset": False,
    "include_top": False,
}
MOBILE = {
    "image_processor_type": "MobileViTImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": 36},
    "do_center_crop": True,
    "crop_size": {"height": 32, "width": 32},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_flip_channel_order": True,
}
CONVNEXT = SQUARE | {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 32}, "crop_pct": 0.875}
#: By the step that sets it apart.
RECIPES: dict[str, dict[str, Any]] = {
    "plain": SQUARE,
    "no normalisation": SQUARE | {"do_normalize": False},
    "rescale_factor": SQUARE | {"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1.0] * 3},
    "do_rescale": SQUARE | {"do_rescale": False, "image_mean": [127.5] * 3, "image_std": [127.5] * 3},
    "do_flip_channel_order": MOBILE,
    "flipped, do_normalize false": MOBILE | {"do_normalize": False},
    "rescale_offset": EFFICIENT
    | {"rescale_factor": 1 / 127.5, "rescale_offset": True, "image_mean": [0.0] * 3, "image_std": [1.0] * 3},
    "include_top": EFFICIENT | {"include_top": True, "image_std": [0.4785, 0.4733, 0.4743]},
    "one number": SQUARE | {"image_mean": 0.5, "image_std": 0.5},
    "no image_mean": {name: value for name, value in SQUARE.items() if name != "image_mean"},
    "crop_pct": CONVNEXT,
    "crop_pct of large pictures": CONVNEXT | {"size": {"shortest_edge": 384}},
    "LeViT": SQUARE
    | {
        "image_processor_type": "LevitImageProcessor",
        "size": {"shortest_edge": 32},
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
    },
    "nearest": SQUARE | {"resample": 0},
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A small net of transformers, and the folder that it was saved to."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=5, layer_type="basic"
    )
    net = transformers.ResNetForImageClassification(config).eval()
    nn.init.normal_(net.classifier[1].weight, std=2)
    place = tmp_path_factory.mktemp("saved")
    net.save_pretrained(place)
    return net, place


@pytest.mark.parametrize("name", RECIPES)
def test_transformers(folder: Path, saved: tuple[Any, Path], name: str) -> None:
    from transformers import AutoImageProcessor

    net, place = saved
    (place / "preprocessor_config.json").write_text(json.dumps(RECIPES[name]))
    processor = AutoImageProcessor.from_pretrained(place)
    compare(load_classifier(f"hf:{place}"), folder, lambda image: net(**processor(image, return_tensors="pt")).logits)


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (SQUARE | {"do_resize": False}, ["do_rescale", "size of its result depends on the picture"]),
        (SQUARE | {"size": {"shortest_edge": 32}}, ["do_resize", "shortest_edge", "depends on the picture"]),
        (None, ["preprocessor_config.json", "--preprocess"]),
        ("{", ["preprocessor_config.json"]),
    ],
)
def test_what_of_transformers_cannot_be_followed(saved: tuple[Any, Path], recipe: object, words: list[str]) -> None:
    _, place = saved
    file = place / "preprocessor_config.json"
    file.unlink(missing_ok=True)
    if recipe is not None:
        file.write_text(recipe if isinstance(recipe, str) else json.dumps(recipe))
    with pytest.raises(RatherError) as error:
        load_classifier(f"hf:{place}")
    assert error.value.code == "MODEL-PREPROCESS"
    assert all(word in str(error.value) for word in words), error.value
    said = Preprocessing(mean=(0.5,), std=(0.5,))
    classifier = load_classifier(f"hf:{place}", shape=(3, 40, 40), preprocessing=said)
    assert classifier.shape == (3, 40, 40)
    assert classifier.get_buffer("mean").flatten().tolist() == [0.5] * 3


CODE = """
from torch import nn
from torchvision import transforms

evaluation = transforms.Compose([
    transforms.Resize(20), transforms.CenterCrop(16), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.25] * 3)
])
number = 3

def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
"""


@pytest.fixture
def own(tmp_path: Path) -> tuple[str, str]:
    """A file of a user's, and the consent to it."""
    file = tmp_path / "own.py"
    file.write_text(CODE)
    return str(file), f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def of(own: tuple[str, str], shape: tuple[int, int, int] | None = None, **said: Any) -> Classifier:
    return load_classifier(f"{own[0]}:make", shape=shape, trust=[own[1]], preprocessing=Preprocessing(**said))


def test_what_a_user_says(own: tuple[str, str], folder: Path) -> None:
    whole = of(own, preprocess=f"{own[0]}:evaluation")
    told = of(own, size=20, crop=16, mean=(0.5,), std=(0.25,))
    on_255 = of(own, (3, 16, 16), size=20, mean=(127.5,), std=(63.75,), scale=255)
    read = [load_dataset(folder, like=one).test.read(3) for one in (whole, told, on_255)]
    assert all(torch.equal(one, read[0]) for one in read)
    for one in (whole, told, on_255):
        assert one.shape == (3, 16, 16)
        # A mean or deviation that is measured, or divided by 255, is rounded in 32 bits.
        assert torch.allclose(one.get_buffer("mean"), torch.tensor(0.5), atol=1e-6)
        assert torch.allclose(one.get_buffer("std"), torch.tensor(0.25), atol=1e-6)
    assert of(own, size=24, crop=16).fingerprint() != of(own, size=20, crop=16).fingerprint()
    bicubic = load_dataset(folder, like=of(own, size=20, crop=16, interpolation="bicubic")).test
    assert not torch.equal(bicubic.read(3), read[0])


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"preprocess": "own.py:evaluation"}, "MODEL-CODE"),
        ({"preprocess": "own.py:number"}, "MODEL-PREPROCESS"),
        ({"preprocess": "own.py:missing"}, "MODEL-NOT-FOUND"),
        ({"crop": 20}, "CFG-OPTIONS"),
        ({"mean": (127.0,)}, "MODEL-INPUT"),
    ],
)
def test_what_a_user_says_wrongly(own: tuple[str, str], said: dict[str, Any], code: str) -> None:
    if "preprocess" in said:
        said = {"preprocess": said["preprocess"].replace("own.py", own[0])}
    trust = [] if code == "MODEL-CODE" else [own[1]]
    with pytest.raises(RatherError) as error:
        load_classifier(f"{own[0]}:make", shape=(3, 16, 16), trust=trust, preprocessing=Preprocessing(**said))
    assert error.value.code == code


def test_a_bundled_net_has_its_own_pixels(folder: Path) -> None:
    with pytest.raises(RatherError, match="mean"):
        load_classifier("digits", preprocessing=Preprocessing(mean=(0.5,)))
    resized = load_classifier("digits", preprocessing=Preprocessing(size=40))
    assert resized.shape == (1, 28, 28)
    assert load_dataset(folder, like=resized).test.read(0).shape == (1, 28, 28)
    assert resized.fingerprint() != load_classifier("digits").fingerprint()


def test_the_whole_picture_is_kept_with_its_row(folder: Path, tmp_path: Path) -> None:
    from rather.io.png import unpng
    from rather.runs.explain import explain
    from rather.runs.request import Request

    file = tmp_path / "own.py"
    file.write_text(CODE)
    trust = (f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}",)
    request = Request(
        images=(folder / "02.png",),
        classifier=f"{file}:make",
        preprocessing=Preprocessing(preprocess=f"{file}:evaluation"),
        trust=trust,
        method="attack",
        settings={"steps": 2},
        target="runner-up",
        out=tmp_path / "run",
    )
    (run,) = explain(request).runs.values()
    assert run.config["classifier"]["preprocess"] == f"{file}:evaluation"
    (row,) = run.rows()
    before, after = (unpng(data) for data in row.artifacts["whole_picture"])
    with Image.open(folder / "02.png") as picture:
        width, height = picture.size
    assert before.shape[1] / before.shape[2] == pytest.approx(height / width, abs=0.02)
    inside = (before != after).any(0).nonzero()
    assert len(inside), "what changed is in its place"
    assert torch.equal(before[:, 0, 0], after[:, 0, 0]), "and nowhere else"
    other = replace(request, preprocessing=Preprocessing(size=18, crop=16))
    with pytest.raises(RatherError, match="classifier"):
        explain(other)


def test_pictures_of_any_size_are_read() -> None:
    """Rounding put an edge of the largest part outside of some pictures, which Pillow refuses."""
    for side in range(20, 120):
        for size in ((side, side), (side, side + 1), (side + 1, side)):
            assert fit(Image.new("L", size), (1, 224, 224)).shape == (1, 224, 224)

"""Preprocessing of other libraries: logits of pictures from files, by us and by the library's own two calls.

    python benchmarks/recipes.py [FOLDER OF PICTURES]

Thirty nets of torchvision, timm and transformers with random weights and their published preprocessing, on 20
pictures of many sizes (drawn here, if no folder is given). For each net it prints the input, what fixes it, how
far our logits are from the library's, how far they would be if one level of 8 bits were wrong everywhere, and on
how many pictures the reading without a recipe (the largest square, bilinear) would have decided otherwise.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import timm
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

from rather import Classifier, load_classifier, load_dataset

COUNT: Final = 20
CLASSES: Final = 10
TORCHVISION: Final = [
    "alexnet",
    "shufflenet_v2_x0_5",
    "efficientnet_b0",
    "efficientnet_b1",
    "squeezenet1_1",
    "googlenet",
    "inception_v3",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "resnet18",
]
TIMM: Final = [
    "resnet10t.c3_in1k",
    "efficientnet_lite0.ra_in1k",
    "mobilenetv3_small_050.lamb_in1k",
    "levit_128s.fb_dist_in1k",
    "convnext_atto.d2_in1k",
    "vit_tiny_patch16_224.augreg_in21k_ft_in1k",
    "deit_tiny_patch16_224.fb_in1k",
    "tf_efficientnet_b0.ns_jft_in1k",
    "regnetx_002.pycls_in1k",
    "inception_v3.tf_in1k",
]

STATISTICS: Final = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALVES: Final = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
#: As `preprocessor_config.json` of published checkpoints has them.
TRANSFORMERS: Final[Mapping[str, dict[str, Any]]] = {
    "ViT": {"image_processor_type": "ViTImageProcessor", "size": {"height": 224, "width": 224}, **HALVES},
    "DeiT": {"image_processor_type": "DeiTImageProcessor", "size": 256, "crop_size": 224, **STATISTICS},
    "ConvNeXT 224": {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 224}},
    "ConvNeXT 384": {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}},
    "LeViT": {"image_processor_type": "LevitImageProcessor", "size": {"shortest_edge": 224}},
    "MobileViT": {
        "image_processor_type": "MobileViTImageProcessor",
        "size": {"shortest_edge": 288},
        "crop_size": {"height": 256, "width": 256},
        "do_flip_channel_order": True,
    },
    "EfficientNet": {
        "image_processor_type": "EfficientNetImageProcessor",
        "size": {"height": 224, "width": 224},
        "resample": 0,
        "include_top": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.47853944, 0.4732864, 0.47434163],
    },
    "MobileNetV2": {"image_processor_type": "MobileNetV2ImageProcessor", "size": {"shortest_edge": 256}},
    "BiT": {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 480}, "crop_size": 480, **HALVES},
    "BEiT": {"image_processor_type": "BeitImageProcessor", "size": 224, "do_center_crop": False, **HALVES},
}


class Case(NamedTuple):
    """A net, and what its library says of one picture."""

    name: str
    spec: str
    theirs: Callable[[Image.Image], Tensor]


def draw(folder: Path) -> None:
    """Pictures of many sizes: slopes, edges and noise."""
    numbers = np.random.default_rng(0)
    for n in range(COUNT):
        width, height = numbers.integers(60, 700, 2)
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        edges = ((x // (9 + 3 * n) + y // (9 + 5 * n)) % 2)[..., None] * numbers.integers(40, 120, 3)
        slopes = np.stack([x / width, y / height, (x + y) / (width + height)], -1) * 90
        image = edges + slopes + numbers.integers(0, 45, (height, width, 3))
        Image.fromarray(image.astype(np.uint8)).save(folder / f"{n:02d}.png")


def cases(folder: Path) -> Iterator[Case]:
    """The nets, each made when its turn comes."""
    file = folder / "net.safetensors"
    for name in TORCHVISION:
        options = {"init_weights": True, "aux_logits": True} if name in {"googlenet", "inception_v3"} else {}
        net = models.get_model(name, num_classes=CLASSES, **options).eval()
        save_file(net.state_dict(), file)
        transform = models.get_model_weights(name).DEFAULT.transforms()
        yield Case(name, f"torchvision:{name}={file}", _two_calls(net, transform))
    for name in TIMM:
        net = timm.create_model(name, num_classes=CLASSES).eval()
        save_file(net.state_dict(), file)
        transform = timm.data.create_transform(**timm.data.resolve_model_data_config(net))
        yield Case(name, f"timm:{name}={file}", _two_calls(net, transform))
    config = transformers.ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], num_labels=CLASSES)
    for name, recipe in TRANSFORMERS.items():
        net = transformers.ResNetForImageClassification(config).eval()
        nn.init.normal_(net.classifier[1].weight)
        place = folder / name
        net.save_pretrained(place)
        (place / "preprocessor_config.json").write_text(json.dumps(recipe))
        processor = transformers.AutoImageProcessor.from_pretrained(place)
        yield Case(name, f"hf:{place}", _two_calls(net, lambda image, p=processor: p(image, return_tensors="pt")))


def _two_calls(net: Any, transform: Callable[[Image.Image], Any]) -> Callable[[Image.Image], Tensor]:
    def answer(image: Image.Image) -> Tensor:
        given = transform(image)
        answered: Tensor = net(given[None]) if isinstance(given, Tensor) else net(**given).logits
        return answered

    return answer


def pixels(classifier: Classifier, folder: Path, *, recipe: bool) -> Tensor:
    """The pictures as the classifier gets them; without its recipe, as any folder is read."""
    like = {"like": classifier} if recipe else {"shape": classifier.shape}
    source = load_dataset(folder, **like).test
    return torch.stack([source.read(n) for n in range(min(COUNT, len(source)))])


@torch.no_grad()
def measure(case: Case, folder: Path) -> tuple[Classifier, float, float, int]:
    """Relative distance of the logits, the same for one level of 8 bits, and decisions that the recipe changes."""
    classifier = load_classifier(case.spec)
    x = pixels(classifier, folder, recipe=True)
    ours = torch.cat([classifier(one[None]) for one in x])
    level = torch.cat([classifier((one[None] + 1 / 255).clamp(0, 1)) for one in x[:2]])
    paths = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in {".png", ".jpg", ".jpeg"}]
    theirs = torch.cat([case.theirs(Image.open(path).convert("RGB")) for path in paths[:COUNT]])
    plain = torch.cat([classifier(one[None]) for one in pixels(classifier, folder, recipe=False)])
    size = float(theirs.abs().max())
    changed = int((plain.argmax(1) != theirs.argmax(1)).sum())
    return (
        classifier,
        float((ours - theirs).abs().max()) / size,
        float((level - theirs[:2]).abs().max()) / size,
        changed,
    )


def main() -> None:
    """Print a line for each net; exit 1 if one of them is further off than rounding."""
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    worst, count = 0.0, 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1]) if sys.argv[1:] else Path(scratch) / "pictures"
        if not sys.argv[1:]:
            folder.mkdir()
            draw(folder)
        print(f"{'net':40}{'input':>14}{'off':>10}{'a level':>10}{'changed':>9}")
        for case in cases(Path(scratch)):
            classifier, off, level, changed = measure(case, folder)
            shape = " x ".join(map(str, classifier.shape))
            print(f"{case.name:40}{shape:>14}{off:10.1e}{level:10.1e}{changed:6d}/{COUNT}", flush=True)
            worst, count = max(worst, off), count + 1
    print(f"{count} nets; logits are at most {worst:.1e} of the largest logit from the library's")
    sys.exit(worst > 1e-4)


if __name__ == "__main__":
    main()

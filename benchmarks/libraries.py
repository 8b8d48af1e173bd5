"""Whether every classifier of a library loads its own weights: `python benchmarks/libraries.py timm|torchvision`.

Each net of the library's list is built with 7 classes, its state dict is loaded as that of a file would be, without
memory for the weights, and what it says of the classes is compared. With `--run` the first net of each family also
answers an image.
"""

import argparse
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from accelerate import init_empty_weights
from torch import nn

from rather.hub.libraries import build_for

Build = Callable[..., nn.Module]


def timm() -> dict[str, tuple[str, Build]]:
    """Of each net: its family, and how it is built."""
    import timm as library

    return {
        name: (library.models.model_entrypoint(name).__module__, partial(library.create_model, name))
        for name in library.list_models()
    }


def torchvision() -> dict[str, tuple[str, Build]]:
    from torchvision import models

    return {
        name: (models.get_model_builder(name).__module__, partial(models.get_model, name, weights=None))
        for name in models.list_models(module=models)
    }


def loads(build: Build) -> None:
    """Raises what a user would see, or AssertionError if the number of classes is not found again."""
    with warnings.catch_warnings(action="ignore"):
        try:
            with torch.device("meta"):
                state = build(num_classes=7).state_dict()
        except NotImplementedError:
            with init_empty_weights(include_buffers=False):
                state = build(num_classes=7).state_dict()
    _, count, _ = build_for(state, build, Path("weights"))
    assert count in {7, None}, count


@torch.no_grad()
def answers(build: Build) -> None:
    """Builds it for real, and asks it for one image."""
    with warnings.catch_warnings(action="ignore"):
        net = build(num_classes=7).eval()
        state = {key: tensor.clone() for key, tensor in net.state_dict().items()}
        size = getattr(net, "pretrained_cfg", {}).get("input_size", (3, 224, 224))
        x = torch.rand(2, *size)
        found, _, _ = build_for(state, build, Path("weights"))
        assert torch.equal(found.eval()(x), net(x))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["timm", "torchvision"])
    parser.add_argument("--run", action="store_true", help="one net of each family also answers an image")
    parser.add_argument("--only", default="", help="names that contain this")
    asked = parser.parse_args()
    nets = {"timm": timm, "torchvision": torchvision}[asked.name]()
    nets = {name: net for name, net in nets.items() if asked.only in name}
    families, failed = set[str](), 0
    for name, (family, build) in nets.items():
        try:
            loads(build)
            if asked.run and family not in families:
                answers(build)
        except Exception as error:  # noqa: BLE001 - any is to be counted
            failed += 1
            print(f"{name}: {type(error).__name__}: {str(error)[:200]}", flush=True)
        families.add(family)
    print(f"{len(nets) - failed} of {len(nets)} nets of {len(families)} families load their own weights")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()

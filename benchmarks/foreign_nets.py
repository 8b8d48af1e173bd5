"""What `rather explain` makes of nets that are not ours: writes docs/foreign-nets.md.

    python benchmarks/foreign_nets.py [--only KIND ...] [--out FILE]

Nets of eight kinds of source, with random weights that tell the pictures apart, each as a user has it: by the name of
a library and a file of weights, as a folder, a program, a file of Python. Each explains four made pictures of two
kinds of light twice, on the command line: by the default method, and by one that needs gradients or, for a net
without them, by one that does not. "-" in the table: no row failed, and the command ended as it should.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))
from commands import photos, told_apart  # noqa: E402 - it is no package

SIDE = 96
#: What torchvision and most nets of timm subtract and divide by.
MEAN, STD = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
GRADIENT, QUESTIONS = "attack", "sedc"
TORCHVISION = (
    *("alexnet", "vgg11_bn", "resnet18", "resnext50_32x4d", "densenet121", "squeezenet1_1", "mobilenet_v2"),
    *("mobilenet_v3_small", "mnasnet0_5", "shufflenet_v2_x0_5", "efficientnet_b0", "regnet_y_400mf"),
    *("regnet_x_400mf", "googlenet", "convnext_tiny"),
)
TIMM = (
    *("resnet10t", "efficientnet_lite0", "mobilenetv3_small_050", "ghostnet_100", "regnetx_002", "lcnet_050"),
    *("convnext_atto", "edgenext_xx_small", "repvgg_a0", "dla46_c"),
)
HUGGING_FACE = {
    "ResNet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    "ViT": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "patch_size": 16,
    },
    "DeiT": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "patch_size": 16,
    },
    "Swin": {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 3, "patch_size": 8},
    "ConvNext": {"hidden_sizes": [8, 16, 16, 32], "depths": [1, 1, 1, 1]},
    "MobileNetV2": {"depth_multiplier": 0.35},
}
SMALL = """
import numpy as np
import torch
from torch import nn


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 5, 4), nn.ReLU(), nn.Conv2d(8, 16, 3, 2), nn.ReLU())
        self.head = nn.Linear(16, 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.linspace(-1, 1, 32).view(2, 16) * 5)

    def forward(self, x):
        b = x.size(0)
        return self.head(self.body(x).mean((2, 3)).view(b, -1))


class LightAbove(nn.Module):
    def forward(self, x):
        above = 40 * (x[:, :, : x.shape[2] // 2].mean((1, 2, 3)) - x.mean((1, 2, 3)))
        return torch.stack([above, -above], 1)


net = LightAbove()


def make():
    return LightAbove()


def function(x):
    return LightAbove()(x)


def of_numpy(x):
    x = np.asarray(x)
    above = 40 * (x[:, :, : x.shape[2] // 2].mean((1, 2, 3)) - x.mean((1, 2, 3)))
    return np.stack([above, -above], 1)


def dictionary(x):
    return {"logits": LightAbove()(x)}
"""


@dataclass(frozen=True)
class Net:
    """A net as a user has it: its kind, its name, and the words of the command line."""

    kind: str
    name: str
    words: tuple[str, ...]
    gradient: bool = True


def pictures(folder: Path) -> Tensor:
    from torchvision.io import decode_image

    every = [decode_image(str(file)) for file in sorted(folder.rglob("*.png"))]
    return nn.functional.interpolate(torch.stack(every) / 255, (SIDE, SIDE), mode="bilinear")


def libraries(here: Path, x: Tensor) -> Iterator[Net]:
    import timm
    from torchvision import models

    for kind, names, build in (
        ("torchvision", TORCHVISION, lambda name: models.get_model(name, weights=None, num_classes=5)),
        ("timm", TIMM, lambda name: timm.create_model(name, num_classes=5)),
    ):
        for name in names:
            torch.manual_seed(0)
            file = here / f"{kind}-{name}.pt"
            torch.save(quietly(lambda n=name, b=build: told_apart(b(n), (x - MEAN) / STD)).state_dict(), file)
            yield Net(kind, name, (f"{kind}:{name}={file}", "--shape", "3", str(SIDE), str(SIDE)))


def hugging_face(here: Path, x: Tensor) -> Iterator[Net]:
    import transformers

    transformers.utils.logging.set_verbosity_error()
    for name, settings in HUGGING_FACE.items():
        torch.manual_seed(0)
        config = getattr(transformers, f"{name}Config")(num_labels=5, image_size=SIDE, **settings)
        net = told_apart(getattr(transformers, f"{name}ForImageClassification")(config), (x - 0.5) / 0.5)
        net.save_pretrained(here / name)
        recipe = {
            "image_processor_type": "ViTImageProcessor",
            "do_resize": True,
            "size": {"height": SIDE, "width": SIDE},
        }
        recipe |= {"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "resample": 2}
        recipe |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        (here / name / "preprocessor_config.json").write_text(json.dumps(recipe), "utf-8")
        yield Net("Hugging Face", name, (f"hf:{here / name}",))


def programs(here: Path, x: Tensor) -> Iterator[Net]:
    code = here / "nets.py"
    code.write_text(SMALL, "utf-8")
    sys.path.insert(0, str(here))
    nets = importlib.import_module("nets")
    torch.manual_seed(0)
    small, light = told_apart(nets.Small(), x), nets.LightAbove().eval()
    shape = ("--shape", "3", str(SIDE), str(SIDE))
    for name, net in (("a small net", small), ("a function of light", light)):
        short = name.split()[-1]
        torch.jit.trace(net, x[:2]).save(here / f"{short}-traced.pt")
        torch.jit.script(net).save(here / f"{short}-scripted.pt")
        for how in ("traced", "scripted"):
            yield Net("TorchScript", f"{name}, {how}", (f"torchscript:{here / f'{short}-{how}.pt'}", *shape))
        batch = torch.export.Dim("batch", min=1, max=4096)
        torch.export.save(torch.export.export(net, (x[:2],), dynamic_shapes=({0: batch},)), here / f"{short}.pt2")
        torch.export.save(torch.export.export(net, (x[:2],)), here / f"{short}-2.pt2")
        yield Net("torch.export", f"{name}, any batch", (f"export:{here / f'{short}.pt2'}", *shape))
        yield Net("torch.export", f"{name}, batches of 2", (f"export:{here / f'{short}-2.pt2'}", *shape))
        torch.onnx.export(
            net, (x[:1],), here / f"{short}.onnx", dynamo=False, input_names=["x"], dynamic_axes={"x": [0]}
        )
        yield Net("ONNX", f"{name}, any batch", (f"onnx:{here / f'{short}.onnx'}",))
        torch.onnx.export(net, (x[:1],), here / f"{short}-1.onnx", dynamo=False)
        yield Net("ONNX", f"{name}, one image at a time", (f"onnx:{here / f'{short}-1.onnx'}",))
    for name in ("Small", "LightAbove", "net", "make"):
        yield Net("Python file", name, (f"{code}:{name}", *shape))
    yield Net("callable", "a function of torch", (f"{code}:function", *shape))
    yield Net("callable", "a function that gives a dictionary", (f"{code}:dictionary", *shape))
    yield Net("callable", "a function of NumPy", (f"{code}:of_numpy", *shape), gradient=False)


def quietly(make: Callable[[], nn.Module]) -> nn.Module:
    with warnings.catch_warnings(action="ignore"):
        return make()


def asked(net: Net, here: Path, *options: str) -> str:
    """Explain four pictures, and say how it went: counts, or the code of the one line, or that it went wrong."""
    spec = (
        net.words[0].partition(":")[2]
        if net.kind in {"TorchScript", "torch.export"}
        else net.words[0].rpartition(":")[0]
    )
    trust = ["--trust", f"sha256:{hashlib.sha256(Path(spec).read_bytes()).hexdigest()}"] if Path(spec).is_file() else []
    words = ["explain", str(here / "photos"), "--references", str(here / "photos"), "--count", "4", "--json"]
    with tempfile.TemporaryDirectory() as out:
        words += ["--classifier", *net.words, *trust, "--out", f"{out}/run", *options]
        done = subprocess.run(
            [sys.executable, "-m", "rather", *words],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
    errors = [line for line in done.stderr.splitlines() if line.startswith("rather: error ")]
    if "Traceback" in done.stderr or (done.returncode and len(errors) != 1 and not done.stdout):
        return f"WRONG: exit code {done.returncode}: {done.stderr.strip().splitlines()[-1:]}"
    if errors:
        return errors[0].removeprefix("rather: error ").partition(":")[0]
    counts = json.loads(done.stdout)
    failed = f", {counts['failed']} FAILED" if counts["failed"] else ""
    return f"{counts['found']} of {counts['queries'] - counts['already']}{failed}"


MAKERS = {
    libraries: {"torchvision", "timm"},
    hugging_face: {"Hugging Face"},
    programs: {"TorchScript", "torch.export", "ONNX", "Python file", "callable"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="kinds of source")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "foreign-nets.md")
    given = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        photos(here / "photos")
        x = pictures(here / "photos")
        for make, kinds in MAKERS.items():
            for net in () if given.only and not kinds & {*given.only} else make(here, x):
                if given.only and net.kind not in given.only:
                    continue
                start = time.monotonic()
                default = asked(net, here)
                second = GRADIENT if net.gradient else QUESTIONS
                other = asked(net, here, "--method", second)
                lines.append(f"| {net.kind} | {net.name} | {default} | {second}: {other} |")
                print(lines[-1], f"{time.monotonic() - start:.0f} s", flush=True)
    wrong = sum("WRONG" in line or "FAILED" in line for line in lines)
    given.out.write_text(PAGE.format(count=len(lines), wrong=wrong, table="\n".join(lines)), "utf-8")
    sys.exit(wrong > 0)


PAGE = """\
# Nets that are not ours

`python benchmarks/foreign_nets.py` makes {count} nets of eight kinds of source with random weights, and explains four
made pictures with each, twice: by what `rather explain` does without `--method`, and by a second method. The table
says how many of the pictures that were not at their target already reached it; a word in capitals is the code of
the one line that a command ended with ([errors.md](errors.md)). Tracebacks and runs with failed rows: {wrong}.

| source | net | default | second method |
|---|---|---|---|
{table}
"""

if __name__ == "__main__":
    main()

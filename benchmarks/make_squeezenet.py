"""Convert the authors' weights of SqueezeNet 1.1: python benchmarks/make_squeezenet.py squeezenet11_fp16.npz.

The file has arrays `LAYER/0` (rows, columns, inputs, outputs) and `LAYER/1` (outputs) for each convolution,
by the names of the authors' Caffe net. What classifies is left out: the package compares features alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from rather.io.bundled import WEIGHTS

#: torchvision's place of each fire module.
FIRES = {3: "fire2", 4: "fire3", 6: "fire4", 7: "fire5", 9: "fire6", 10: "fire7", 11: "fire8", 12: "fire9"}
PARTS = {"squeeze": "squeeze1x1", "expand1x1": "expand1x1", "expand3x3": "expand3x3"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    given = np.load(parser.parse_args().file)
    places = {"0": "conv1"} | {
        f"{n}.{ours}": f"{fire}/{theirs}" for n, fire in FIRES.items() for ours, theirs in PARTS.items()
    }
    tensors = {}
    for ours, theirs in places.items():
        tensors[f"{ours}.weight"] = torch.from_numpy(given[f"{theirs}/0"].transpose(3, 2, 0, 1).copy())
        tensors[f"{ours}.bias"] = torch.from_numpy(given[f"{theirs}/1"])
    file = WEIGHTS / "squeezenet.safetensors"
    save_file(tensors, file)
    card = {
        "what": "SqueezeNet 1.1 without its classes: features of photographs, to compare pictures in",
        "kind": "features",
        "data": "ImageNet (ILSVRC 2012), by the authors of SqueezeNet",
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "precision": "fp16",
        "script": "benchmarks/make_squeezenet.py",
        "licence": "BSD-2-Clause (SqueezeNet), MIT (its conversion from Caffe); see NOTICE",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    file.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()

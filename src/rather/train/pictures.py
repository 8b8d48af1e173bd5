"""Pictures to train on, all in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from rather.data import list_data, load
from rather.data.source import DataSet, Source
from rather.errors import RatherError
from rather.net_file import LARGEST


@final
@dataclass(frozen=True)
class Pictures:
    """Pictures in 8 bits, a quarter of what they would take as floats."""

    images: UInt8[Tensor, "n c h w"]
    labels: Int[Tensor, " n"]  # -1 where none is known

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Tensor) -> Pictures:
        return Pictures(self.images[rows], self.labels[rows])


def load_to_train(data: str, size: int | None) -> DataSet:
    """The data set, or the folder with its pictures brought to `size` pixels a side.

    Raises:
        RatherError: CFG-OPTIONS for a size that has no effect or is too large, and what `data.load` raises.
    """
    if size is not None and data in list_data():
        raise RatherError("CFG-OPTIONS", where=f"size {size}", why=f"the pictures of {data} have their own")
    if size is not None and size > LARGEST:
        raise RatherError("CFG-OPTIONS", where=f"size {size}", why=f"at most {LARGEST} pixels a side")
    return load(data, shape=(3, size, size) if size else None)


def read_parts(
    train: Source, test: Source | None, *, labelled: bool, seed: int
) -> tuple[Pictures, Pictures, int]:
    """Pictures to train on, pictures to measure on, and how many of the former are left out.

    Args:
        train: to train on.
        test: to measure on; None keeps a tenth of the others for that.
        labelled: leave out those without a label as well.
        seed: of which tenth.

    Raises:
        RatherError: TRAIN-DATA if there are too few.
    """
    seen, left_out = read_pictures(train, labelled=labelled)
    if test is not None:
        return seen, read_pictures(test, labelled=labelled)[0], left_out
    order = torch.randperm(len(seen), generator=torch.Generator().manual_seed(seed))
    held = len(seen) // 10
    if not held:
        raise RatherError(
            "TRAIN-DATA", where=train.name, why=f"pictures: {len(seen)}", do="Give ten at least"
        )
    return seen[order[held:]], seen[order[:held]], left_out


def read_pictures(source: Source, *, labelled: bool) -> tuple[Pictures, int]:
    """All that can be read, and how many are left out.

    Args:
        source: of the pictures.
        labelled: leave out those without a label as well.

    Raises:
        RatherError: TRAIN-DATA if none is left.
    """
    images, labels = [], []
    for index in range(len(source)):
        label = source.label(index)
        if label is None and labelled:
            continue
        try:
            images.append((source.read(index) * 255).round().byte())
        except RatherError:
            continue
        labels.append(-1 if label is None else label)
    if not labels:
        why, do = ("no picture with a label", "Give a folder for each class")
        if not labelled:
            why, do = ("no picture that can be read", "")
        raise RatherError("TRAIN-DATA", where=source.name, why=why, do=do)
    return Pictures(torch.stack(images), torch.tensor(labels)), len(source) - len(labels)

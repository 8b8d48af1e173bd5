"""Pictures to train on, all in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int, Int16, UInt8
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
    layouts: Int16[Tensor, "n h w"] | None = None  # of pictures whose regions are asked for
    attributes: Float[Tensor, "n a"] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Tensor) -> Pictures:
        layouts = None if self.layouts is None else self.layouts[rows]
        attributes = None if self.attributes is None else self.attributes[rows]
        return Pictures(self.images[rows], self.labels[rows], layouts, attributes)


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
    train: Source, test: Source | None, *, labelled: bool, seed: int, beside: Sequence[str] = ()
) -> tuple[Pictures, Pictures, int]:
    """Pictures to train on, pictures to measure on, and how many of the former are left out.

    Args:
        train: to train on.
        test: to measure on; None keeps a tenth of the others for that.
        labelled: leave out those without a label as well.
        seed: of which tenth.
        beside: what to read beside images and labels: "layouts", "attributes".

    Raises:
        RatherError: TRAIN-DATA if there are too few, or nothing is known of what is to be read beside.
    """
    seen, left_out = read_pictures(train, labelled=labelled, beside=beside)
    if test is not None:
        return seen, read_pictures(test, labelled=labelled, beside=beside)[0], left_out
    order = torch.randperm(len(seen), generator=torch.Generator().manual_seed(seed))
    held = len(seen) // 10
    if not held:
        raise RatherError(
            "TRAIN-DATA", where=train.name, why=f"pictures: {len(seen)}", do="Give ten at least"
        )
    return seen[order[held:]], seen[order[:held]], left_out


def read_pictures(source: Source, *, labelled: bool, beside: Sequence[str] = ()) -> tuple[Pictures, int]:
    """All that can be read, and how many are left out.

    Args:
        source: of the pictures.
        labelled: leave out those without a label as well.
        beside: what to read beside images and labels: "layouts", "attributes".

    Raises:
        RatherError: TRAIN-DATA if none is left, or nothing is known of what is to be read beside.
    """
    for asked, known in (("layouts", source.regions), ("attributes", source.attributes)):
        if asked in beside and not known:
            raise RatherError("TRAIN-DATA", where=source.name, why=f"of its pictures no {asked} are known")
    labels, attributes = [], []
    images, layouts = _Growing(len(source)), _Growing(len(source))
    for index in range(len(source)):
        label = source.label(index)
        if label is None and labelled:
            continue
        try:
            image = (source.read(index) * 255).round().byte()
            layout = source.layout(index).short() if "layouts" in beside else None
        except RatherError:
            continue
        images.append(image)
        if layout is not None:
            layouts.append(layout)
        attributes += [source.attribute_values(index)] if "attributes" in beside else []
        labels.append(-1 if label is None else label)
    if not labels:
        why, do = ("no picture with a label", "Give a folder for each class")
        if not labelled:
            why, do = ("no picture that can be read", "")
        raise RatherError("TRAIN-DATA", where=source.name, why=why, do=do)
    pictures = Pictures(
        images.whole(),
        torch.tensor(labels),
        layouts.whole() if "layouts" in beside else None,
        torch.stack(attributes) if attributes else None,
    )
    return pictures, len(source) - len(labels)


class _Growing:
    """Tensors of one shape, one after the other in memory for all: to stack a list would need it twice."""

    def __init__(self, most: int) -> None:
        self.most, self.count, self.rows = most, 0, torch.empty(0)

    def append(self, row: Tensor) -> None:
        if not self.count:
            self.rows = row.new_empty(self.most, *row.shape)
        self.rows[self.count] = row
        self.count += 1

    def whole(self) -> Tensor:
        return self.rows[: self.count]

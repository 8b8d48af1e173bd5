"""Pictures to train on, all in memory, with what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int, Int16, UInt8
from torch import Tensor

from rather.config.errors import RatherError
from rather.config.pictures import NO_OPTIONS, PictureOptions
from rather.data.folder import Folder
from rather.data.source import Dataset, Source
from rather.hub.checkpoints import LARGEST
from rather.hub.datasets import list_datasets, load_dataset


@final
@dataclass(frozen=True)
class Pictures:
    """Pictures in 8 bits, a quarter of what they would take as floats."""

    images: UInt8[Tensor, "n c h w"]
    labels: Int[Tensor, " n"]  # -1 where none is known
    layouts: Int16[Tensor, "n h w"] | None = None
    attributes: Float[Tensor, "n a"] | None = None
    edited: UInt8[Tensor, "n c h w"] | None = None  # the same with the attributes of others
    edited_attributes: Float[Tensor, "n a"] | None = None  # the attributes of `edited`

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Tensor) -> Pictures:
        columns = (self.layouts, self.attributes, self.edited, self.edited_attributes)
        known = [None if column is None else column[rows] for column in columns]
        return Pictures(self.images[rows], self.labels[rows], *known)


def load_to_train(
    data: str, size: int | None = None, channels: int | None = None, options: PictureOptions = NO_OPTIONS
) -> Dataset:
    """The data set, or the folder with its pictures resized to `size` pixels per side.

    Args:
        data: a data set's name, or a folder.
        size: pixels per side.
        channels: of a folder's pictures; by default 1 where all of them are grey, else as many as they have.
        options: how a folder is read.

    Raises:
        RatherError: CFG-OPTIONS for a size that has no effect or is too large, and what `load_dataset` raises.
    """
    for option, given in (("size", size), ("channels", channels)):
        if given is not None and data in list_datasets():
            raise RatherError("CFG-OPTIONS", where=f"{option} {given}", why=f"the pictures of {data} have their own")
    if size is not None and size > LARGEST:
        raise RatherError("CFG-OPTIONS", where=f"size {size}", why=f"at most {LARGEST} pixels per side")
    shape = (channels or 3, size, size) if size else None
    dataset = load_dataset(data, shape=shape, options=options)
    if not isinstance(dataset.test, Folder):
        return dataset
    seen = channels or dataset.test.channels()
    told = ("all pictures are grey: the net takes 1 channel (--channels 3 for three)",) if seen == 1 != channels else ()
    test, train = (
        replace(part, shape=(seen, *part.shape[1:])) if isinstance(part, Folder) else None
        for part in (dataset.test, dataset.train)
    )
    return Dataset(dataset.name, test or dataset.test, train, (*dataset.notes, *told))


def parts(dataset: Dataset) -> tuple[Source, Source | None]:
    """Where the pictures to train on and to measure on are; None for the latter if there is one part only."""
    return (dataset.test, None) if dataset.train is None else (dataset.train, dataset.test)


def read_parts(
    train: Source, test: Source | None, *, labelled: bool, seed: int, columns: Sequence[str] = ()
) -> tuple[Pictures, Pictures, int]:
    """Pictures to train on, pictures to measure on, and how many of the former are left out.

    Args:
        train: pictures to train on.
        test: pictures to measure on; None keeps a tenth of the others for that.
        labelled: leave out pictures without a label.
        seed: chooses the tenth.
        columns: fields of `Pictures` to read, besides images and labels.

    Raises:
        RatherError: TRAIN-DATA for too few pictures, or a column that the source does not know.
    """
    seen, left_out = read_pictures(train, labelled=labelled, columns=columns)
    if test is not None:
        return seen, read_pictures(test, labelled=labelled, columns=columns)[0], left_out
    order = torch.randperm(len(seen), generator=torch.Generator().manual_seed(seed))
    held = len(seen) // 10
    if not held:
        raise RatherError("TRAIN-DATA", where=train.name, why=f"pictures: {len(seen)}", do="Give ten at least")
    return seen[order[held:]], seen[order[:held]], left_out


def read_pictures(source: Source, *, labelled: bool, columns: Sequence[str] = ()) -> tuple[Pictures, int]:
    """All pictures that can be read, and how many are left out; arguments and errors as in `read_parts`."""
    columns = _to_read(source, columns)
    rows: dict[str, Tensor] = {}  # of all pictures from the first on: stacking a list would need the memory twice
    count = 0
    for index in range(len(source)):
        label = source.label(index)
        if label is None and labelled:
            continue
        try:
            row = _row(source, index, columns)
        except RatherError:
            continue
        for column, value in (row | {"labels": torch.tensor(-1 if label is None else label)}).items():
            if column not in rows:
                rows[column] = value.new_empty(len(source), *value.shape)
            rows[column][count] = value
        count += 1
    if not count:
        why, do = ("no picture with a label", "Give a folder for each class")
        if not labelled:
            why, do = ("no picture that can be read", "")
        raise RatherError("TRAIN-DATA", where=source.name, why=why, do=do)
    return Pictures(**{column: values[:count] for column, values in rows.items()}), len(source) - count


def _to_read(source: Source, columns: Sequence[str]) -> list[str]:
    """The columns that a source must have; the classifier's probabilities are not of them."""
    known: dict[str, object] = {"layouts": source.regions, "attributes": source.attributes}
    if not {"edited", "edited_attributes"}.isdisjoint(columns):
        known |= dict.fromkeys(("edited", "edited_attributes"), source.twins)
    needed = [column for column in columns if column in known]
    for column in needed:
        if not known[column]:
            raise RatherError("TRAIN-DATA", where=source.name, why=f"of its pictures no {column} are known")
    return needed


def _row(source: Source, index: int, columns: Sequence[str]) -> dict[str, Tensor]:
    row = {"images": _bytes(source.read(index))}
    for column in columns:
        if column == "layouts":
            row[column] = source.layout(index).short()
        elif column == "attributes":
            row[column] = source.attribute_values(index)
        elif twins := source.twins:
            row[column] = _bytes(twins.read(index)) if column == "edited" else twins.attribute_values(index)
    return row


def _bytes(image: Float[Tensor, "c h w"]) -> UInt8[Tensor, "c h w"]:
    return (image * 255).round().byte()

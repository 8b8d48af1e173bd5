"""Train classifiers of latents, on labelled pictures that an autoencoder encodes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, final

import torch
from accelerate import PartialState
from jaxtyping import Float, Int, UInt8
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from rather.config.errors import RatherError
from rather.config.pictures import NO_OPTIONS, PictureOptions
from rather.config.settings import Seed, Settings
from rather.data.source import Source
from rather.generators.autoencoder import Autoencoder, Latents
from rather.generators.recipe import Phase
from rather.hub.checkpoints import check_writable, read_autoencoder, read_metadata, save_latent
from rather.hub.datasets import load_dataset
from rather.hub.generators import generator_file
from rather.latents.classifiers import LatentClassifiers, LatentHeads
from rather.train.classifier import ClassifierFigures, check_classes
from rather.train.fit import Progress, Schedule, fit
from rather.train.pictures import parts, read_parts


@final
class LatentRecipe(Settings):
    """How to train: Adam on the cross-entropy, its learning rate falling linearly to zero."""

    members: Annotated[int, Field(gt=0, le=1000)] = 10
    """Number of classifiers; they differ in their first weights and in how often they see each picture."""
    hidden: Annotated[int, Field(gt=0, le=4096)] = 128
    """Units of each of the two hidden layers."""
    epochs: PositiveInt = 40
    """Passes over all pictures."""
    lr: PositiveFloat = 0.001
    """Learning rate at the start."""
    batch_size: PositiveInt = 128
    """Pictures per step."""
    noise: NonNegativeFloat = 0.3
    """Standard deviation of noise on the latents, which vary by about 1; it makes up for the encoder's doubt."""
    shift: Annotated[int, Field(ge=0, le=8)] = 1
    """Pixels, at most, by which a picture is shifted before it is encoded, in each direction."""
    seed: Seed = 0
    """Seed of all random numbers."""


class _Training(nn.Module):
    """Each member sees rows drawn from the batch with replacement, as in bagging."""

    def __init__(self, heads: LatentHeads, noise: float) -> None:
        super().__init__()
        self.heads, self.noise = heads, noise

    def phases(self) -> Mapping[str, Phase]:
        """One for all members, which share no parameters."""
        return {"heads": Phase([*self.heads.parameters()])}

    def forward(self, phase: str, z: Latents, labels: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
        """The sum of the members' losses, so that each member learns at the recipe's rate."""
        del phase
        rows = torch.randint(len(z), (self.heads.members, len(z)), device=z.device)
        logits = self.heads(z[rows] + self.noise * torch.randn_like(z[rows])).float()
        loss = F.cross_entropy(logits.flatten(0, 1), labels[rows].flatten(), reduction="none")
        return loss.view(rows.shape).sum(0)


def train_latent(
    data: str,
    generator: str,
    out: str | os.PathLike[str],
    recipe: LatentRecipe | None = None,
    *,
    options: PictureOptions = NO_OPTIONS,
    progress: Progress = lambda _done, _all, _loss: None,
) -> ClassifierFigures | None:
    """Train classifiers of latents and write their file: what `rather train latent-classifier` does.

    Args:
        data: a data set's name, or a folder with a subfolder for each class.
        generator: a bundled generator's name or a file, with the autoencoder whose latents they classify.
        out: the new file; its stem is their name.
        recipe: how to train.
        options: how a folder is read, and what is known of its pictures.
        progress: see `fit.Progress`.

    Returns:
        How it went; None in a process that is not the first of several.

    Raises:
        RatherError: what `load_generator`, `load_dataset` and `fit` raise; TRAIN-DATA for pictures that cannot
            train a classifier.
    """
    out, recipe = Path(out), recipe or LatentRecipe()
    check_writable(out)
    if Path(generator).absolute() == out.absolute():
        raise RatherError("CFG-OPTIONS", where=out, why="it is the generator's own file", do="Choose another --out")
    file = generator_file(generator)
    autoencoder, settings = read_autoencoder(file), read_metadata(file)["generator"]
    pictures = load_dataset(data, shape=autoencoder.shape, options=options)
    latent, figures = train_heads(autoencoder, *parts(pictures), recipe, name=out.stem, progress=progress)
    if not PartialState().is_main_process:
        return None
    card = {"data": pictures.name, "generator": autoencoder.name, "recipe": recipe.model_dump()}
    save_latent(out, latent, settings, card | figures.card())
    return replace(figures, notes=pictures.notes)


def train_heads(
    autoencoder: Autoencoder,
    train: Source,
    test: Source | None = None,
    recipe: LatentRecipe | None = None,
    *,
    name: str = "latent",
    progress: Progress = lambda _done, _all, _loss: None,
) -> tuple[LatentClassifiers, ClassifierFigures]:
    """Train classifiers of an autoencoder's latents.

    Args:
        autoencoder: encodes the pictures.
        train: labelled pictures of its shape.
        test: labelled pictures to measure on; None keeps a tenth of the training pictures for that.
        recipe: how to train.
        name: what to call them in a report.
        progress: see `fit.Progress`.

    Raises:
        RatherError: TRAIN-DATA, and what `fit` raises.
    """
    recipe = recipe or LatentRecipe()
    seen, held, left_out = read_parts(train, test, labelled=True, seed=recipe.seed)
    check_classes(train, seen, held)
    if tuple(seen.images.shape[1:]) != autoencoder.shape:
        raise RatherError(
            "GEN-SIZE",
            where=f"{autoencoder.name}: images {autoencoder.shape}",
            why=f"those of {train.name} are {tuple(seen.images.shape[1:])}",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        heads = LatentHeads(recipe.members, autoencoder.size, recipe.hidden, len(train.classes))
    steps = recipe.epochs * max(1, len(seen) // recipe.batch_size)
    schedule = Schedule(steps=steps, lr=recipe.lr, batch_size=recipe.batch_size, seed=recipe.seed)
    moved = [_encoded(autoencoder, images) for images in _moved(seen.images, recipe.shift)]
    losses: list[float] = []

    def note(done: int, of: int, loss: float) -> None:
        losses.append(loss / recipe.members)
        progress(done, of, loss / recipe.members)

    latents, labels = torch.cat(moved), seen.labels.repeat(len(moved))
    fit(_Training(heads, recipe.noise), [latents, labels], schedule, progress=note)
    latent = LatentClassifiers(autoencoder, heads, train.classes, name)
    with torch.no_grad():
        log_p = latent.logits(_encoded(autoencoder, held.images)).log_softmax(-1)
    right = log_p.argmax(-1) == held.labels
    return latent, ClassifierFigures(
        trained_on=len(seen),
        tested_on=len(held),
        left_out=left_out,
        correct=int((log_p.mean(0).argmax(1) == held.labels).sum()),
        members_correct=tuple(right.sum(1).tolist()),
        losses=(tuple(losses),),
    )


@torch.no_grad()
def _encoded(autoencoder: Autoencoder, images: UInt8[Tensor, "n c h w"]) -> Latents:
    return torch.cat([autoencoder.encode(part.float() / 255) for part in images.split(256)])


def _moved(images: UInt8[Tensor, "n c h w"], by: int) -> Iterator[UInt8[Tensor, "n c h w"]]:
    """The pictures shifted by -`by` to `by` pixels, down and right; the border is repeated."""
    h, w = images.shape[2:]
    for down in range(-by, by + 1):
        rows = (torch.arange(h) - down).clamp(0, h - 1)
        for right in range(-by, by + 1):
            yield images[:, :, rows][:, :, :, (torch.arange(w) - right).clamp(0, w - 1)]

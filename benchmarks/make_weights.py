"""Train the bundled nets: python benchmarks/make_weights.py [NAME ...]."""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
from collections.abc import Callable
from pathlib import Path

import torch

from rather.hub.checkpoints import read_metadata
from rather.hub.classifiers import load_classifier
from rather.hub.generators import generator_class
from rather.io.bundled import WEIGHTS
from rather.train import (
    ClassifierFigures,
    ClassifierRecipe,
    GeneratorFigures,
    LatentRecipe,
    train_generator,
    train_latent,
    train_to_file,
)

CC_BY_SA = "CC BY-SA 3.0, as the pictures that it was trained on (MNIST, Yann LeCun and Corinna Cortes)"
DRAWN = "Apache-2.0"


def report(done: int, of: int, loss: float) -> None:
    if of <= 200 or not done % 100:
        print(f"{done}/{of}: loss {loss:.4f}", flush=True)


def classifier(data: str, recipe: ClassifierRecipe, what: str) -> Callable[[Path], str]:
    return lambda file: f"{what}; {share(train_to_file(data, file, recipe, progress=report))}"


def face(data: str, what: str, architecture: str = "small") -> Callable[[Path], str]:
    recipe = ClassifierRecipe(architecture=architecture, epochs=4, shift=2)
    return classifier(data, recipe, f"a small net for drawn faces: {what}")


def latent(data: str, generator: str, recipe: LatentRecipe, what: str) -> Callable[[Path], str]:
    return lambda file: f"{what}; {share(train_latent(data, generator, file, recipe, progress=report))}"


def generator(
    kind: str, what: str, *, data: str = "digits", classifier: str = "digits", **settings: float | str
) -> Callable[[Path], str]:
    recipe = generator_class(kind).of(settings)  # here, so that a wrong setting is found before anything is trained

    def make(file: Path) -> str:
        figures = train_generator(recipe, data, file, classifier=load_classifier(classifier), progress=report)
        file.with_suffix(".preview.png").unlink(missing_ok=True)
        assert figures is not None
        return f"{what}; {quality(figures)}"

    return make


def quality(figures: GeneratorFigures) -> str:
    found, tested = figures.values, f"of {figures.tested_on:,} test pictures"
    if "worst_right" in found:
        return f"right on {100 * float(found['right']):.1f} % of the attributes {tested}"
    if found.get("same_class") is None:
        return str(figures)
    kept = f"{100 * int(found['same_class']) / figures.tested_on:.1f} % {tested} keep their class"
    psnr = f", {found['psnr']:.1f} dB" if "psnr" in found else ""
    return f"{kept} in reconstruction{psnr}"


def share(figures: ClassifierFigures) -> str:
    return f"{100 * figures.accuracy:.1f} % of {figures.tested_on:,} test pictures"


#: name -> (how it is made, licence)
NETS = {
    "digits": (
        classifier("digits", ClassifierRecipe(), "the digit net of Goyal et al. (2019), 4 x 4 x 20 features"),
        CC_BY_SA,
    ),
    "digits-ensemble": (
        classifier(
            "digits", ClassifierRecipe(members=5, seed=1), "an ensemble of 5 such nets, none of them the net `digits`"
        ),
        CC_BY_SA,
    ),
    "digits-vae": (generator("vae", "a VAE of the digits with 32 latents"), CC_BY_SA),
    "digits-tcvae": (generator("tcvae", "a beta-TCVAE of the digits with 16 latents", latent=16, width=16), CC_BY_SA),
    "digits-gan": (generator("gan", "a DCGAN of the digits with 10 latents, and its inversion"), CC_BY_SA),
    "digits-vae-2d": (
        generator("vae", "a VAE of the digits with 2 latents, to look at", latent=2, width=16, beta=0.2),
        CC_BY_SA,
    ),
    "digits-latent": (
        latent("digits", "digits-vae", LatentRecipe(), "an ensemble of 10 classifiers of the latents of `digits-vae`"),
        CC_BY_SA,
    ),
    "digits-latent-2d": (
        latent(
            "digits",
            "digits-vae-2d",
            LatentRecipe(noise=0.1),
            "an ensemble of 10 classifiers of the latents of `digits-vae-2d`",
        ),
        CC_BY_SA,
    ),
    "digits-ddpm": (
        generator(
            "ddpm",
            "a diffusion model of the digits, of the lower third of 500 levels of noise",
            width=32,
            levels=500,
            reach=175,  # ACE's 5 of 50 levels end at 41, and DiME's 60 of 200 at 148
            steps=2000,
            batch_size=64,
        ),
        CC_BY_SA,
    ),
    "digits-simsiam": (
        generator("simsiam", "an encoder of the digits, trained without classes, for S3", width=16, steps=1500),
        CC_BY_SA,
    ),
    "digits-classwise": (
        generator(
            "classwise",
            "small autoencoders, one of each digit and one of all, for IM1 and IM2",
            latent=10,
            width=8,
            steps=1500,
        ),
        CC_BY_SA,
    ),
    "shapes": (
        classifier(
            "shapes",
            ClassifierRecipe(architecture="patches", shift=0),
            "a net for the drawn shapes whose 4 x 4 x 32 features see a cell each",
        ),
        DRAWN,
    ),
    "faces-smile": (face("faces", "not smiling or smiling"), DRAWN),
    "faces-age": (face("faces/age", "young or old"), DRAWN),
    "faces-age-glasses": (
        face("faces/age-glasses", "young or old, trained where the old mostly wear glasses and hats"),
        DRAWN,
    ),
    "faces-age-top": (face("faces/age", "young or old by the top of the picture alone", "top"), DRAWN),
    "faces-age-middle": (face("faces/age", "young or old by its middle alone", "middle"), DRAWN),
    "faces-age-bottom": (face("faces/age", "young or old by its bottom alone", "bottom"), DRAWN),
    "faces-oracle": (
        generator("oracle", "the attributes of drawn faces", data="faces/others", classifier="faces-smile"),
        DRAWN,
    ),
    "faces-semantic": (
        generator(
            "semantic",
            "segments drawn faces, and redraws them with a style for each region",
            data="faces",
            classifier="faces-smile",
            loose="skin,lips,mouth,beard",
            width=24,
            steps=8000,
        ),
        DRAWN,
    ),
    "faces-simsiam": (
        generator(
            "simsiam",
            "an encoder of drawn faces, trained without attributes, for S3",
            data="faces",
            classifier="faces-smile",
            width=16,
            steps=1200,
            batch_size=64,
            flip=True,
        ),
        DRAWN,
    ),
    "faces-editor": (
        generator(
            "paired",
            "edits drawn faces by 12 attributes, learnt from pairs that differ in these alone",
            data="faces",
            classifier="faces-smile",
            width=24,
            steps=3200,
        ),
        DRAWN,
    ),
    "faces-smile-exaggerator": (
        generator(
            "exaggerator",
            "exaggerates what `faces-smile` takes for a smile",
            data="faces",
            classifier="faces-smile",
            width=24,
            steps=1300,
            batch_size=16,
        ),
        DRAWN,
    ),
    "faces-ddpm": (
        generator(
            "ddpm",
            "a diffusion model of drawn faces, of the lower third of 500 levels of noise",
            data="faces",
            classifier="faces-smile",
            width=24,
            levels=500,
            reach=175,
            steps=7000,
            batch_size=16,
        ),
        DRAWN,
    ),
    "faces-vae": (
        generator(
            "vae",
            "a VAE of drawn faces, whose latents are 16 x 16 cells of 4 numbers",
            data="faces",
            classifier="faces-smile",
            latent=1024,
            cells=16,
            width=64,
            beta=0.01,  # a mouth is few of the 12,288 pixel values
            batch_size=16,
            steps=2500,
        ),
        DRAWN,
    ),
    "faces-tcvae": (
        generator(
            "tcvae",
            "a beta-TCVAE of drawn faces, whose latents are 8 x 8 cells of 4 numbers",
            data="faces",
            classifier="faces-smile",
            latent=256,
            cells=8,
            width=24,
            batch_size=32,
            steps=2000,
        ),
        DRAWN,
    ),
    "faces-smile-latent": (
        latent(
            "faces",
            "faces-vae",
            LatentRecipe(),
            "an ensemble of 10 classifiers of the latents of `faces-vae`, not smiling or smiling",
        ),
        DRAWN,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(NETS), help="which; all by default")
    torch.set_num_threads(1)  # several would change the order of sums, and so the weights
    for name in parser.parse_args().names:
        make, licence = NETS[name]
        file = WEIGHTS / f"{name}.safetensors"
        what, plan = make(file), read_metadata(file)
        card = {
            "what": what,
            "kind": plan.get("kind", "classifier"),
            **({"generator": plan["generator"]} if "generator" in plan else {}),
            **plan["card"],
            "script": f"benchmarks/make_weights.py {name}",
            "made_with": f"torch {torch.__version__.partition('+')[0]}, one thread, {platform.machine()}",
            "licence": licence,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        file.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", "utf-8")
        print(f"{name}: {what}")


if __name__ == "__main__":
    main()

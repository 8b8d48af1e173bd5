"""Training the nets that explanations need: classifiers, generators, classifiers of latents."""

from rather.train.classifier import Figures, Recipe, train_classifier, train_to_file
from rather.train.generator import GeneratorFigures, train_generator
from rather.train.latent import LatentRecipe, train_heads, train_latent

__all__ = [
    "Figures",
    "GeneratorFigures",
    "LatentRecipe",
    "Recipe",
    "train_classifier",
    "train_generator",
    "train_heads",
    "train_latent",
    "train_to_file",
]

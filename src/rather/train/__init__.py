"""Training: classifiers, generators and classifiers of latents."""

from rather.train.classifier import ClassifierFigures, ClassifierRecipe, train_classifier, train_to_file
from rather.train.generator import GeneratorFigures, train_generator
from rather.train.latent import LatentRecipe, train_heads, train_latent

__all__ = [
    "ClassifierFigures",
    "ClassifierRecipe",
    "GeneratorFigures",
    "LatentRecipe",
    "train_classifier",
    "train_generator",
    "train_heads",
    "train_latent",
    "train_to_file",
]

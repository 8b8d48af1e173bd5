"""The types that everyone shares: Classifier, Goal, Noise, SearchResult, Counterfactuals, Method."""

from rather.core.asked import class_numbers, outputs_of
from rather.core.classifier import Classifier, fingerprint
from rather.core.ensembles import ensemble
from rather.core.goal import Goal, Noise
from rather.core.inspection import check_reading, preflight
from rather.core.method import NOT_GIVEN, WITHOUT_GRADIENT, Deferred, GradientUse, Loadable, LoadableImages, Method
from rather.core.result import Counterfactual, Counterfactuals, SearchResult, Status, rows_of
from rather.types import Features, Image, Images, Labels, Logits, Resource, Target

__all__ = [
    "NOT_GIVEN",
    "WITHOUT_GRADIENT",
    "Classifier",
    "Counterfactual",
    "Counterfactuals",
    "Deferred",
    "Features",
    "Goal",
    "GradientUse",
    "Image",
    "Images",
    "Labels",
    "Loadable",
    "LoadableImages",
    "Logits",
    "Method",
    "Noise",
    "Resource",
    "SearchResult",
    "Status",
    "Target",
    "check_reading",
    "class_numbers",
    "ensemble",
    "fingerprint",
    "outputs_of",
    "preflight",
    "rows_of",
]

"""What did an answer cost?"""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from rather.metrics.registry import metric

#: Numbers that a run keeps of each row, by name; NaN of a method that does not count it.
Facts = Mapping[str, Float[Tensor, " b"]]


@metric(title="evaluations", theme="costs", unit="a row", better="lower", over="answered", version=1)
def evaluations(facts: Facts) -> Float[Tensor, " b"]:
    """How often the classifier, or its head, was asked.

    Source: counted where the method runs.
    Avoids: counting the gradient steps of a method and not the classifier's calls.
    """
    return facts["evaluations"]


@metric(title="denoised", theme="costs", unit="a row", better="lower", over="answered", version=1)
def denoiser_calls(facts: Facts) -> Float[Tensor, " b"]:
    """How often a diffusion model's net was asked.

    Source: counted where the method runs.
    Avoids: leaving out the calls of a diffusion model, which take most of the time.
    """
    return facts["denoiser_calls"]


@metric(title="seconds", theme="costs", unit="a row", better="lower", over="answered", shared=True, version=1)
def seconds(facts: Facts) -> Float[Tensor, " b"]:
    """Seconds of the method's call.

    Source: the clock around the method's call, on the machine that made the run.
    Avoids: the time that it takes to read and save pictures.
    """
    return facts["seconds"]


@metric(
    title="MB",
    theme="costs",
    unit="MB, of a call with all images of a chunk",
    better="lower",
    over="answered",
    shared=True,
    version=1,
)
def memory(facts: Facts) -> Float[Tensor, " b"]:
    """What the method's call took at its peak, beyond what was in use before.

    Source: the processor's pages, or the allocator of the GPU.
    Avoids: what was in use before the call.
    """
    return facts["memory"] / 1e6

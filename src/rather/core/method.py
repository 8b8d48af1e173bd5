"""What a method is: a frozen value whose fields are its settings, and one guarded way to call it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Literal, TypeVar, final, get_args

import torch
from pydantic import field_validator
from torch import Tensor

from rather.config.errors import RatherError
from rather.config.settings import Settings
from rather.core.asked import check_found, check_input, check_kinds, goal_of, with_outputs
from rather.core.classifier import Classifier
from rather.core.goal import Goal, Noise
from rather.core.grey import is_grey, search_in_grey, with_grey
from rather.core.region import Regions, Search, search_inside
from rather.core.result import Counterfactuals, SearchResult
from rather.types import Images, Resource, Target

if TYPE_CHECKING:
    from rather.data.source import Dataset, Source

T = TypeVar("T")
#: Methods for classifiers without a gradient, as an error names them: the first needs no other net.
WITHOUT_GRADIENT: Final = "sedc, or revise with an autoencoder of such images"
#: Whether a search differentiates the classifier: always, where the classifier can be differentiated, or never.
GradientUse = Literal["needed", "optional", "none"]

if TYPE_CHECKING:

    class Loadable(Generic[T]):
        """To a type checker: reads as T, and takes a name as well."""

        def __get__(self, method: object, owner: object = None) -> T: ...
        def __set__(self, method: object, value: T | str) -> None: ...

    class LoadableImages(Generic[T]):
        """To a type checker: reads as T, and takes images, a dataset or its name as well."""

        def __get__(self, method: object, owner: object = None) -> T: ...
        def __set__(self, method: object, value: T | str | Tensor | Dataset | Source | None) -> None: ...

else:

    class Loadable:
        """A field that takes a resource or its name, which is loaded: `generator: Loadable[Denoiser]`."""

        def __class_getitem__(cls, kind: Any) -> Any:
            return kind

    class LoadableImages(Loadable):
        """A field that takes reference images, as a tensor, a dataset, a part of it, or a name."""


#: The default of a field that may be left out: typed so that a type checker takes it for any field.
NOT_GIVEN: Any = None


class Deferred(Resource, ABC):
    """A resource that can only be made when the classifier is known, such as images of its shape."""

    @abstractmethod
    def resolve(self, classifier: Classifier) -> Resource:
        """The resource for this classifier."""


class Method(Settings, ABC):
    """A way of finding counterfactuals. A subclass is final and defines `search`; its module cites the paper.

    `gradient` says whether the search differentiates the classifier; a wrapper, which does not, says "none".
    Of an image whose three channels are equal, the counterfactual's are equal, too: see `core.grey`.
    """

    gradient: ClassVar[GradientUse] = "needed"

    @abstractmethod
    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Find images near `x` that reach the goal. No row may depend on another."""

    def check(self, classifier: Classifier) -> None:
        """Refuse a classifier of which no image could be explained; of a wrapper, what the method inside refuses.

        Raises:
            RatherError: why not, and what to do.
        """
        for _, value in self:
            if isinstance(value, Method):
                value.check(classifier)

    @final
    def __call__(
        self,
        classifier: Classifier,
        x: Images,
        target: Goal | Target,
        *,
        seed: int = 0,
        ids: Sequence[str] | None = None,
        region: Regions | None = None,
    ) -> Counterfactuals:
        """Explain a batch: for each image the change after which the classifier says `target`.

        Args:
            classifier: to explain.
            x: images (b, c, h, w) in [0, 1], of any dtype; they are converted to float32.
            target: a class, for all rows or for each, or a `Goal`; of labels or values what `Classifier.ask` takes.
            seed: of the noise; together with a row's id it fixes all random numbers.
            ids: a name for each row, by default its place in the batch.
            region: of each image the pixels that may change, (b, h, w) of torch.bool; it is then searched alone.

        Raises:
            RatherError: images or a region of another shape or range, no such class, no gradient where one is needed.
        """
        check_kinds(classifier, x)
        self.check_gradient(classifier)
        classifier, target = (classifier, target) if isinstance(target, Goal) else classifier.asked_for(target)
        if len(x) > 1 and classifier.question is not None and classifier.question.relative:
            return self._one_by_one(classifier, x, target, region, seed=seed, ids=ids)
        with torch.inference_mode(mode=False), torch.random.fork_rng(devices=[]):
            x = x.detach().to(torch.float32, copy=True)  # what inference mode made can have no gradient
            classifier = classifier.at(x)
            goal = goal_of(classifier, target, x)
            noise = Noise(seed, [*map(str, range(len(x)))] if ids is None else ids)
            check_input(classifier, x, goal, noise.ids, region)
            self.check(classifier)
            search = self.for_classifier(classifier).search
            before = classifier.probabilities(x)
            (rows,) = (~goal.reached(before.log())).nonzero(as_tuple=True)
            every = len(rows) == len(x)
            some, its_goal, inside = x[rows], goal[rows], None if region is None else region[rows]
            found = _found(search, classifier, some, its_goal, noise[rows], inside)
            check_found(self.name(), found, some)
            given = _judged(classifier, some, its_goal, found, inside) if len(rows) else (some, before[:0], ())
        result = Counterfactuals(
            queries=some,
            images=given[0],
            goal=its_goal,
            classes=classifier.classes,
            before=before if every else before[rows],
            after=given[1],
            success=torch.tensor([not reason for reason in given[2]], dtype=torch.bool, device=x.device),
            failure=given[2],
            steps=found.steps,
            evaluations=found.evaluations,
            artifacts=found.artifacts,
            info=found.info,
            ids=noise[rows].ids,
        )
        whole = result if every else _with_already(result, rows.tolist(), x, goal, before, ids=noise.ids)
        return with_outputs(classifier, whole)

    def _one_by_one(
        self,
        classifier: Classifier,
        x: Images,
        target: Goal | Target,
        region: Regions | None,
        *,
        seed: int,
        ids: Sequence[str] | None,
    ) -> Counterfactuals:
        """Each image with a question of its own."""
        goal = goal_of(classifier, target, x.detach().to(torch.float32))
        names = [str(i) for i in range(len(x))] if ids is None else ids
        parts = []
        for n, name in zip(torch.arange(len(x)).split(1), names, strict=True):
            inside = None if region is None else region[n]
            parts.append(self(classifier, x[n], goal[n], seed=seed, ids=[name], region=inside))
        return Counterfactuals.cat(parts)

    @field_validator("*", mode="wrap")
    @classmethod
    def _by_name(cls, value: Any, handler: Callable[[Any], Any], info: Any) -> Any:
        """Loads what is given by its name, where the field takes a resource or a method."""
        kind = _resource_kind(cls.model_fields[str(info.field_name)].annotation)
        if kind is None or value is None or isinstance(value, kind):
            return handler(value)
        from rather import load_resource  # the public face knows every name, this module none

        loaded = load_resource(kind, value)
        return loaded if isinstance(loaded, Deferred) else handler(loaded)

    def for_classifier(self, classifier: Classifier) -> Method:
        """The same, with the resources that depend on the classifier made for it, such as images of its shape."""
        made: dict[str, Any] = {}
        for name, value in self:
            if isinstance(value, Deferred):
                made[name] = value.resolve(classifier)
            elif isinstance(value, Method) and (ready := value.for_classifier(classifier)) is not value:
                made[name] = ready
        return self.model_copy(update=made) if made else self

    def needs_gradient(self) -> bool:
        """Whether the classifier has to have a gradient, with these settings; a wrapper needs what its method needs."""
        return self.gradient == "needed" or any(one.needs_gradient() for _, one in self if isinstance(one, Method))

    def check_gradient(self, classifier: Classifier) -> None:
        """Refuse a classifier without a gradient, if the method needs one.

        Raises:
            RatherError: MODEL-GRADIENT.
        """
        if self.needs_gradient() and not classifier.differentiable:
            raise RatherError(
                "MODEL-GRADIENT",
                where=classifier.name,
                why=f"{self.name()} needs one",
                do=f"Take {WITHOUT_GRADIENT}; rather list methods shows which others need none",
            )

    def settings(self) -> dict[str, Any]:
        """Its settings as plain data, its name among them; `load_method` makes the method of them again."""
        return {"name": self.name()} | {
            key: _plain(value, f"{self.name()}.{key}") for key, value in self if not isinstance(value, Resource)
        }


def _resource_kind(annotation: Any) -> type | None:
    """The kind of resource or method that a field takes; None for a plain setting."""
    kind = (get_args(annotation) or (annotation,))[0]  # of `Classifier | None`, the first
    return kind if isinstance(kind, type) and issubclass(kind, Resource | Method) else None


def _found(  # noqa: PLR0917 - what a search takes, and where
    search: Search, classifier: Classifier, x: Images, goal: Goal, noise: Noise, region: Regions | None
) -> SearchResult:
    if not len(x):
        return _nothing(x, goal)
    if region is None:
        return search_in_grey(search, classifier, x, goal, noise)
    return search_inside(search, classifier, x, goal, noise, region=region)


def _nothing(x: Images, goal: Goal) -> SearchResult:
    """What is found for no rows, so that no search has to consider them."""
    return SearchResult(images=x, steps=torch.zeros_like(goal.target), evaluations=torch.zeros_like(goal.target))


def _judged(
    classifier: Classifier, x: Images, goal: Goal, searched: SearchResult, region: Regions | None
) -> tuple[Images, Tensor, tuple[str, ...]]:
    """The 8-bit pictures of what was found, their probabilities, and why each is no success."""
    found = searched.images.detach()
    finite = found.isfinite().flatten(1).all(1)
    raw = with_grey(torch.where(finite[:, None, None, None], found, x).clamp(0, 1), is_grey(x))
    images = (raw * 255).round() / 255
    after = classifier.probabilities(images)
    reached = goal.reached(after.log()) & finite
    lost = goal.reached(classifier.probabilities(raw).log()) & ~reached
    failure = tuple(
        "" if r else "NONFINITE" if not f else "LOST-IN-SAVING" if w else "BUDGET"
        for r, f, w in zip(reached.tolist(), finite.tolist(), lost.tolist(), strict=True)
    )
    failure = _with_bad_gradients(classifier, raw, goal, failure)
    return images, after, failure if region is None else _without_region(failure, region)


def _without_region(failure: tuple[str, ...], region: Regions) -> tuple[str, ...]:
    """The same reasons, but for rows whose region is empty: nothing may change there."""
    may_change = region.flatten(1).any(1).tolist()
    return tuple(why if may else "NO-REGION" for why, may in zip(failure, may_change, strict=True))


def _with_bad_gradients(classifier: Classifier, z: Images, goal: Goal, failure: Sequence[str]) -> tuple[str, ...]:
    """The same reasons, but where a search without success ended in a gradient of NaN or infinity, that."""
    rows = [n for n, reason in enumerate(failure) if reason == "BUDGET"]
    bad = {n for n in rows if not _finite_gradient(classifier, z[n : n + 1], goal.target[n])}
    return tuple("GRADIENT-NONFINITE" if n in bad else reason for n, reason in enumerate(failure))


def _finite_gradient(classifier: Classifier, z: Images, target: Tensor) -> bool:
    """Whether the gradient of the target at an image is finite; true of a classifier that has none."""
    with torch.enable_grad(), suppress(RuntimeError):  # a net that cannot go back
        z = z.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(classifier(z).log_softmax(1)[0, target], z)
        return bool(gradient.isfinite().all())
    return True


def _with_already(
    searched: Counterfactuals, rows: Sequence[int], x: Images, goal: Goal, before: Tensor, *, ids: tuple[str, ...]
) -> Counterfactuals:
    """The whole batch, with the rows that were at their goal as they came in; `rows` are those that were searched."""

    def whole(start: Tensor, part: Tensor) -> Tensor:
        return start.clone().index_copy_(0, torch.tensor(rows, dtype=torch.long, device=start.device), part)

    def per_row(values: Sequence[Any], otherwise: Any) -> list[Any]:
        of_row = dict(zip(rows, values, strict=True))
        return [of_row.get(row, otherwise) for row in range(len(x))]

    none = torch.zeros_like(goal.target)
    return Counterfactuals(
        queries=x,
        images=whole(x, searched.images),
        goal=goal,
        classes=searched.classes,
        before=before,
        after=whole(before, searched.after),
        success=whole(none.bool(), searched.success),
        failure=tuple(per_row(searched.failure, "ALREADY-TARGET")),
        steps=whole(none, searched.steps.to(none)),
        evaluations=whole(none, searched.evaluations.to(none)),
        artifacts={name: per_row(values, x[:0]) for name, values in searched.artifacts.items()},
        info={name: per_row(values, None) for name, values in searched.info.items()},
        ids=ids,
    )


def _plain(value: object, where: str) -> Any:
    if isinstance(value, Method):
        return value.settings()
    if isinstance(value, list | tuple):
        return type(value)([_plain(part, where) for part in value])
    if isinstance(value, dict):
        return {key: _plain(part, f"{where}.{key}") for key, part in value.items()}
    if isinstance(value, bool | int | float | str | type(None)):
        return value
    raise TypeError(f"{where}: {type(value).__name__} is neither plain data nor a Method nor a Resource")

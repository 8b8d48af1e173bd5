"""What a method is: a frozen value whose fields are its settings, and one guarded way to call it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final, get_args

import torch
from pydantic import field_validator
from torch import Tensor

from rather.config.errors import RatherError
from rather.config.settings import Settings
from rather.core.classifier import Classifier
from rather.core.goal import Goal, Noise
from rather.core.grey import is_grey, search_in_grey, with_grey
from rather.core.result import Counterfactuals, SearchResult
from rather.types import Images, Labels, Resource, Target

if TYPE_CHECKING:
    from rather.data.source import Dataset, Source

T = TypeVar("T")

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

    Of an image whose three channels are equal, the counterfactual's are equal, too: see `core.grey`.
    """

    @abstractmethod
    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Find images near `x` that reach the goal. No row may depend on another."""

    @final
    def __call__(
        self,
        classifier: Classifier,
        x: Images,
        target: Goal | Target,
        *,
        seed: int = 0,
        ids: Sequence[str] | None = None,
    ) -> Counterfactuals:
        """Explain a batch: for each image the change after which the classifier says `target`.

        Args:
            classifier: to explain.
            x: images (b, c, h, w) in [0, 1], of any dtype; they are converted to float32.
            target: a class, by number or name, for all rows or for each, or a `Goal`; of labels or values what
                `Classifier.ask` takes. Rows that are there already come back unchanged, with the status "already".
            seed: of the noise; together with a row's id it fixes all random numbers.
            ids: a name for each row, by default its place in the batch.

        Raises:
            RatherError: images of another shape or range, or a class that does not exist.
        """
        _check_kinds(classifier, x)
        if not isinstance(target, Goal):
            classifier, target = classifier.asked_for(target)
        if classifier.question is not None and classifier.question.relative and len(x) > 1:
            return self._one_by_one(classifier, x, target, seed, ids)
        # A search takes gradients, which nothing made in inference mode can have: hence the copies, too.
        with torch.inference_mode(mode=False), torch.random.fork_rng(devices=[]):  # torch's stream: no trace
            x = x.detach().to(torch.float32, copy=True)
            classifier = classifier.at(x)
            goal = _goal(classifier, target, x)
            names = [str(i) for i in range(len(x))] if ids is None else ids
            _check(classifier, x, goal, names)
            noise = Noise(seed, names)
            before = classifier.probabilities(x)
            (rows,) = (~goal.reached(before.log())).nonzero(as_tuple=True)
            every = len(rows) == len(x)
            some, its_goal = (x, goal) if every else (x[rows], goal[rows])
            method = self.for_classifier(classifier)
            found = (
                search_in_grey(method.search, classifier, some, its_goal, noise[rows])
                if len(rows)
                else _nothing(some, its_goal)
            )
            _check_found(self.name(), found, some)
            raw = found.images.detach()
            images, after, failure = _judged(classifier, some, its_goal, raw) if len(rows) else (some, before[:0], ())
        result = Counterfactuals(
            queries=some,
            images=images,
            goal=its_goal,
            classes=classifier.classes,
            before=before if every else before[rows],
            after=after,
            success=torch.tensor([not reason for reason in failure], dtype=torch.bool, device=x.device),
            failure=failure,
            steps=found.steps,
            evaluations=found.evaluations,
            artifacts=found.artifacts,
            info=found.info,
            ids=noise[rows].ids,
        )
        result = result if every else replace(_with_already(result, rows.tolist(), x, goal, before), ids=noise.ids)
        outputs = outputs_of(classifier, result.queries, result.images)
        per_row = {name: [each[name] for each in outputs] for name in (outputs[0] if outputs else ())}
        return replace(result, info={**result.info, **per_row})

    def _one_by_one(
        self, classifier: Classifier, x: Images, target: Goal | Target, seed: int, ids: Sequence[str] | None
    ) -> Counterfactuals:
        """Each image with a question of its own."""
        x = x.detach().to(torch.float32)
        goal = target if isinstance(target, Goal) else _goal(classifier, target, x)
        names = [str(i) for i in range(len(x))] if ids is None else ids
        rows = torch.arange(len(x)).split(1)
        parts = [self(classifier, x[n], goal[n], seed=seed, ids=[names[int(n)]]) for n in rows]
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

    def settings(self) -> dict[str, Any]:
        """Its settings as plain data, its name among them; `load_method` makes the method of them again."""
        return {"name": self.name()} | {
            key: _plain(value, f"{self.name()}.{key}") for key, value in self if not isinstance(value, Resource)
        }


def _resource_kind(annotation: Any) -> type | None:
    """The kind of resource or method that a field takes; None for a plain setting."""
    kind = (get_args(annotation) or (annotation,))[0]  # of `Classifier | None`, the first
    return kind if isinstance(kind, type) and issubclass(kind, Resource | Method) else None


def _nothing(x: Images, goal: Goal) -> SearchResult:
    """What is found for no rows, so that no search has to consider them."""
    return SearchResult(images=x, steps=torch.zeros_like(goal.target), evaluations=torch.zeros_like(goal.target))


def _judged(classifier: Classifier, x: Images, goal: Goal, found: Images) -> tuple[Images, Tensor, tuple[str, ...]]:
    """The 8-bit pictures of what was found, their probabilities, and why each is no success."""
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
    return images, after, failure


def _with_already(
    searched: Counterfactuals, rows: Sequence[int], x: Images, goal: Goal, before: Tensor
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


def _goal(classifier: Classifier, target: Goal | Target, x: Images) -> Goal:
    kept = classifier.outputs(x) if classifier.source.kind == "labels" else None
    if isinstance(target, Goal):
        return Goal(target.target.to(x.device, copy=True), target.confidence.to(x.device, copy=True), kept)
    if classifier.question is not None and target == "next":
        return Goal(1 - classifier.probabilities(x).argmax(1), torch.zeros(len(x), device=x.device), kept)
    return replace(Goal.change(class_numbers(classifier, target, x)), kept=kept)


def outputs_of(classifier: Classifier, *images: Images) -> list[dict[str, dict[str, list[float]]]]:
    """The info of each row on labels or values: by name, what each of the batches has; of classes none."""
    source = classifier.source
    if source.kind == "classes":
        return [{} for _ in images[0]]
    columns = torch.stack([classifier.outputs(each) for each in images], 2).tolist()
    return [{source.kind: dict(zip(source.classes, row, strict=True))} for row in columns]


def class_numbers(classifier: Classifier, target: Target, x: Images) -> Labels:
    """The classes that are asked for, by number or name, for all rows or for each, as a number for each row."""
    if isinstance(target, str):
        target = classifier.class_index(target)
    elif isinstance(target, Sequence):
        target = [classifier.class_index(one) if isinstance(one, str) else one for one in target]
    try:
        classes = torch.as_tensor(target, device=x.device)
    except (TypeError, ValueError, RuntimeError):  # what torch says of None, of ragged lists, of objects
        classes = torch.empty(0)
    if classes.is_floating_point() or classes.dtype == torch.bool:
        raise RatherError("CFG-CLASS", where=f"target {target!r:.60}", why="no class, and not one for each row")
    return classes.expand(len(x)).clone() if classes.ndim == 0 else classes.clone()


def _check_kinds(classifier: object, x: object) -> None:
    if not isinstance(classifier, Classifier):
        raise RatherError(
            "MODEL-INPUT",
            where=type(classifier).__name__,
            why="not a Classifier",
            do="Wrap it: rather.Classifier(net, shape=(c, h, w))",
        )
    if not isinstance(x, Tensor):
        raise RatherError(
            "DATA-SHAPE", where=f"x is of type {type(x).__name__}", do="Give a tensor (b, c, h, w) in [0, 1]"
        )
    if x.ndim != 4 or tuple(x.shape[1:]) != classifier.shape:  # noqa: PLR2004 - b, c, h, w
        raise RatherError(
            "DATA-SHAPE",
            where=f"x of shape {tuple(x.shape)}",
            why=f"{classifier.name} takes (b, {', '.join(map(str, classifier.shape))})",
        )


def _check_found(name: str, found: SearchResult, x: Images) -> None:
    """A search that brings back something else for each row is its author's fault, not the user's."""
    if found.images.shape != x.shape:
        raise TypeError(f"{name}: images {tuple(found.images.shape)} for x {tuple(x.shape)}")
    for key, count in (("steps", found.steps), ("evaluations", found.evaluations)):
        if count.shape != x.shape[:1]:
            raise TypeError(f"{name}: {key} {tuple(count.shape)} for {len(x)} rows")
    for key, per_row in [*found.artifacts.items(), *found.info.items()]:
        if len(per_row) != len(x):
            raise TypeError(f"{name}: {len(per_row)} of {key!r} for {len(x)} rows")


def _check(classifier: Classifier, x: Images, goal: Goal, ids: Sequence[str]) -> None:
    if len(ids) != len(x):
        raise RatherError("CFG-OPTIONS", where=f"{len(ids)} ids", why=f"there are {len(x)} images")
    if goal.target.shape != x.shape[:1]:
        raise RatherError("CFG-CLASS", where=f"targets {tuple(goal.target.shape)}", why=f"there are {len(x)} images")
    bad = ~(x.isfinite() & (x >= 0) & (x <= 1)).flatten(1).all(1)
    if bad.any():
        row = int(bad.nonzero()[0])
        raise RatherError(
            "DATA-NONFINITE",
            where=f"image {row}",
            why=f"values from {float(x[row].min()):.3g} to {float(x[row].max()):.3g}",
            do="Scale to [0, 1]; normalisation belongs inside the classifier",
        )
    wrong = (goal.target < 0) | (goal.target >= len(classifier.classes))
    if wrong.any():
        raise RatherError(
            "CFG-CLASS",
            where=f"target {int(goal.target[wrong][0])}",
            why=f"the classes are 0 to {len(classifier.classes) - 1}",
        )

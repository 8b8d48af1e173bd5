"""The contract that every method keeps, with no exceptions by name: a new file in methods/ is tested here."""

import importlib
import inspect
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor, nn

import rather.methods
from analytic import example, others, pictures, spatial
from rather.config.errors import RatherError
from rather.core import Classifier, Counterfactuals, Goal, Method, Noise
from rather.hub.methods import build_method, list_methods, method_class
from tolerance import assert_same_floats, assert_same_pictures

pytestmark = [pytest.mark.numbers, pytest.mark.parametrize("name", list_methods())]

IDS = ("ann", "bob", "cy", "dee", "eve", "fay")
ALL = range(len(IDS))
TERMS = 36 * 100  # a sum over the pixels at each of some hundred steps


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return spatial()


@pytest.fixture(scope="module")
def x() -> Tensor:
    return pictures(len(IDS))


def ask(name: str, rows: Sequence[int] = ALL, seed: int = 0) -> Counterfactuals:
    """Some rows' answers of a method that has not been called before."""
    classifier, x = spatial(), pictures(len(IDS))[list(rows)]
    return example(name)(classifier, x, others(classifier, x), seed=seed, ids=[IDS[row] for row in rows])


together = cache(ask)


def assert_same(one: Counterfactuals, other: Counterfactuals, rows: Sequence[int]) -> None:
    """`one` holds these rows of `other`, which were asked in another batch.

    No partial derivative of `spatial` is near to zero, so this holds for steps by the gradient's sign, too.
    """
    rows = list(rows)
    assert_same_pictures(one.images, other.images[rows])
    assert torch.equal(one.success, other.success[rows])
    assert torch.equal(one.steps, other.steps[rows])
    assert torch.equal(one.evaluations, other.evaluations[rows])
    for key, values in other.info.items():
        assert_same_floats(list(one.info[key]), [values[row] for row in rows], terms=TERMS)
    for key, values in other.artifacts.items():
        for mine, row in zip(one.artifacts[key], rows, strict=True):
            assert_same_pictures(mine, values[row])


@pytest.mark.shapes
def test_reaches_its_goal(name: str) -> None:
    result = together(name)
    assert result.success.all(), result.failure
    assert torch.equal(result.after.argmax(1), result.goal.target)


def test_a_row_at_its_target_already_comes_back_unchanged_and_changes_no_other(
    name: str, classifier: Classifier, x: Tensor
) -> None:
    target, whole = others(classifier, x), together(name)
    target[1::2] = classifier.probabilities(x).argmax(1)[1::2]
    result = example(name)(classifier, x, target, ids=IDS)
    assert result.status[1::2] == ("already",) * 3
    assert torch.equal(result.images[1::2], x[1::2])
    assert torch.equal(result.after[1::2], result.before[1::2])
    assert not result.success[1::2].any()
    some = ask(name, ALL[::2])
    assert torch.equal(result.images[::2], some.images)
    assert result.status[::2] == some.status == whole.status[::2]


def test_gives_8_bit_pictures(name: str, x: Tensor) -> None:
    images = together(name).images
    assert images.shape == x.shape
    assert images.dtype == x.dtype
    assert ((images >= 0) & (images <= 1)).all()
    assert torch.equal((images * 255).round() / 255, images)


def test_a_row_alone_gives_the_same_as_in_a_batch(name: str) -> None:
    for row in ALL:
        assert_same(ask(name, [row]), together(name), [row])


def test_same_seed_same_result_in_any_order(name: str) -> None:
    again = ask(name)
    assert torch.equal(again.images, together(name).images)  # the same batch: to the bit
    assert_same(again, together(name), ALL)
    mixed = [4, 0, 5, 3, 1, 2]
    assert_same(ask(name, mixed), together(name), mixed)


def test_changes_nothing_outside_of_a_region(name: str, classifier: Classifier, x: Tensor) -> None:
    region = torch.zeros(len(IDS), 6, 6, dtype=torch.bool)
    region[:, :, 2:] = True
    region[2] = False  # of an image that does not show it
    kept = (x * 255).round() / 255
    result = example(name)(classifier, x, others(classifier, x), ids=IDS, region=region)
    assert torch.equal(result.images[:, 0][~region], kept[:, 0][~region])
    assert (result.images[:, 0][region] != kept[:, 0][region]).any()
    assert [why == "NO-REGION" for why in result.failure] == [row == 2 for row in ALL]
    assert result.status[2] == "not_found"
    everywhere = example(name)(classifier, x, others(classifier, x), ids=IDS, region=torch.ones_like(region))
    assert_same(everywhere, together(name), ALL)


@pytest.mark.shapes
def test_answers_no_rows(name: str) -> None:
    result = ask(name, [])
    assert len(result) == 0
    assert result.images.shape == (0, 1, 6, 6)


def test_has_a_picture_and_a_fact_for_each_row(name: str) -> None:
    result = together(name)
    for per_row in result.artifacts.values():
        assert len(per_row) == len(IDS)
        assert all(picture.ndim in (3, 4) and picture.isfinite().all() for picture in per_row)
    for per_row in result.info.values():
        assert len(per_row) == len(IDS)
        json.dumps(list(per_row), allow_nan=False)


def test_leaves_no_trace(name: str) -> None:
    mine, queries = spatial(), pictures(len(IDS))
    assert mine.differentiable  # it remembers that
    method, target, before = example(name), others(mine, queries), traces(mine)
    method(mine, queries, target)
    assert torch.equal(queries, pictures(len(IDS)))
    assert not queries.requires_grad
    after = traces(mine)
    assert [key for key in before if before[key] != after[key]] == []


def traces(net: nn.Module) -> dict[str, object]:
    """Where a search could leave a trace."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    parts = dict(net.named_modules())
    return {
        "numbers": {key: value.tolist() for key, value in net.state_dict().items()},
        "gradients": {key: (p.requires_grad, p.grad is None) for key, p in net.named_parameters()},
        "modes": {key: part.training for key, part in parts.items()},
        "hooks": {key: sum(len(getattr(part, h)) for h in hooks) for key, part in parts.items()},
        "attributes": {key: sorted(vars(part)) for key, part in parts.items()},
        "gradient mode": torch.is_grad_enabled(),
        "torch's stream": torch.get_rng_state().tolist(),
        "numpy's stream": repr(np.random.get_state(legacy=False)),  # noqa: NPY002 - it is what must not change
    }


def test_works_where_gradients_are_off(name: str) -> None:
    with torch.no_grad():
        assert_same(ask(name), together(name), ALL)


def test_counts_what_it_asks(name: str, classifier: Classifier, x: Tensor) -> None:
    counted, method = spatial(), example(name)
    goal = Goal.criticism(others(counted, x))
    method.search(counted, x, goal, Noise(0, IDS))  # what it asks of its references is no row's
    rows = []
    with_count = counted.head.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    found = method.search(counted, x, goal, Noise(0, IDS))
    with_count.remove()
    assert int(found.evaluations.sum()) >= sum(rows)
    assert (found.evaluations >= 0).all()
    assert (found.steps >= 0).all()


class NoGradient(nn.Module):
    """A body that is what it was, but for pictures whose first pixel is white: their gradient is NaN."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) + 0 * (1 - x[:, :1, :1, :1]).sqrt()


class NoValue(NoGradient):
    """The same, but their features are NaN as well."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) + 0 * (1 - x[:, :1, :1, :1]).log()


@pytest.mark.parametrize("broken", [NoGradient, NoValue])
def test_a_broken_row_leaves_its_neighbours_unharmed(name: str, broken: type[nn.Module], x: Tensor) -> None:
    net, queries = spatial(broken), x.clone()
    queries[2, 0, 0, 0] = 1
    target = others(spatial(), queries)
    mixed = example(name)(net, queries, target, ids=IDS)
    well = [0, 1, 3, 4, 5]
    apart = example(name)(net, queries[well], target[well], ids=[IDS[row] for row in well])
    assert_same(apart, mixed, well)
    assert mixed.success[well].all()
    assert mixed.images[2].isfinite().all()
    assert not (mixed.success[2] and mixed.after[2].isnan().any())


def test_is_a_frozen_value_and_final(name: str) -> None:
    method = example(name)
    assert issubclass(type(method), Method)
    *between, _ = type(method).__mro__[1 : type(method).__mro__.index(Method) + 1]
    assert all(map(inspect.isabstract, between))
    assert getattr(type(method), "__final__", False)
    for key in type(method).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(method, key, getattr(method, key))
    assert vars(type(method)).keys() & {"__call__", "__init__"} == set()


def test_keeps_nothing_on_itself(name: str, classifier: Classifier, x: Tensor) -> None:
    method = example(name)
    before = dict(vars(method))
    method(classifier, x, others(classifier, x))
    assert vars(method) == before


def test_refuses_an_unknown_setting(name: str) -> None:
    with pytest.raises(RatherError, match="no-such-setting"):
        method_class(name).of({"no-such-setting": 1, **dict(example(name))})


@pytest.mark.shapes
def test_settings_are_plain_data_and_back(name: str) -> None:
    method = example(name)
    written = json.dumps(method.settings(), allow_nan=False)
    given = {k: v for k, v in method if not isinstance(v, BaseModel | bool | int | float | str | tuple | None)}
    assert build_method(json.loads(written), given) == method


def test_every_setting_says_what_it_is(name: str) -> None:
    for key, field in method_class(name).model_fields.items():
        assert field.description, key
        assert "\n" not in field.description, key


def test_names_its_paper_or_says_that_it_is_a_baseline(name: str) -> None:
    first = list_methods()[name]
    assert re.search(r"\b(19|20)\d\d\b|\bbaseline\b", first), first


def test_is_short(name: str) -> None:
    file = Path(rather.methods.__file__).parent / f"{name}.py"
    assert len(file.read_text("utf-8").splitlines()) < 150
    assert importlib.import_module(f"rather.methods.{name}").__name__ == method_class(name).__module__


def test_is_imported_by_its_class_s_name(name: str) -> None:
    assert getattr(rather, method_class(name).__name__) is method_class(name)

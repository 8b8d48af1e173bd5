"""Classifiers that only answer questions: no gradient is asked, budgets are kept, and a refusal says what works."""

import hashlib
import inspect
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import rather
from analytic import CLASSES, example, others, pictures, spatial
from rather.commands.cli import main
from rather.core import Classifier, Goal, Method, Noise
from rather.hub.methods import list_methods, method_class
from rather.methods.goyal import Goyal
from rather.methods.minimal import Minimal
from rather.methods.sedc import SEDC
from rather.methods.wachter import Wachter
from rather.runs.explain import explain
from rather.runs.request import Request
from rather.search.evolve import evolve
from refusing import refusal

pytestmark = pytest.mark.numbers

X = pictures(6)


class Questions:
    """`spatial` as a function that counts what it is asked, and accepts no gradient."""

    def __init__(self) -> None:
        self.net, self.asked, self.at_once = spatial(), 0, 0

    def __call__(self, x: Tensor) -> Tensor:
        assert not x.requires_grad, "a gradient is asked"
        self.asked, self.at_once = self.asked + len(x), max(self.at_once, len(x))
        return torch.from_numpy(self.net(x).detach().numpy())

    def classifier(self) -> Classifier:
        """Without the looks that it takes to make one."""
        made = Classifier(self, shape=(1, 6, 6), classes=CLASSES, name="black box")
        assert not made.differentiable
        self.asked = self.at_once = 0
        return made


def searched(method: Method, questions: Questions) -> Tensor:
    """How often the search alone asks about each row, by its own account; the classifier's own count agrees."""
    net, target, noise = questions.classifier(), others(questions.net, X), Noise(0, "abcdef")
    if isinstance(method, SEDC):
        method.references.classes(net)  # once for all searches
        questions.asked = questions.at_once = 0
    found = method.search(net, X, Goal.change(target), noise)
    assert int(found.evaluations.sum()) == questions.asked
    assert questions.at_once <= len(X)
    return found.evaluations


@pytest.mark.parametrize("name", list_methods())
def test_says_whether_it_needs_a_gradient(name: str) -> None:
    method, questions = example(name), Questions()
    net = questions.classifier()
    assert method_class(name).gradient in {"needed", "optional", "none"}
    if method.needs_gradient():
        error = refusal(method, net, X, others(questions.net, X))
        assert (error.code, questions.asked) == ("MODEL-GRADIENT", 0)
        assert "sedc" in error.do
    else:
        found = method(net, X, others(questions.net, X))
        assert len(found) == len(X)
        assert questions.asked


def test_what_a_wrapper_needs_is_what_its_method_needs() -> None:
    assert Minimal(method=Wachter()).needs_gradient()
    assert not Minimal(method=example("revise")).needs_gradient()
    assert example("goyal").having("solver", "relaxed").needs_gradient()
    assert Goyal.gradient == "none"


@pytest.mark.parametrize("name", ["revise", "introspection", "steex", "attributes"])
def test_a_code_is_found_by_questions_within_the_budget(name: str) -> None:
    method = example(name).having("queries", 700)
    questions = Questions()
    found = method(questions.classifier(), X, others(questions.net, X))
    assert found.success.all()
    assert found.evaluations.max() <= 700


@pytest.mark.parametrize("queries", [3, 20, 100])
@pytest.mark.parametrize("name", ["introspection", "steex", "revise", "sedc"])
def test_a_budget_is_kept_and_counted(name: str, queries: int) -> None:
    asked = searched(example(name).having("queries", queries), Questions())
    assert asked.max() <= queries


@pytest.mark.parametrize("name", ["revise", "sedc"])
def test_cma_on_request_is_the_same_with_a_gradient_at_hand(name: str) -> None:
    same = {"revise": ("optimizer", "cma"), "sedc": ("distractor", "nearest-pixels")}
    method = example(name).having(*same[name])
    questions = Questions()
    one = method(questions.classifier(), X, others(questions.net, X), ids="abcdef")
    other = method(spatial(), X, others(questions.net, X), ids="abcdef")
    assert torch.equal(one.images, other.images)


def test_adam_on_request_is_refused_without_a_gradient() -> None:
    assert refusal(example("revise").having("optimizer", "adam"), Questions().classifier(), X, 0).code == (
        "MODEL-GRADIENT"
    )


@pytest.mark.parametrize("size", [3, 60])
def test_evolution_finds_a_minimum_that_is_known(size: int) -> None:
    """Of a long valley, from afar; 3 numbers have a whole covariance, 60 a diagonal one."""
    start, noise = torch.ones(2, size), Noise(0, "ab")
    scale = torch.logspace(0, 1, size)

    def objective(z: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        return (scale * (z - 0.5)).square().sum(1), torch.zeros_like(rows, dtype=torch.bool)

    found = evolve(objective, start, noise=noise, queries=6_000, spread=0.3)
    assert (found.loss < 1e-3).all()
    assert (found.end - 0.5).abs().max() < 0.032  # the loss is at least the square of each difference
    assert found.evaluations.max() <= 6_000


def test_evolution_keeps_the_nearest_point_that_was_done() -> None:
    start = torch.zeros(1, 2)
    done_at: list[Tensor] = []

    def objective(z: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        done = z[:, 0] > 1
        done_at.extend(z[done])
        return -z[:, 0], done

    found = evolve(objective, start, noise=Noise(0, "a"), queries=500, spread=0.2, patience=10)
    distances = torch.stack(done_at).abs().mean(1)
    assert torch.equal(found.end[0], done_at[int(distances.argmin())])


def test_a_value_that_is_no_number_is_the_worst() -> None:
    def objective(z: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        loss = z.square().sum(1)
        return torch.where(z[:, 0] > 0.5, torch.nan, loss), torch.zeros_like(rows, dtype=torch.bool)

    found = evolve(objective, torch.full((1, 2), 0.4), noise=Noise(0, "a"), queries=400, spread=0.3)
    assert found.loss < 1e-3


def test_sedc_replaces_no_region_in_vain() -> None:
    """With each of the regions back in its place the class is another, and all of them change it."""
    net, target = spatial(), others(spatial(), X)
    method = example("sedc").having("grid", 3)
    found = method(net, X, target)
    fill = torch.stack([*found.artifacts["distractor"]])
    assert found.success.all()
    cells = torch.eye(9).view(9, 1, 3, 3)
    weights = torch.nn.functional.interpolate(cells, size=(6, 6), mode="bilinear")
    for row, regions in enumerate(found.info["regions"]):
        chosen = [3 * i + j for i, j in regions]
        for kept in [chosen, *([other for other in chosen if other != one] for one in chosen)]:
            image = torch.lerp(X[row], fill[row], weights[kept].sum(0).clamp(max=1))
            said = int(net.probabilities(((image * 255).round() / 255)[None]).argmax())
            assert (said == target[row]) == (kept == chosen)


@pytest.mark.parametrize("fill", [None, "blur", "mean"])
def test_sedc_removes_without_references(fill: str | None) -> None:
    found = SEDC(fill=fill, grid=3)(spatial(), X, others(spatial(), X))
    assert "distractor" not in found.artifacts
    assert found.evaluations.max() <= 9 * 10 / 2 + 9


def test_sedc_says_that_it_needs_references() -> None:
    assert refusal(SEDC, fill="reference").code == "CFG-SETTING"


def test_a_gradient_is_looked_for_once() -> None:
    net = spatial()
    assert net.differentiable
    detached = Classifier(torch.nn.Sequential(net, _Detached()), shape=(1, 6, 6))
    assert not detached.differentiable
    assert inspect.getattr_static(type(net), "differentiable").attrname in vars(net)


class _Detached(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


@pytest.fixture
def box(tmp_path: Path) -> tuple[str, str]:
    """A file with a classifier of digits that only answers, and the consent to run it."""
    file = tmp_path / "box.py"
    file.write_text(
        "import rather, torch\n"
        "net = rather.load_classifier('digits')\n"
        "def ask(x):\n"
        "    return torch.from_numpy(net(torch.from_numpy(x.numpy())).numpy())\n"
        "def make():\n"
        "    return rather.Classifier(ask, shape=net.shape, classes=net.classes, name='box')\n"
    )
    return f"{file}:make", "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_method_is_chosen_and_said(box: tuple[str, str], tmp_path: Path) -> None:
    asked = Request(classifier=box[0], trust=(box[1],), count=3, out=tmp_path / "run")
    explained = explain(asked)
    (run,) = explained.runs.values()
    assert run.config["method"]["name"] == "sedc"
    assert explained.counts["found"] == 3
    assert any("sedc" in note for note in explained.notes)


def test_a_refusal_comes_before_the_first_row(box: tuple[str, str], tmp_path: Path) -> None:
    asked = Request(classifier=box[0], trust=(box[1],), count=3, out=tmp_path / "run")
    for method in ("wachter", "revise,attack"):
        error = refusal(explain, replace(asked, method=method))
        assert error.code == "MODEL-GRADIENT"
        assert "sedc" in error.do
        assert not (tmp_path / "run").exists()


def test_an_audit_needs_no_gradient(
    box: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["audit", "--data", "digits", "--classifier", box[0], "--trust", box[1], "--count", "4", "--json"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == told["found"] == 4
    assert told["places"]


def test_in_memory_the_method_is_chosen_too() -> None:
    questions = Questions()
    found = rather.explain(questions.classifier(), pictures(12), target="runner-up")
    assert "regions" in found.info

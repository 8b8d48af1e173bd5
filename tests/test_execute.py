"""Working a run off: every image has an outcome, and no image can harm another's."""

import dataclasses
import sys
import time
from contextlib import nullcontext, suppress
from types import SimpleNamespace
from typing import final

import pytest
import torch
from torch import nn

import rather.runs.runner
from rather.config.errors import RatherError, Stopped
from rather.core import Classifier, Method, SearchResult
from rather.data.source import InMemory
from rather.generators.autoencoder import Autoencoder
from rather.io.png import unpng
from rather.methods.wachter import Wachter
from rather.runs.runner import Job, answer, execute, run_config, with_same_goals
from rather.runs.store import Run
from tolerance import assert_same_floats

pytestmark = pytest.mark.numbers


def classifier():
    """Says b where the mean is above a half."""
    head = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    head[1].weight.data = torch.stack([-torch.ones(16), torch.ones(16)])
    head[1].bias.data = torch.tensor([8.0, -8.0])
    return Classifier(nn.Identity(), head, classes="ab", shape=(1, 4, 4))


def source(count=5):
    images = torch.linspace(0, 0.4, count)[:, None, None, None].expand(-1, 1, 4, 4).clone()
    return InMemory("greys", ("a", "b"), images, [0] * count, [f"grey-{n}" for n in range(count)])


def work(method=None, **changes):
    told = {
        "source": source(),
        "indices": range(5),
        "classifier": classifier(),
        "method": method or Wachter(),
        "references": None,
        "target": "b",
        "confidence": 0.0,
        "seed": 0,
    }
    return Job(**told | changes)


def without_time(rows):
    return [dataclasses.replace(row, seconds=0.0, memory=None) for row in rows]


def assert_same(rows, others):
    """Rows answered in other batches. Each of some fifty steps adds up 16 pixels, there and back."""
    for row, other in zip(without_time(rows), without_time(others), strict=True):
        assert_same_floats(dataclasses.asdict(row), dataclasses.asdict(other), terms=50 * 2 * 16)


@final
class Picky(Method):
    """White pictures; refuses to look at one brightness."""

    refuses: float = 0.2

    def search(self, classifier, x, goal, noise):
        if (x[:, 0, 0, 0] - self.refuses).abs().min() < 1e-3:
            raise RatherError("DATA-NO-REFERENCE", where="this one")
        ones = torch.ones(len(x), dtype=torch.long)
        return SearchResult(images=torch.ones_like(x), steps=ones, evaluations=ones)


@final
class Leaving(Method):
    """White pictures, and NaN where the query is black."""

    def search(self, classifier, x, goal, noise):
        ones = torch.ones(len(x), dtype=torch.long)
        black = (x == 0).flatten(1).all(1)[:, None, None, None]
        return SearchResult(images=torch.where(black, torch.nan, 1.0).expand_as(x), steps=ones, evaluations=ones)


def test_one_row_that_is_refused_fails_alone():
    rows = answer(work(Picky()), range(5))
    assert [row.status for row in rows] == ["found", "found", "failed", "found", "found"]
    assert rows[2].code == "DATA-NO-REFERENCE"
    assert rows[2].query is not None


@final
class Hungry(Method):
    """White pictures, of so many at once at most."""

    most: int = 2

    def search(self, classifier, x, goal, noise):
        if len(x) > self.most:
            torch.empty(2**50)  # torch's own words for it
        ones = torch.ones(len(x), dtype=torch.long)
        return SearchResult(images=torch.ones_like(x), steps=ones, evaluations=ones)


def test_what_does_not_fit_in_memory_is_halved_until_it_does(caplog):
    rows = answer(work(Hungry(most=2)), range(5))
    assert [row.status for row in rows] == ["found"] * 5
    assert [record.getMessage() for record in caplog.records] == [
        "5 images at once do not fit in memory: 2 at once, then"
    ]
    assert {row.code for row in answer(work(Hungry(most=0)), range(2))} == {"RUN-MEMORY"}


def test_other_errors_of_a_method_are_not_taken_for_a_lack_of_memory(monkeypatch):
    def fails(*_):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(Hungry, "search", fails)
    (row, _) = answer(work(Hungry()), range(2))
    assert (row.status, row.code) == ("failed", "RUN-FAULT")
    assert row.message == "the search fails on an image: greys, grey-0 (RuntimeError: shapes do not fit)."


def raises(x):
    raise ValueError("no face in this one")


def leaves(x):
    sys.exit(3)


def hangs(x):
    while True:
        time.sleep(0.01)


def swallows(x):
    """Hangs, and catches what is to end it as well as it can."""
    while True:
        with suppress(Exception):
            hangs(x)


def starves(x):
    torch.empty(2**50)  # torch's own words for it


class Backward(torch.autograd.Function):
    """Fails, or gives NaN, only where a gradient is taken."""

    @staticmethod
    def forward(ctx, x, gives):
        ctx.gives = gives
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        if ctx.gives is None:
            raise ValueError("no way back")
        return torch.where(gradient == 0, 0, gradient * ctx.gives), None  # of the other images it is 0


#: What a net does with one image, and what its row says. It still answers for the others.
FAULTS = {
    "raises": (raises, "MODEL-FAILS", "greys, grey-2 (ValueError: no face in this one)"),
    "ends the program": (leaves, "MODEL-FAILS", "exit 3"),
    "gives None": (lambda x: None, "MODEL-OUTPUT-TYPE", "NoneType"),
    "gives a word": (lambda x: "cat", "MODEL-OUTPUT-TYPE", "str"),
    "gives no row": (lambda x: x.flatten(1)[1:, :2], "MODEL-OUTPUT-SHAPE", "(0, 2)"),
    "gives a map": (lambda x: x, "MODEL-OUTPUT-SHAPE", "(1, 1, 4, 4)"),
    "gives another class": (lambda x: x.flatten(1)[:, :3], "MODEL-CLASSES", "3 outputs"),
    "gives NaN": (lambda x: x.flatten(1)[:, :2] * torch.nan, "MODEL-NONFINITE", "grey-2"),
    "is out of memory": (starves, "RUN-MEMORY", "too small for a single image"),
    "hangs": (hangs, "RUN-TIMEOUT", "--timeout"),
    "hangs on": (swallows, "RUN-TIMEOUT", "--timeout"),
    "fails on the way back": (lambda x: Backward.apply(x.flatten(1)[:, :2], None), "RUN-FAULT", "no way back"),
    "has a gradient of NaN": (lambda x: Backward.apply(x.flatten(1)[:, :2], torch.nan), "GRADIENT-NONFINITE", "NaN"),
}


class OneFault(nn.Module):
    """The net of `classifier`, but for images that are not even."""

    def __init__(self, fault):
        super().__init__()
        self.net, self.fault = classifier().head, fault

    def forward(self, x):
        guilty = x.flatten(1).std(1) > 0.01
        if not guilty.any():
            return self.net(x)
        wrong = self.fault(x)
        well = isinstance(wrong, torch.Tensor) and wrong.shape == (len(x), 2)
        return torch.where(guilty[:, None], wrong, self.net(x)) if well else wrong


def at_fault(fault):
    """Work on five images, of which the net fails on the third, which is uneven."""
    images = source().images.clone()
    images[2, :, 0, 1] = 0  # whose first two pixels as logits say a
    net = Classifier(nn.Identity(), OneFault(fault), classes="ab", shape=(1, 4, 4))
    greys = dataclasses.replace(source(), images=images)
    return work(Wachter(lr=0.05), classifier=net, source=greys, indices=range(5), timeout=0.3)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_net_costs_one_row(name):
    fault, code, words = FAULTS[name]
    rows = answer(at_fault(fault), [1, 2, 3])
    assert (rows[1].status, rows[1].code) == ("not_found" if code == "GRADIENT-NONFINITE" else "failed", code)
    assert words in rows[1].message
    assert_same([rows[0], rows[2]], answer(work(Wachter(lr=0.05)), [1, 3]))


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_net_does_not_stop_the_choice_of_goals(name):
    fault, code, _ = FAULTS[name]
    _, second = with_same_goals([at_fault(fault), work(Wachter(lr=0.05))])
    assert [row.status for row in answer(second, [1, 3])] == ["found"] * 2
    assert second.goals is not None
    assert (second.source.id(2) in second.goals) == (code in {"RUN-FAULT", "GRADIENT-NONFINITE"})


def test_the_end_that_a_signal_asks_for_is_no_fault_of_the_net():
    def stopped(x):
        raise Stopped(143)

    with pytest.raises(Stopped):
        answer(at_fault(stopped), range(5))


def test_one_row_that_leaves_the_finite_numbers_fails_alone():
    rows = answer(work(Leaving()), range(5))
    assert [row.status for row in rows] == ["failed"] + ["found"] * 4
    assert rows[0].code == "NONFINITE"


def test_one_picture_that_cannot_be_read_fails_alone(monkeypatch):
    read = InMemory.read

    def sometimes(self, index):
        if index == 1:
            raise RatherError("IMG-TRUNCATED", where="here")
        return read(self, index)

    whole = answer(work(), range(5))
    monkeypatch.setattr(InMemory, "read", sometimes)
    rows = answer(work(), range(5))
    assert rows[1].code == "IMG-TRUNCATED"
    well = [0, 2, 3, 4]
    assert_same([rows[n] for n in well], [whole[n] for n in well])


def test_a_row_does_not_know_its_chunk():
    together = answer(work(), range(5))
    assert_same([answer(work(), [n])[0] for n in range(5)], together)


def test_seconds_are_those_of_the_method_alone(monkeypatch):
    clock = [0.0]

    def slow(function, seconds):
        def slowed(*args, **more):
            clock[0] += seconds
            return function(*args, **more)

        return slowed

    monkeypatch.setattr(rather.runs.runner, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(InMemory, "read", slow(InMemory.read, 100))
    monkeypatch.setattr(Picky, "search", slow(Picky.search, 6))
    for name in ("png", "unpng", "diagnose"):
        monkeypatch.setattr(rather.runs.runner, name, slow(getattr(rather.runs.runner, name), 1000))
    images = source().images.clone()
    images[3] = 1.0  # is there already
    told = work(Picky(refuses=9), source=dataclasses.replace(source(), images=images))
    assert [row.seconds for row in answer(told, range(5))] == [1.5, 1.5, 1.5, 0, 1.5]
    together = answer(work(Picky()), range(5))  # refused together, and then asked in halves
    assert [row.seconds for row in together] == [3, 3, 0, 6, 6]


def test_a_row_that_was_searched_says_what_its_call_took(monkeypatch):
    monkeypatch.setattr(rather.runs.runner, "peak", lambda _: nullcontext(lambda: 5_000_000))
    images = source().images.clone()
    images[3] = 1.0  # is there already
    told = work(source=dataclasses.replace(source(), images=images))
    assert [row.memory for row in answer(told, range(5))] == [5_000_000] * 3 + [None, 5_000_000]


def test_a_row_at_its_target_is_named_so():
    rows = answer(work(target="a"), range(5))
    assert {(row.status, row.code) for row in rows} == {("already", "ALREADY-TARGET")}


def test_success_is_what_the_classifier_says_of_the_stored_png():
    rows = answer(work(), range(5))
    for row in rows:
        said = classifier()(unpng(row.image)[None]).softmax(1)[0]
        assert (row.status == "found") == bool(said[1] > said[0])
        assert row.after == pytest.approx(said.tolist(), abs=1e-6)


def test_what_is_asked_tells_everything_that_changes_a_result():
    base = run_config(work(), "greys")
    for changes in ({"method": Wachter(steps=3)}, {"target": "next"}, {"confidence": 0.7}, {"seed": 1}):
        assert run_config(work(**changes), "greys") != base
    other = classifier()
    with torch.no_grad():
        other.head[1].bias += 1e-3
    assert run_config(work(classifier=other), "greys") != base
    assert run_config(work(), "greys") == base


def test_a_run_is_worked_off_chunk_by_chunk(tmp_path):
    asked = [source().id(n) for n in range(5)]
    run = Run.start(tmp_path, {}, asked, 2)
    assert list(execute(run, work())) == [2, 2, 1]
    assert list(execute(run, work())) == []
    assert [row.id for row in run.rows()] == asked
    assert sum(run.counts().values()) == 5


def test_a_method_that_needs_a_gradient_is_refused_where_there_is_none():
    class Deaf(nn.Module):
        def forward(self, x):
            return torch.tensor([[1.0, 0.0]]).expand(len(x), 2)

    deaf = Classifier(nn.Identity(), Deaf(), classes="ab", shape=(1, 4, 4))
    with pytest.raises(RatherError, match="gradient") as refused:
        answer(work(classifier=deaf), range(5))
    assert refused.value.exit_code == 4


@final
class Whitening(Method):
    """Goes straight to white; keeps its way."""

    generator: Autoencoder | None = None

    def search(self, classifier, x, goal, noise):
        ones = torch.ones(len(x), dtype=torch.long)
        path = torch.stack([x, (x + 1) / 2, torch.ones_like(x)], 1)
        return SearchResult(
            images=torch.ones_like(x),
            steps=ones,
            evaluations=ones,
            artifacts={"path": [*path]},
            info={"n": [1] * len(x)},
        )


def plane(encoder=None):
    """An autoencoder of two numbers: the brightness of the left half, and of the right."""
    halves = torch.tensor([[1.0, 1, 0, 0] * 4, [0, 0, 1.0, 1] * 4])
    flat, back = nn.Linear(16, 2, bias=False), nn.Linear(2, 16, bias=False)
    flat.weight.data, back.weight.data = halves / 8, halves.T.clone()
    return Autoencoder(
        encoder or nn.Sequential(nn.Flatten(), flat),
        nn.Sequential(back, nn.Unflatten(1, (1, 4, 4))),
        shape=(1, 4, 4),
        size=2,
    )


def test_the_diagnostics_of_a_search_are_in_its_row_and_survive_the_store(tmp_path):
    run = Run.start(tmp_path, {}, [source().id(n) for n in range(5)], 5)
    list(execute(run, work(Whitening(generator=plane()))))
    for n, row in enumerate(run.rows()):
        curves, grey = row.info["curves"], source().images[n, 0, 0, 0]
        levels = torch.stack([grey, (grey + 1) / 2, torch.ones(())])
        said = (32 * (255 * levels).round() / 255 - 16).sigmoid()
        assert curves["search path"]["probability"]["together"] == pytest.approx(said.tolist(), abs=1e-4)
        lines = curves["interpolation"]  # the images are even, so that nothing is lost in the latents
        assert lines["image space"]["together"] == pytest.approx(lines["latent space"]["together"], abs=2e-4)
        assert len(lines["image space"]["together"]) == 11
        (drawn,) = row.artifacts["trajectory"]
        assert unpng(drawn).shape[0] == 3


def test_a_diagnostic_that_fails_leaves_the_answer_as_it_is():
    class Tired(nn.Module):
        def forward(self, x):
            raise RuntimeError("tired")

    def told(row):
        info = {key: value for key, value in row.info.items() if key != "curves"}
        pictures = {key: value for key, value in row.artifacts.items() if key != "trajectory"}
        return dataclasses.replace(row, info=info, artifacts=pictures, seconds=0.0, memory=None)

    rows = answer(work(Whitening(generator=plane(Tired()))), range(5))
    assert {row.status for row in rows} == {"found"}
    assert all(row.info["curves"]["interpolation"] == "RuntimeError: tired" for row in rows)
    assert [told(row) for row in rows] == [told(row) for row in answer(work(Whitening()), range(5))]

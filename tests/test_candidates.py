"""Candidates of a search: the nearest that succeeds is found, with few looks."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from rather.core import Classifier, Goal
from rather.diffusion.candidates import Candidates


class Able(Classifier):
    """Says the second class of pictures whose brightness is one of these, in steps of 100 in 8 bits."""

    def __init__(self, able: set[float]) -> None:
        super().__init__(nn.Identity(), nn.Identity(), classes=("no", "yes"), shape=(1, 1, 1))
        self.able = able

    def forward(self, x: Tensor) -> Tensor:
        yes = torch.tensor([round(v * 2.55, 6) in self.able for v in x.flatten().double().tolist()]).float()
        return torch.stack([1 - yes, yes], 1)


def search(points: list[list[float]], able: set[float]) -> tuple[Candidates, Tensor, list[list[bool]]]:
    """Rows whose points come one after another; those of a value that is `able` succeed."""
    rows = torch.arange(len(points[0]))
    goal = Goal.criticism(torch.ones_like(rows))
    seen = Candidates(Able(able), goal, lambda z, _, __: (z / 2.55, z * 0))
    kept = []
    for values in points:
        z = torch.tensor(values, dtype=torch.float32)[:, None, None, None]
        kept.append(seen.keep(z, rows, z[:, 0, 0, 0] > 0, z[:, 0, 0, 0]).tolist())
    best, (images, _) = seen.nearest(otherwise=-torch.ones(len(rows), 1, 1, 1))
    assert torch.equal(images, best / 2.55)
    return seen, best[:, 0, 0, 0], kept


def test_a_row_is_a_candidate_from_its_first_success_on_and_the_nearest_one_is_taken() -> None:
    seen, best, kept = search([[8, 8], [4, 4], [2, 2], [0, 1]], able={4, 2})
    assert best.tolist() == [2, 2]
    assert kept == [[False, False], [True, True], [True, True], [False, True]]
    assert seen.tries.tolist() == [3, 4]  # 8, 4, and 2; of the other row 1 as well, which fails
    assert seen.success.tolist() == [True, True]


def test_a_row_without_a_success_keeps_what_is_given_and_was_looked_at_each_time() -> None:
    seen, best, kept = search([[3.0], [2.0]], able=set())
    assert best.tolist() == [-1]
    assert seen.tries.tolist() == [2]
    assert kept == [[False], [False]]


def test_one_hardly_farther_than_one_that_failed_is_not_looked_at() -> None:
    seen, best, _ = search([[3.0], [1.01], [1.0]], able={3.0, 1.01})
    assert best.tolist() == [3]
    assert seen.tries.tolist() == [3]  # 3 at once; then 1, which fails, and 3 again


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.sets(st.integers(1, 9)))
def test_it_is_the_nearest_of_those_since_the_first_success(points: list[int], able: set[int]) -> None:
    _, best, _ = search([[float(point)] for point in points], able={float(a) for a in able})
    since = next((n for n, point in enumerate(points) if point in able), len(points))
    assert best.item() == min((p for p in points[since:] if p in able), default=-1)


@given(st.integers(0, 8))
def test_the_smallest_mask_is_that_of_the_largest_threshold_that_succeeds(last: int) -> None:
    """An answer by a threshold of at most last / 8 keeps its brightness, by a larger one it has none."""

    def answer(z: Tensor, rows: Tensor, thresholds: Tensor | None) -> tuple[Tensor, Tensor]:
        assert rows.tolist() == [0]
        assert thresholds is not None
        kept = thresholds[:, None, None, None]
        return z / 2.55 * (kept <= last / 8), kept

    able, fails = torch.tensor([2.0, 3.0])[:, None, None, None].split(1)
    z = torch.cat([able, fails])
    seen = Candidates(Able({2}), Goal.criticism(torch.ones(2, dtype=torch.long)), answer)
    (images, masks), thresholds = seen.smallest(z, (z / 2.55, 0 * z), 0.0, mask_search_steps=3)
    assert thresholds.tolist() == masks.flatten().tolist() == [last / 8, 0]
    assert torch.equal(images, z / 2.55)
    assert seen.tries.tolist() == [1 if last == 8 else 4, 0]

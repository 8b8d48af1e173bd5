"""Edited cells: how many, on key points or not, inside the object or not, the same again or not."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rather.feature_cells.key_points import cells_of_object, cells_of_points, sides_merged
from rather.metrics import cell_agreement, edits, inside_object, near_key_point, same_key_point

PARTS = ("beak", "left eye", "right eye", "tail")


@pytest.mark.shapes
@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 6), st.integers(1, 9))
def test_shares_of_cells_agree_with_loops_over_edits(seed, rows, parts, cells):
    draw = np.random.default_rng(seed)
    query, other = draw.random((2, rows, parts, cells)) < 0.2
    inside, outside = draw.random((2, rows, cells)) < 0.5
    pairs_of = [draw.integers(cells, size=(draw.integers(0, 4), 2)).tolist() for _ in range(rows)]
    near, same, within = [], [], []
    shown = [bool(one.any() and two.any()) for one, two in zip(query, other, strict=True)]
    objects = [bool(one.any() and two.any()) for one, two in zip(inside, outside, strict=True)]
    for row, pairs in enumerate(pairs_of):
        near.append(np.mean([0.5 * any(query[row, :, i]) + 0.5 * any(other[row, :, j]) for i, j in pairs] or [np.nan]))
        shared = [any(query[row, p, i] and other[row, p, j] for p in range(parts)) for i, j in pairs]
        same.append(np.mean(shared or [np.nan]))
        within.append(np.mean([0.5 * inside[row, i] + 0.5 * outside[row, j] for i, j in pairs] or [np.nan]))
    query, other, inside, outside = map(torch.tensor, (query, other, inside, outside))
    for found, expected in (
        (near_key_point(pairs_of, (query, other)), np.where(shown, near, np.nan)),
        (same_key_point(pairs_of, (query, other)), np.where(shown, same, np.nan)),
        (inside_object(pairs_of, (inside, outside)), np.where(objects, within, np.nan)),
    ):
        assert found.dtype == torch.float64
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_no_rows_have_no_shares():
    none = torch.zeros(0, 2, 4, dtype=torch.bool)
    assert near_key_point([], (none, none)).shape == (0,)


@pytest.mark.shapes
def test_agreement_counts_pairs_of_runs_and_none_with_itself():
    cells = [[3, 3, 3, 3], [3, 3, 1, 1], [0, 1, 2, 3]]
    seeds = [[[[cell, 9], [cell + 1, 9]] for cell in row] for row in cells]
    torch.testing.assert_close(cell_agreement(seeds), torch.tensor([1, 2 / 6, 0]).double())
    assert cell_agreement([row[:1] for row in seeds]).isnan().all()
    assert cell_agreement([[*row, []] for row in seeds]).isnan().all()  # a seed that exchanges nothing


def test_a_method_that_reports_no_edits_has_none():
    assert edits({"edits": torch.tensor([2.0, torch.nan])})[0] == 2


@pytest.mark.shapes
def test_key_points_lie_in_cells_row_by_row_and_hidden_ones_in_none():
    nan = torch.nan
    points = torch.tensor([[[0.0, 0.0, 1], [1.0, 1.0, 1], [0.7, 0.4, 1], [nan, nan, 0]]])
    found = cells_of_points(points, (2, 3))  # two rows of three columns
    assert found.nonzero().tolist() == [[0, 0, 0], [0, 1, 5], [0, 2, 2]]


def test_parts_of_both_sides_are_one():
    points = torch.tensor([[[0.1, 0.1, 1], [0.1, 0.9, 1], [0.9, 0.9, 1], [0.9, 0.1, 1]]])
    found = sides_merged(cells_of_points(points, (2, 2)), PARTS)
    assert found[0].tolist() == [[True, False, False, False], [False, False, True, True], [False, True, False, False]]


@pytest.mark.shapes
def test_a_cell_shows_an_object_that_fills_enough_of_it():
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, :2, :2] = True  # all of the first cell
    mask[0, 0, 2:] = True  # half of the second
    mask[0, 3, 0] = True  # a fourth of the third
    assert cells_of_object(mask, (2, 2)).tolist() == [[True, True, False, False]]
    assert cells_of_object(mask, (2, 2), 0.2).tolist() == [[True, True, True, False]]

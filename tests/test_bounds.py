"""The upper line of a ReLU network, against points of the box."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rather.feature_cells.bounds import upper_line

pytestmark = pytest.mark.shapes


def network(seed, sizes):
    torch.manual_seed(seed)
    layers = [nn.Linear(a, b, dtype=torch.float64) for a, b in pairwise(sizes)]
    for layer in layers:
        layer.requires_grad_(requires_grad=False)
    return layers


def answer(layers, h):
    for layer in layers:
        h = layer(h.relu())
    return h


@pytest.mark.parametrize("sizes", [(5,), (5, 3), (5, 6, 3), (4, 6, 5, 3)])
@given(seed=st.integers(0, 10**6), width=st.floats(0, 3))
@settings(max_examples=8, deadline=None)
def test_no_point_of_the_box_lies_above_it(sizes, seed, width):
    layers = network(seed, sizes)
    centre = torch.randn(4, sizes[0], dtype=torch.float64)
    spread = width * torch.rand_like(centre)
    weight = torch.randn(4, sizes[-1], dtype=torch.float64)
    slope, constant = upper_line(layers, centre - spread, centre + spread, weight)
    for _ in range(50):
        corner = torch.randint(-1, 2, centre.shape) * torch.rand(()).sign()
        h = centre + spread * torch.where(torch.rand(centre.shape) < 0.5, corner, 2 * torch.rand(centre.shape) - 1)
        value = (weight * answer(layers, h)).sum(1)
        assert (value <= (slope * h).sum(1) + constant + 1e-9).all()


@given(st.integers(0, 10**6))
@settings(max_examples=8, deadline=None)
def test_it_is_the_function_where_no_unit_changes_its_sign(seed):
    layers = network(seed, (5, 3))
    centre = torch.randn(4, 5, dtype=torch.float64)
    spread = 0.9 * centre.abs()
    weight = torch.randn(4, 3, dtype=torch.float64)
    slope, constant = upper_line(layers, centre - spread, centre + spread, weight)
    h = centre + spread * (2 * torch.rand_like(centre) - 1)
    torch.testing.assert_close((slope * h).sum(1) + constant, (weight * answer(layers, h)).sum(1))


def test_one_unit_by_hand():
    # relu(h) on [-1, 3] lies below its chord (3 h + 3) / 4, and -relu(h) below -h.
    layer = network(0, (1, 1))[0]
    layer.weight.fill_(1.0)
    layer.bias.fill_(0.0)
    low, high = torch.tensor([[-1.0]]).double(), torch.tensor([[3.0]]).double()
    slope, constant = upper_line([layer], low, high, torch.ones(1, 1).double())
    assert (slope.item(), constant.item()) == (0.75, 0.75)
    slope, constant = upper_line([layer], low, high, -torch.ones(1, 1).double())
    assert (slope.item(), constant.item()) == (-1, 0)

"""The generator of layouts and styles: what a style reaches, what a code is, what is computed once."""

import pytest
import torch

from rather.generators._styled import StyledGenerator, StyleEncoder, extent, waves
from rather.generators.semantic import SemanticRecipe, one_hot

pytestmark = pytest.mark.shapes
SHAPE, REGIONS, SIZE = (3, 32, 32), 3, 5
INK = slice(12, 20)  # rows and columns of the third region, inside the second


def layouts(count=2):
    """A frame, a square in it, and a square in that."""
    labels = torch.zeros(count, 32, 32, dtype=torch.long)
    labels[:, 6:26, 6:26] = 1
    labels[:, INK, INK] = 2
    labels[:, INK, 14] = 1  # so that there is something to move within a cell
    return one_hot(labels, REGIONS)


def made(loose=(False, False, False)):
    torch.manual_seed(0)
    return listening(StyledGenerator(SHAPE, 4, loose, SIZE).eval())


def listening(net):
    """As after a training: at first no style says anything."""
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return net


def test_a_style_reaches_a_pixel_beyond_its_region_and_no_further():
    net, layout = made(), layouts()
    codes = torch.rand(2, REGIONS, SIZE)
    other = codes.clone()
    other[:, 0] += 1
    changed = (net(other, layout) != net(codes, layout)).any(1)
    assert changed[:, :6].all()
    assert changed[:, 6, 6:26].all()  # the pixel beyond
    assert not changed[:, 7:25, 7:25].any()


def test_loose_regions_are_told_apart_in_coarse_cells_only():
    there, strict, loose = layouts(), made(), made((False, True, True))
    told = loose._rough(there)
    torch.testing.assert_close(told.sum(1), torch.ones(2, 32, 32))
    assert torch.equal(told[:, 0], there[:, 0])  # the outline of both is told to the pixel
    assert torch.equal(strict._rough(there), there)
    moved = there.clone()  # by a pixel, in cells of four: of which as many as before
    moved[:, 1:, INK, 12:16] = there[:, 1:, INK, 12:16].roll(1, 3)
    assert torch.equal(loose._rough(moved), told)
    assert not torch.equal(strict._rough(moved), there)


def test_far_in_codes_is_far_in_pixels():
    layout = layouts()
    areas = layout.flatten(2).sum(2)
    torch.testing.assert_close(extent(layout)[..., 0] ** 2, areas * REGIONS / areas.sum(1, keepdim=True))
    codes = StyleEncoder(3, 4, SIZE).eval()(torch.rand(2, *SHAPE), layout)
    assert (codes.abs() <= extent(layout)).all()  # styles are in [-1, 1]


def test_a_region_that_an_image_has_not_has_no_code_and_does_no_harm():
    layout = layouts()
    layout[:, 1] += layout[:, 2]
    layout[:, 2] = 0
    codes = StyleEncoder(3, 4, SIZE).eval()(torch.rand(2, *SHAPE), layout)
    assert not codes[:, 2].any()
    assert made()(codes, layout).isfinite().all()


def test_waves_are_orthogonal():
    each = waves(torch.zeros(1, 1, 12, 20)).flatten(1).double()
    products = each @ each.T
    torch.testing.assert_close(products, products.diagonal().diag(), atol=1e-4, rtol=0)


def test_what_is_computed_of_the_layout_once_gives_the_same_images():
    regions = tuple("abc")
    torch.manual_seed(0)
    net = SemanticRecipe(regions=regions, style=SIZE, width=4, loose=regions[1:]).build((3, 32, 32)).product("tiny")
    listening(net)
    x = torch.rand(3, 3, 32, 32)
    layout = net.segment(x)
    codes, rows = net.encode(x, layout), torch.tensor([2, 0])
    assert not torch.allclose(net.decode(codes, layout), net.decode(codes + 1, layout), atol=1e-3)
    torch.testing.assert_close(net.decoder(layout)(codes[rows], rows), net.decode(codes, layout)[rows])
    net.generator = _NoPlanner(net.generator)
    torch.testing.assert_close(net.decoder(layout)(codes[rows], rows), net.decode(codes, layout)[rows])


class _NoPlanner(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, codes, layout):
        return self.net(codes, layout)

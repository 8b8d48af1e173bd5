"""Pictures: the 8-bit grid is kept exactly, and what is drawn says what changed."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from rather.config.errors import RatherError
from rather.core import Classifier, Counterfactuals
from rather.io.png import png, png_size, strip, thumbnail, unpng, write_png
from rather.methods.wachter import Wachter
from rather.plots import BRIGHTER, DARKER, RECOLOURED, difference_scale, figure_png, highlight, sheet, signed_difference

pytestmark = pytest.mark.shapes

sizes = st.tuples(st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 9))
on_grid = sizes.flatmap(lambda shape: arrays(np.uint8, shape))
pictures = sizes.flatmap(lambda shape: arrays(np.float32, shape, elements=st.floats(0, 1, width=32)))


@given(on_grid)
def test_an_image_on_the_grid_comes_back_exactly(pixels):
    image = torch.from_numpy(pixels).float() / 255
    assert torch.equal(unpng(png(image)), image)
    assert png_size(png(image)) == tuple(image.shape[1:])


@given(pictures)
def test_any_image_is_rounded_to_the_nearest_level(pixels):
    image = torch.from_numpy(pixels)
    assert torch.equal(unpng(png(image)), (image * 255).round() / 255)
    assert torch.equal(unpng(png(image * 3 - 1)), ((image * 3 - 1).clamp(0, 1) * 255).round() / 255)  # not wrapped


def test_a_png_holds_the_picture_and_nothing_else():
    data, kinds, place = png(torch.rand(3, 5, 4)), [], 8
    while place < len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        kinds.append(data[place + 4 : place + 8])
        place += 12 + length
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]


@pytest.mark.parametrize(
    ("act", "code", "says"),
    [
        (lambda: unpng(b""), "IMG-UNREADABLE", None),
        (lambda: unpng(b"GIF89a"), "IMG-UNREADABLE", None),
        (lambda: unpng(png(torch.rand(3, 32, 32))[:200]), "IMG-UNREADABLE", None),
        (lambda: unpng(strip([png(torch.rand(1, 2, 2))] * 2, gap=1)), "IMG-FORMAT", "RGBA"),
    ],
)
def test_what_is_no_picture_is_refused(act, code, says):
    with pytest.raises(RatherError, match=says) as refused:
        act()
    assert refused.value.code == code


def test_write_png_makes_the_folder_and_refuses_a_file_in_its_place(tmp_path):
    image = torch.rand(3, 4, 5)
    file = write_png(image, tmp_path / "a" / "b", "7")
    assert file == tmp_path / "a" / "b" / "7.png"
    assert file.read_bytes() == png(image)
    with pytest.raises(RatherError) as refused:
        write_png(image, file, "8")
    assert refused.value.code == "STORE-NOT-WRITABLE"


def test_a_thumbnail_is_smaller_by_means_and_leaves_a_small_one_alone():
    small = png(torch.rand(3, 8, 6))
    assert thumbnail(small, 8) is small
    large = torch.rand(1, 8, 4)
    expected = large.view(1, 4, 2, 2, 2).mean((2, 4))
    assert (unpng(thumbnail(png(large), 4)) - expected).abs().max() <= 1 / 255


def test_a_strip_is_its_pictures_with_transparent_gaps():
    from io import BytesIO

    from PIL import Image

    a, b = torch.rand(1, 3, 2), torch.rand(3, 4, 5)
    whole = np.array(Image.open(BytesIO(strip([png(a), png(b)], gap=2))))
    assert whole.shape == (4, 2 + 2 + 5, 4)
    assert (whole[:3, :2, :3] == (a * 255).round().byte().permute(1, 2, 0).numpy()).all()
    assert (whole[:, 4:, :3] == (b * 255).round().byte().permute(1, 2, 0).numpy()).all()
    assert (whole[:, 2:4, 3] == 0).all()


@given(pictures)
def test_where_nothing_changed_the_difference_is_grey(pixels):
    image = torch.from_numpy(pixels)
    drawn = signed_difference(image, image)
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])


def test_full_changes_have_the_stated_colours():
    query = torch.tensor([[[0.0, 1.0, 0.5]]])
    drawn = signed_difference(query, torch.tensor([[[1.0, 0.0, 0.5]]]))
    assert drawn[:, 0, 0].tolist() == pytest.approx(BRIGHTER)
    assert drawn[:, 0, 1].tolist() == pytest.approx(DARKER)
    assert len(set(drawn[:, 0, 2].tolist())) == 1


def test_a_change_of_colour_alone_is_neither_brighter_nor_darker():
    query = torch.zeros(3, 1, 1)
    query[0], equally_bright = 1.0, torch.zeros(3, 1, 1)
    equally_bright[1] = 0.299 / 0.587
    drawn = signed_difference(query, equally_bright)
    assert drawn.flatten().tolist() == pytest.approx(RECOLOURED, abs=1e-6)


def test_half_the_scale_is_half_the_way_from_the_ground_to_the_colour():
    query, image = torch.zeros(1, 1, 2), torch.tensor([[[0.25, 0.0]]])
    drawn = signed_difference(query, image, scale=0.5)
    ground = drawn[:, 0, 1]
    assert drawn[:, 0, 0].tolist() == pytest.approx(((ground + torch.tensor(BRIGHTER)) / 2).tolist())


@given(pictures, st.floats(0, 1, width=32))
def test_the_scale_is_never_less_than_the_largest_change(pixels, share):
    query = torch.from_numpy(pixels)
    image = query * share
    assert (image - query).abs().max() <= difference_scale(query, image) + 1e-5
    assert difference_scale(query, query) <= 0.02


def test_a_highlight_leaves_what_was_looked_at_and_veils_the_rest():
    image, attention = torch.rand(3, 8, 8), torch.zeros(1, 8, 8)
    attention[0, :, :4] = 1
    drawn = highlight(image, attention, side=64)
    assert drawn.shape == (3, 64, 64)
    large = image.repeat_interleave(8, 1).repeat_interleave(8, 2)
    assert torch.equal(drawn[:, 8:-8, 8:20], large[:, 8:-8, 8:20])
    veiled = (large + 0.5) / 2
    assert torch.allclose(drawn[:, :, 44:], veiled[:, :, 44:])
    line = drawn[:, 32, 24:40]
    assert (line == 1).all(0).any()
    assert (line == 0).all(0).any()


def test_nothing_looked_at_has_no_outline():
    image = torch.full((1, 4, 4), 0.5)
    assert torch.equal(highlight(image, torch.zeros(1, 4, 4), side=8), torch.full((3, 8, 8), 0.5))


def answers(count: int) -> Counterfactuals:
    torch.manual_seed(0)
    classifier = Classifier(
        nn.Identity(), nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), classes=["a", "$b$", "c_1"], shape=(1, 4, 4)
    )
    x = torch.rand(count, 1, 4, 4)
    target = (classifier(x).argmax(1) + 1) % 3
    return Wachter(steps=2, num_path_frames=0)(classifier, x, target)


def test_a_sheet_has_a_row_of_three_for_each_image_and_says_that_it_is_cut():
    figure, long = sheet(answers(3)), sheet(answers(25))
    assert len(figure.axes) == 9
    assert "what changed" in figure.axes[2].get_title(loc="left")
    assert len(long.axes) == 24 * 3
    assert long.get_suptitle() == "The first 24 of 25"
    assert sheet(answers(0)).axes == []


def test_a_notebook_gets_the_same_picture_each_time():
    c = answers(2)
    data = c._repr_png_()
    assert data.startswith(b"\x89PNG")
    assert data == figure_png(c.plot())

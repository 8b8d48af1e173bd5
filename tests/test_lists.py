"""Lists of data sets: read whole, or refused in a line that says what is wrong."""

import os

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rather.config.errors import RatherError
from rather.data.files import ImageFiles, fit_layout, pictures_in, whole
from rather.data.lists import check_paths, find, names, numbers, read_lines, table
from rather.io.images import fit, largest
from refusing import refusal

pytestmark = pytest.mark.shapes


@pytest.fixture
def path(tmp_path):
    return tmp_path / "list.txt"


def test_lines_of_every_system(path):
    for data in [b"a 1\nb 2\n", b"a 1\r\nb 2\r\n\r\n", b"\xef\xbb\xbfa 1\nb 2"]:
        path.write_bytes(data)
        assert [line.split() for line in read_lines(path)] == [["a", "1"], ["b", "2"]]
        assert numbers(path, [1]).tolist() == [[1], [2]]


def test_what_is_no_text_is_refused(path):
    assert refusal(read_lines, path).code == refusal(numbers, path, [0]).code == "DATA-NOT-FOUND"
    for data in [b"", b"\n \r\n", b"1 2\n\xff\xfe\n"]:
        path.write_bytes(data)
        assert refusal(read_lines, path).code == "DATA-DAMAGED"
    os.mkfifo(path.with_name("pipe"))
    assert refusal(read_lines, path.with_name("pipe")).code == "DATA-NOT-FOUND"
    assert refusal(numbers, path.with_name("pipe"), [0]).code == "DATA-NOT-FOUND"


@pytest.mark.parametrize("text", ["1 2\n3\n", "1 x\n", "1 1e999\n", "1 nan\n", "1 " + "9" * 400, "1 \0\n", "1 ²\n", ""])
def test_numbers_that_are_none_are_refused(path, text):
    path.write_text(text, "utf-8")
    assert refusal(numbers, path, [0, 1]).code == "DATA-DAMAGED"
    assert refusal(numbers, path, [0, 1], np.int8).code == "DATA-DAMAGED"


def test_numbers_of_another_type_are_refused(path):
    for text in ["300", "1.5", "-129"]:
        path.write_text(text)
        assert refusal(numbers, path, [0], np.int8).code == "DATA-DAMAGED"
        assert numbers(path, [0]).tolist() == [[float(text)]]


def test_ids_bring_rows_into_order(path):
    path.write_text("2 two words\n1 one\n3 three::x\n")
    assert names(path) == ("one", "two words", "three::x")
    path.write_text("3 30 31 extra\n1 10 11\n2 20 21\n")
    assert table(path, 3, 2).tolist() == [[10, 11], [20, 21], [30, 31]]


@pytest.mark.parametrize(
    "text", ["1 a\n3 b\n", "1 a\n1 b\n", "0 a\n1 b\n", "1 a\n2\n", "x a\n", "9999999999 a\n", "² a\n", "1 a\n\n2 b"]
)
def test_names_whose_ids_do_not_count_are_refused(path, text):
    path.write_text(text, "utf-8")
    assert refusal(names, path).code == "DATA-DAMAGED"


@pytest.mark.parametrize("text", ["1 1\n", "1 1\n2 2\n3 3\n", "1 1\n1 2\n", "1 1\n2.5 2\n", "0 1\n1 2\n"])
def test_tables_whose_ids_do_not_count_are_refused(path, text):
    path.write_text(text)
    assert "1 to 2" in str(refusal(table, path, 2, 1))


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a/../../b.jpg", "..", ".", "", "a//b", "a/", "C:x", "a\\..\\b", "a\0b"]
)
def test_names_that_lead_out_are_refused(path, name):
    assert refusal(check_paths, path, ["fine.jpg", name]).code == "DATA-DAMAGED"


def test_names_inside_are_not_refused(path):
    check_paths(path, ["a.jpg", "001.Black_footed/x y-1.jpg", "..a", "a..b/c..", "…/é.jpg", ".hidden"])
    assert "twice" in str(refusal(check_paths, path, ["a.jpg", "b.jpg", "a.jpg"]))


@given(st.lists(st.sampled_from(["..", ".", "a", "/", "b.c", "\\", ""]), max_size=6))
def test_no_accepted_name_leads_out(tmp_path_factory, parts):
    root = tmp_path_factory.getbasetemp() / "root"
    name = "".join(parts)
    try:
        check_paths(root, [name])
    except RatherError:
        return
    assert root in (root / name).parents
    assert os.path.normpath(root / name) == str(root / name)


def test_find_names_every_place(tmp_path):
    (tmp_path / "b").mkdir()
    assert find(tmp_path, "a", "b") == tmp_path / "b"
    said = str(refusal(find, tmp_path, "x/list.txt", "y/list.txt"))
    assert str(tmp_path / "x/list.txt") in said
    assert "nor y/list.txt there" in said


def test_pictures_in_a_folder(tmp_path):
    assert refusal(pictures_in, tmp_path).code == "DATA-EMPTY"
    for name in ["b.JPEG", "a.jpg", "c.txt", ".d.jpg"]:
        (tmp_path / name).touch()
    assert pictures_in(tmp_path) == ["a.jpg", "b.JPEG"]
    assert refusal(pictures_in, tmp_path / "none").code == "DATA-NOT-FOUND"


# ---------------------------------------------------------------- pictures


def test_listed_pictures(tmp_path):
    Image.new("RGB", (20, 10), (255, 0, 51)).save(tmp_path / "a b.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    source = ImageFiles(
        name="x", folder=tmp_path, files=["a b.png", "broken.png", "none.png", "a_b.png"], shape=(3, 4, 4)
    )
    assert [source.id(i) for i in range(len(source))] == ["a-b", "broken", "none", "a-b-2"]
    assert source.label(0) is None
    assert source.where(2) == str(tmp_path / "none.png")
    assert torch.equal(source.read(0), torch.tensor([1, 0, 0.2])[:, None, None].expand(3, 4, 4))
    assert refusal(source.read, 1).code == "IMG-UNREADABLE"
    assert refusal(source.read, 2).code == "IMG-PERMISSION"
    for ask in (source.attribute_values, source.layout):
        with pytest.raises(NotImplementedError):
            ask(0)


@given(st.tuples(st.integers(2, 400), st.integers(2, 400)), st.integers(1, 300), st.integers(1, 300))
def test_views_stay_inside_and_keep_proportions(size, h, w):
    for view in (largest, whole):
        left, top, right, bottom = view(size, (3, h, w))
        assert -1e-9 <= left < right <= size[0] + 1e-9
        assert -1e-9 <= top < bottom <= size[1] + 1e-9
        assert (left + right, top + bottom) == pytest.approx(size)  # in the middle
        if view is not whole:
            assert (right - left) * h == pytest.approx((bottom - top) * w)


def test_a_square_is_cut_out_first(tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(256, size=(218, 178, 3), dtype=np.uint8))
    image.save(tmp_path / "a.png")
    Image.new("RGB", (128, 120)).save(tmp_path / "small.png")
    shape = (3, 128, 96)
    source = ImageFiles(name="x", folder=tmp_path, files=["a.png", "small.png"], shape=shape, square=150)
    assert torch.equal(source.read(0), fit(image.crop((14, 34, 164, 184)), shape))
    assert source.picture(1).size == (120, 120)
    assert source.read(1).shape == shape


def test_a_layout_is_cut_as_its_picture_is():
    regions = np.zeros((30, 20), np.uint8)
    regions[10:20, 5:15] = 7
    picture = Image.fromarray((regions > 0).astype(np.uint8) * 255)
    for shape in [(1, 30, 20), (1, 10, 10), (1, 15, 10), (1, 20, 20)]:
        layout = fit_layout(regions, shape, largest)
        assert set(layout.unique().tolist()) == {0, 7}
        assert layout.shape == shape[1:]
        pixels = fit(picture, shape)[0]
        for value, region in [(0, 0), (1, 7)]:  # elsewhere a pixel shows some of both
            assert (layout[pixels == value] == region).all()
            assert (pixels == value).any()

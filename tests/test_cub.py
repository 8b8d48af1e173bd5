"""CUB-200-2011, from a tiny folder in the official layout."""

import numpy as np
import pytest
import torch
from PIL import Image

from rather.hub.datasets import load_dataset
from refusing import refusal

pytestmark = pytest.mark.shapes

FILES = ["001.Auk/Auk_0001_7.jpg", "001.Auk/Auk_0002_9.jpg", "002.Wren's/Wren_0001_3.jpg"]
LISTS = {
    "images.txt": "".join(f"{n} {file}\n" for n, file in enumerate(FILES, start=1)),
    "classes.txt": "1 001.Auk\n2 002.Wren's\n",
    "image_class_labels.txt": "1 1\n2 1\n3 2\n",
    "train_test_split.txt": "1 0\n2 1\n3 0\n",
    "parts/parts.txt": "1 back\n2 left eye\n3 tail\n",
    "parts/part_locs.txt": (
        "1 1 20.0 10.0 1\n1 2 15.0 5.0 1\n1 3 0.0 0.0 0\n"
        "2 1 20.0 10.0 1\n2 2 1.0 2.0 1\n2 3 0.0 0.0 0\n"
        "3 1 9.0 10.0 1\n3 2 30.0 20.0 1\n3 3 0.0 0.0 0\n"
    ),
    "attributes/attributes.txt": "1 has_bill_shape::curved\n2 has_wing_color::blue\n",
    "attributes/image_attribute_labels.txt": (
        "1 1 1 4 5.0\n1 2 0 1 1.2\n2 1 0 3 5.0\n2 2 1 2 0 1.509\n3 1 1 3 5.0\n3 2 0 4 5.0\n"
    ),
}


@pytest.fixture
def root(tmp_path):
    """Three birds of 40 x 20 pixels; where the bird is, the picture is white."""
    home = tmp_path / "CUB_200_2011"
    for name, content in LISTS.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)
    for file in FILES:
        bird = np.zeros((20, 40), np.uint8)
        bird[4:12, 12:20] = 255
        (home / "images" / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(bird).convert("RGB").save(home / "images" / file, "PNG")
        outline = (home / "segmentations" / file).with_suffix(".png")
        outline.parent.mkdir(parents=True, exist_ok=True)
        bird[4:12, 20] = 102  # two of five annotators
        Image.fromarray(bird).save(outline)
    return tmp_path


def test_the_official_parts_and_labels(root):
    both = load_dataset(f"cub:{root}")
    assert [both.test.id(i) for i in range(2)] == ["Auk-0001-7", "Wren-0001-3"]
    assert both.train.id(0) == "Auk-0002-9"
    assert both.test.classes == ("001.Auk", "002.Wren's")
    assert [both.test.label(i) for i in range(2)] == [0, 1]
    assert both.test.read(0).shape == (3, 224, 224)
    assert load_dataset(f"cub:{root}/CUB_200_2011", shape=(1, 8, 16)).test.read(1).shape == (1, 8, 16)


def test_attributes_that_nobody_could_see_are_nan(root):
    both = load_dataset(f"cub:{root}")
    assert both.test.attributes == ("has_bill_shape::curved", "has_wing_color::blue")
    assert torch.equal(both.train.attribute_values(0), torch.tensor([0.0, 1.0]))
    first = both.test.attribute_values(0)
    assert first[0] == 1
    assert first[1].isnan()


def test_attributes_may_lie_where_the_archive_puts_them(root):
    (root / "CUB_200_2011/attributes/attributes.txt").rename(root / "attributes.txt")
    assert len(load_dataset(f"cub:{root}").test.attributes) == 2
    (root / "attributes.txt").unlink()
    missing = refusal(load_dataset, f"cub:{root}")
    assert missing.code == "DATA-NOT-FOUND"
    assert "nor attributes.txt, ../attributes.txt there" in str(missing)


def test_several_workers_are_averaged(root):
    path = root / "CUB_200_2011/attributes/image_attribute_labels.txt"
    path.write_text(path.read_text() + "1 1 0 4 2.0\n1 1 0 1 2.0\n")
    assert load_dataset(f"cub:{root}").test.attribute_values(0)[0] == 0.5


def test_key_points_are_those_of_the_cut_picture(root):
    test = load_dataset(f"cub:{root}", shape=(3, 20, 20)).test  # columns 10 to 30 of 40 are seen
    assert test.point_names == ("back", "left eye", "tail")
    expected = torch.tensor([[0.5, 0.5, 1], [0.25, 0.25, 1], [torch.nan, torch.nan, 0]])
    torch.testing.assert_close(test.key_points(0), expected, equal_nan=True)
    cut_off, edge, _ = test.key_points(1)
    assert cut_off[2] == 0
    assert edge.tolist() == [1, 1, 1]
    all_of_it = load_dataset(f"cub:{root}", shape=(3, 10, 20)).test
    assert all_of_it.key_points(0)[:2, :2].tolist() == [[0.5, 0.5], [0.375, 0.25]]


def test_key_points_move_with_the_pixels(root):
    """A white mark in the picture is where the key point says, whatever the shape."""
    home = root / "CUB_200_2011"
    image = Image.new("L", (40, 20))
    image.paste(255, (16, 6, 20, 10))  # its centre is 18, 8
    image.convert("RGB").save(home / "images" / FILES[0], "PNG")
    path = home / "parts/part_locs.txt"
    path.write_text(path.read_text().replace("1 1 20.0 10.0 1", "1 1 18.0 8.0 1", 1))
    for shape in [(1, 20, 40), (1, 40, 40), (1, 60, 40), (1, 64, 200)]:
        test = load_dataset(f"cub:{root}", shape=shape).test
        weight = test.read(0)[0]
        y = (weight.sum(1) * (torch.arange(shape[1]) + 0.5)).sum() / weight.sum() / shape[1]
        x = (weight.sum(0) * (torch.arange(shape[2]) + 0.5)).sum() / weight.sum() / shape[2]
        assert test.key_points(0)[0].tolist() == pytest.approx([x.item(), y.item(), 1], abs=0.02)


def test_the_outline_is_a_layout(root):
    test = load_dataset(f"cub:{root}", shape=(1, 20, 20)).test
    assert test.regions == ("background", "bird")
    assert torch.equal(test.layout(0), (test.read(0)[0] > 0.5).byte())
    home = root / "CUB_200_2011"
    (home / "segmentations").rename(root / "segmentations")
    assert load_dataset(f"cub:{root}").test.layout(1).shape == (224, 224)
    (root / "segmentations" / FILES[0]).with_suffix(".png").unlink()
    assert refusal(load_dataset(f"cub:{root}").test.layout, 0).code == "IMG-PERMISSION"
    (root / "segmentations").rename(root / "elsewhere")
    without = load_dataset(f"cub:{root}").test
    assert without.regions == ()
    with pytest.raises(NotImplementedError):
        without.layout(0)


def test_key_points_need_the_picture(root):
    (root / "CUB_200_2011/images" / FILES[0]).unlink()
    assert refusal(load_dataset(f"cub:{root}").test.key_points, 0).code == "IMG-PERMISSION"


@pytest.mark.parametrize("name", LISTS)
def test_what_is_missing_is_named(root, name):
    (root / "CUB_200_2011" / name).unlink()
    missing = refusal(load_dataset, f"cub:{root}/CUB_200_2011")
    assert missing.code == "DATA-NOT-FOUND"
    assert name in str(missing)


@pytest.mark.parametrize("name", sorted(set(LISTS) - {"classes.txt", "parts/parts.txt", "attributes/attributes.txt"}))
def test_lists_that_lost_a_row_are_refused(root, name):
    path = root / "CUB_200_2011" / name
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    assert refusal(load_dataset, f"cub:{root}").code == "DATA-DAMAGED"


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("images.txt", FILES[1], "../../../etc/passwd", "no path inside"),
        ("images.txt", FILES[1], FILES[0], "twice"),
        ("images.txt", "3 002", "5 002", "ids 1 to 3"),
        ("image_class_labels.txt", "3 2", "3 3", "1 to 2"),
        ("image_class_labels.txt", "3 2", "3 1.5", "1 to 2"),
        ("image_class_labels.txt", "3 2", "3 " + "9" * 30, "1 to 2"),
        ("train_test_split.txt", "3 0", "3 2", "0 or 1"),
        ("parts/part_locs.txt", "20.0 10.0", "ten 10.0", "ten"),
        ("parts/part_locs.txt", "3 3 0.0 0.0 0", "3 4 0.0 0.0 0", "1 to 3"),
        ("parts/part_locs.txt", "3 3 0.0 0.0 0", "3 2 0.0 0.0 0", "missing"),
        ("parts/part_locs.txt", "3 3 0.0 0.0 0", "3 2.5 0.0 0.0 0", "1 to 3"),
        ("parts/part_locs.txt", "3 3 0.0 0.0 0", "3 3 0.0 0.0 7", "fifth"),
        ("parts/part_locs.txt", "3 3 0.0 0.0 0", "3 3 inf 0.0 0", "finite"),
        ("attributes/image_attribute_labels.txt", "3 2 0", "3 2 5", "third"),
        ("attributes/image_attribute_labels.txt", "3 2 0", "3 1 0", "1 of 3 x 2"),
        ("attributes/image_attribute_labels.txt", "3 2 0", "0 2 0", "1 to 3"),
    ],
)
def test_lists_that_do_not_fit_are_refused(root, name, old, new, said):
    path = root / "CUB_200_2011" / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    refused = refusal(load_dataset, f"cub:{root}")
    assert refused.code == "DATA-DAMAGED"
    assert said in str(refused)
    assert str(path) in str(refused)

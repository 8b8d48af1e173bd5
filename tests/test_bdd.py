"""BDD100k and BDD-OIA, from tiny folders in the official layouts."""

import json

import pytest
import torch
from PIL import Image

from rather.data import bdd_oia
from rather.hub.datasets import load_dataset
from refusing import refusal

pytestmark = pytest.mark.shapes


def street(path):
    """A picture whose left and right edges are white."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (128, 72), (255, 255, 255))
    image.paste((0, 0, 0), (16, 0, 112, 72))
    image.save(path, "PNG")


def test_bdd100k(tmp_path):
    for name in ["train/b.jpg", "train/a.jpg", "val/b1c66a42-6f7d68ca.jpg"]:
        street(tmp_path / "images/100k" / name)
    both = load_dataset(f"bdd100k:{tmp_path}")
    assert [both.train.id(i) for i in range(len(both.train))] == ["a", "b"]
    assert both.test.id(0) == "b1c66a42-6f7d68ca"
    assert both.test.label(0) is None
    assert both.test.classes == both.test.attributes == ()
    picture = both.test.read(0)
    assert picture.shape == (3, 256, 512)
    assert picture[0, :, :62].min() == picture[0, :, -62:].min() == 1  # all of it is seen, broader
    assert picture[0, :, 68:-68].max() == 0
    assert load_dataset(f"bdd100k:{tmp_path}", shape=(1, 18, 32)).train.read(0).shape == (1, 18, 32)


def test_what_bdd100k_lacks_is_named(tmp_path):
    assert str(tmp_path / "images/100k") in str(refusal(load_dataset, f"bdd100k:{tmp_path}"))
    street(tmp_path / "bdd100k/images/100k/val/a.jpg")
    assert str(tmp_path / "bdd100k/images/100k/train") in str(refusal(load_dataset, f"bdd100k:{tmp_path}"))
    (tmp_path / "bdd100k/images/100k/train").mkdir()
    assert refusal(load_dataset, f"bdd100k:{tmp_path}").code == "DATA-EMPTY"


PICTURES = {  # file -> id and bits
    "c.jpg": (0, [1, 0, 0, 0]),
    "a.jpg": (3, [0, 1, 1, 0, 0]),
    "b.jpg": (1, [0, 0, 0, 1, 0]),
    "confusing.jpg": (2, [1, 0, 0, 0, 1]),
}


def actions(pictures):
    annotations = [{"category": bits} for _, bits in sorted(pictures.values())]
    images = [{"file_name": file, "id": number} for file, (number, _) in pictures.items()]
    return {"images": images, "annotations": annotations}


@pytest.fixture
def root(tmp_path):
    for file in PICTURES:
        street(tmp_path / "data" / file)
    for part in ["train", "val", "test"]:
        (tmp_path / f"{part}_25k_images_actions.json").write_text(json.dumps(actions(PICTURES)))
    return tmp_path


def test_bdd_oia(root):
    both = load_dataset(f"bdd-oia:{root}")
    for source in (both.train, both.test, bdd_oia.load(root, part="val").test):
        assert [source.id(i) for i in range(len(source))] == ["a", "b", "c"]
        assert source.classes == ("stop", "forward")
        assert [source.label(i) for i in range(3)] == [0, None, 1]
        assert source.attributes == ("forward", "stop", "left", "right")
        assert torch.stack([source.attribute_values(i) for i in range(3)]).tolist() == [
            [0, 1, 1, 0],
            [0, 0, 0, 1],
            [1, 0, 0, 0],
        ]
    assert both.test.read(0).shape == (3, 256, 512)


def test_what_bdd_oia_lacks_is_named(root):
    (root / "test_25k_images_actions.json").unlink()
    assert str(root / "test_25k_images_actions.json") in str(refusal(load_dataset, f"bdd-oia:{root}"))
    assert str(root / "none/data") in str(refusal(load_dataset, f"bdd-oia:{root}/none"))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        "[" * 100_000,
        '{"images": [], "annotations": []}',
        '{"images": 3, "annotations": []}',
        json.dumps(actions({"../../etc/passwd": (0, [1, 0, 0, 0])})),
        json.dumps(actions({"a.jpg": (0, [1, 0, 0])})),
        json.dumps(actions({"a.jpg": (0, [1, 0, 0, 2])})),
        json.dumps(actions({"a.jpg": (0, [1, 0, 0, 0, 1])})),
        json.dumps(actions({"a.jpg": (5, [1, 0, 0, 0])})),
        json.dumps(actions({"a.jpg": (-1, [1, 0, 0, 0])})),
        json.dumps(actions({"a.jpg": ("0", [1, 0, 0, 0])})),
        json.dumps(actions({"a.jpg": (0, [1, 0, 0, None])})),
        '{"images": [{"file_name": "a.jpg", "id": 1' + "0" * 5000 + '}], "annotations": []}',
        '{"images": [{"file_name": "a.jpg", "id": 0}], "annotations": [{"category": [1e999, 0, 0, 0]}]}',
    ],
)
def test_what_is_not_of_bdd_oia_s_form_is_refused(root, content):
    (root / "test_25k_images_actions.json").write_text(content)
    refused = refusal(load_dataset, f"bdd-oia:{root}")
    assert refused.code == "DATA-DAMAGED"
    assert str(root / "test_25k_images_actions.json") in str(refused)

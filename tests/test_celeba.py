"""CelebA and CelebAMask-HQ, from tiny folders in the official layouts."""

import numpy as np
import pytest
import torch
from PIL import Image

from rather.data import celeba, celebamask
from rather.data.celeba import ATTRIBUTES
from rather.hub.datasets import load_dataset
from refusing import refusal

pytestmark = pytest.mark.shapes

SMILING, YOUNG = ATTRIBUTES.index("Smiling"), ATTRIBUTES.index("Young")


def attribute_list(files, values):
    rows = [f"{file} " + " ".join(f"{2 * v - 1:2d}" for v in row) for file, row in zip(files, values, strict=True)]
    return "\n".join([str(len(files)), " ".join(ATTRIBUTES) + " ", *rows]) + "\n"


@pytest.fixture
def values():
    return np.random.default_rng(0).integers(2, size=(8, 40))


@pytest.fixture
def root(tmp_path, values):
    """Eight pictures: four to train on, one of validation, three of test; the middle 150 pixels are green."""
    files = [f"{n:06d}.jpg" for n in range(1, 9)]
    (tmp_path / "img_align_celeba").mkdir()
    for n, file in enumerate(files):
        image = Image.new("RGB", (178, 218), (255, 255, 255))
        image.paste((0, 20 * n, 0), (14, 34, 164, 184))
        image.save(tmp_path / "img_align_celeba" / file, "PNG")
    (tmp_path / "list_attr_celeba.txt").write_text(attribute_list(files, values))
    (tmp_path / "list_eval_partition.txt").write_text(
        "".join(f"{file} {part}\n" for file, part in zip(files, [0, 0, 2, 1, 0, 2, 2, 0], strict=True))
    )
    return tmp_path


def test_celeba_is_parted_labelled_and_cut_as_in_the_papers(root, values):
    both = load_dataset(f"celeba:{root}")
    assert [both.train.id(i) for i in range(4)] == ["000001", "000002", "000005", "000008"]
    assert [both.test.id(i) for i in range(3)] == ["000003", "000006", "000007"]
    assert both.test.classes == ("not smiling", "smiling")
    assert [both.test.label(i) for i in range(3)] == values[[2, 5, 6], SMILING].tolist()
    assert both.train.attributes == ATTRIBUTES
    assert both.train.attribute_values(2).tolist() == values[4].tolist()
    picture = both.test.read(1)
    assert picture.shape == (3, 128, 128)
    assert (picture * 255).unique().tolist() == [0, 100]  # nothing white is left


def test_another_attribute_shape_and_part(root, values):
    test = load_dataset(f"celeba/young:{root}", shape=(1, 20, 30)).test
    assert test.name == "celeba/Young"
    assert test.classes == ("not young", "young")
    assert [test.label(i) for i in range(3)] == values[[2, 5, 6], YOUNG].tolist()
    assert test.read(0).shape == (1, 20, 30)
    assert test.read(0).std() == 0
    assert celeba.load(root, part="valid").test.id(0) == "000004"
    wrong = refusal(load_dataset, f"celeba/Smilin:{root}")
    assert wrong.code == "CFG-UNKNOWN"
    assert "Smiling" in wrong.do


def test_celeba_in_the_folders_of_its_download(root):
    for folder, name in [
        ("Img", "img_align_celeba"),
        ("Anno", "list_attr_celeba.txt"),
        ("Eval", "list_eval_partition.txt"),
    ]:
        (root / folder).mkdir()
        (root / name).rename(root / folder / name)
    assert len(load_dataset(f"celeba:{root}").test) == 3
    (root / "Eval/list_eval_partition.txt").unlink()
    missing = refusal(load_dataset, f"celeba:{root}")
    assert missing.code == "DATA-NOT-FOUND"
    assert str(root / "list_eval_partition.txt") in str(missing)


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("list_attr_celeba.txt", lambda t: t[: len(t) // 2], "line 1 says 8 pictures"),
        ("list_attr_celeba.txt", lambda t: t.rstrip()[:-4], "column"),
        ("list_attr_celeba.txt", lambda t: "8\n", "line 2"),
        ("list_attr_celeba.txt", lambda t: t.replace("Young", "Old"), "Young in line 2"),
        ("list_attr_celeba.txt", lambda t: t.replace("Bald Bangs", "Bangs Bald"), "line 2"),
        ("list_attr_celeba.txt", lambda t: t.replace("8", "9" * 5000, 1), "line 1 says"),
        ("list_attr_celeba.txt", lambda t: t.replace(" -1", "  0", 1), "-1 or 1"),
        ("list_attr_celeba.txt", lambda t: t.replace(" -1", " -129", 1), "-129"),
        ("list_attr_celeba.txt", lambda t: t.replace(" -1", " x", 1), "'x'"),
        ("list_attr_celeba.txt", lambda t: t.replace("000003.jpg", "../../etc/passwd"), "no path inside"),
        ("list_attr_celeba.txt", lambda t: t.replace("000003.jpg", "000002.jpg"), "twice"),
        ("list_eval_partition.txt", lambda t: t.replace("000002.jpg 0\n", ""), "8 pictures"),
        ("list_eval_partition.txt", lambda t: t.replace("000002", "000003"), "8 pictures"),
        ("list_eval_partition.txt", lambda t: t.replace("jpg 2", "jpg 3", 1), "0, 1 or 2"),
        ("list_eval_partition.txt", lambda t: t.replace("jpg 2", "jpg", 1), "column"),
        ("list_eval_partition.txt", lambda t: "", "empty"),
    ],
)
def test_a_list_of_celeba_that_is_not_whole_is_refused(root, name, damage, said):
    (root / name).write_text(damage((root / name).read_text()))
    refused = refusal(load_dataset, f"celeba:{root}")
    assert refused.code == "DATA-DAMAGED"
    assert said in str(refused)
    assert str(root / name) in str(refused)


# ---------------------------------------------------------------- CelebAMask-HQ

ORIGINALS = [119614, 162770, 162771, 182637, 182638, 202599]


@pytest.fixture
def masked(tmp_path, values):
    """Six pictures around the bounds of CelebA's parts; the masks of a few."""
    (tmp_path / "CelebA-HQ-img").mkdir()
    for n in range(6):
        Image.new("RGB", (32, 32), (40 * n, 0, 0)).save(tmp_path / f"CelebA-HQ-img/{n}.jpg", "PNG")
    (tmp_path / "CelebAMask-HQ-attribute-anno.txt").write_text(
        attribute_list([f"{n}.jpg" for n in range(6)], values[:6])
    )
    (tmp_path / "CelebA-HQ-to-CelebA-mapping.txt").write_text(
        "idx\t\torig_idx\torig_file\n" + "".join(f"{n}\t\t{m - 1}\t\t{m:06d}.jpg\n" for n, m in enumerate(ORIGINALS))
    )
    masks = tmp_path / "CelebAMask-HQ-mask-anno/0"
    masks.mkdir(parents=True)
    for name, mode, box in [
        ("00004_skin", "L", (0, 0, 16, 16)),
        ("00004_mouth", "RGB", (4, 10, 12, 14)),
        ("00004_u_lip", "P", (4, 10, 12, 12)),
    ]:
        image = Image.new("L", (16, 16))
        image.paste(255, box)
        image.convert(mode).save(masks / f"{name}.png")
    return tmp_path


def test_celebamask_is_parted_as_celeba_is(masked, values):
    both = load_dataset(f"celebamask:{masked}")
    assert [both.train.id(i) for i in range(len(both.train))] == ["0", "1"]
    assert [both.test.id(i) for i in range(len(both.test))] == ["4", "5"]
    valid = celebamask.load(masked, part="valid").test
    assert [valid.id(i) for i in range(len(valid))] == ["2", "3"]
    assert [both.test.label(i) for i in range(2)] == values[4:6, SMILING].tolist()
    assert both.test.read(0).shape == (3, 256, 256)
    assert load_dataset(f"celebamask/Young:{masked}", shape=(3, 64, 64)).train.read(1).shape == (3, 64, 64)


def test_masks_become_a_layout(masked):
    test = load_dataset(f"celebamask:{masked}", shape=(3, 32, 32)).test
    assert test.regions == celebamask.REGIONS
    expected = torch.full((16, 16), test.regions.index("skin"))
    expected[10:14, 4:12] = test.regions.index("mouth")
    expected[10:12, 4:12] = test.regions.index("u_lip")
    assert torch.equal(test.layout(0).long(), expected.repeat_interleave(2, 0).repeat_interleave(2, 1))
    assert refusal(test.layout, 1).code == "DATA-NOT-FOUND"  # of picture 5 there is no mask
    masks = masked / "CelebAMask-HQ-mask-anno/0"
    Image.new("L", (16, 8)).save(masks / "00004_hat.png")
    assert refusal(test.layout, 0).code == "DATA-DAMAGED"
    (masks / "00004_hat.png").write_bytes(b"")
    assert refusal(test.layout, 0).code == "IMG-UNREADABLE"


def test_masks_lie_2000_to_a_folder(masked):
    faces = celebamask.load(masked).test
    late = celebamask.MaskedFaces(
        name="late", folder=faces.folder, files=["29999.jpg"], masks=faces.masks, shape=(3, 8, 8)
    )
    (faces.masks / "14").mkdir()
    Image.new("L", (16, 16), 255).save(faces.masks / "14/29999_hair.png")
    assert late.layout(0).unique().tolist() == [faces.regions.index("hair")]


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("CelebA-HQ-to-CelebA-mapping.txt", lambda t: t[: t.rindex("5\t")], "6 pictures"),
        ("CelebA-HQ-to-CelebA-mapping.txt", lambda t: t[t.index("\n") + 1 :], "line 1"),
        ("CelebA-HQ-to-CelebA-mapping.txt", lambda t: t.replace("202599.jpg", "202600.jpg"), "different pictures"),
        ("CelebA-HQ-to-CelebA-mapping.txt", lambda t: t.replace("202599.jpg", "182638.jpg"), "different pictures"),
        ("CelebA-HQ-to-CelebA-mapping.txt", lambda t: t.replace("202599.jpg", "x.jpg"), "different pictures"),
        ("CelebA-HQ-to-CelebA-mapping.txt", lambda t: t.replace("202599.jpg", ""), "6 pictures"),
        ("CelebAMask-HQ-attribute-anno.txt", lambda t: t.replace("3.jpg", "7.jpg"), "0.jpg to 5.jpg"),
        ("CelebAMask-HQ-attribute-anno.txt", lambda t: t.replace("6", "30000", 1), "line 1 says 30000"),
    ],
)
def test_a_list_of_celebamask_that_is_not_whole_is_refused(masked, name, damage, said):
    (masked / name).write_text(damage((masked / name).read_text()))
    refused = refusal(load_dataset, f"celebamask:{masked}")
    assert refused.code == "DATA-DAMAGED"
    assert said in str(refused)


def test_what_celebamask_lacks_is_named(masked):
    for name in [
        "CelebA-HQ-to-CelebA-mapping.txt",
        "CelebAMask-HQ-attribute-anno.txt",
        "CelebAMask-HQ-mask-anno",
        "CelebA-HQ-img",
    ]:
        (masked / name).rename(masked / "elsewhere")
        assert str(masked / name) in str(refusal(load_dataset, f"celebamask:{masked}"))
        (masked / "elsewhere").rename(masked / name)

"""Pairs of ImageNet's classes, from tiny folders in the official layouts."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from rather.data import imagenet
from rather.hub.datasets import load_dataset
from refusing import refusal

pytestmark = pytest.mark.shapes

ZEBRA, SORREL, CAT = "n02391049", "n02389026", "n02124075"


def picture(path, ink=(255, 0, 0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (30, 20), ink).save(path, "PNG")


@pytest.fixture
def root(tmp_path):
    for wnid in (ZEBRA, SORREL, CAT):
        picture(tmp_path / f"train/{wnid}/{wnid}_26.JPEG")
        picture(tmp_path / f"train/{wnid}/{wnid}_10.JPEG")
        picture(tmp_path / f"val/{wnid}/ILSVRC2012_val_0000{wnid[-4:]}.JPEG")
    return tmp_path


def test_a_pair_by_folders(root):
    both = load_dataset(f"imagenet/zebra-sorrel:{root}")
    assert [both.train.id(i) for i in range(len(both.train))] == [
        f"{wnid}-{n}" for wnid in (ZEBRA, SORREL) for n in (10, 26)
    ]
    assert [both.train.label(i) for i in range(4)] == [0, 0, 1, 1]
    assert both.test.classes == ("zebra", "sorrel")
    assert [both.test.label(i) for i in range(len(both.test))] == [0, 1]
    assert both.test.read(0).shape == (3, 256, 256)
    assert load_dataset(f"imagenet/zebra-sorrel:{root}", shape=(3, 8, 9)).test.read(0).shape == (3, 8, 9)


def test_pairs_by_wordnet_ids(root):
    assert load_dataset(f"imagenet/{SORREL}-{ZEBRA}:{root}").test.classes == ("sorrel", "zebra")
    (root / f"val/{CAT}").rename(root / "val/n00000001")
    (root / f"train/{CAT}").rename(root / "train/n00000001")
    assert load_dataset(f"imagenet/zebra-n00000001:{root}").test.classes == ("zebra", "n00000001")
    for pair in ["zebra", "zebra-zebra", "a-b-c", "zebra-n123", "zebra-../../etc", "zebra-zebr"]:
        assert refusal(imagenet.load, root, pair).code == "CFG-UNKNOWN"
    for pair in ["cheetah-cougar", "egyptian-persian"]:
        assert refusal(imagenet.load, root, pair).code == "DATA-NOT-FOUND"


def test_the_training_set_is_not_asked_for_if_it_is_not_there(root):
    (root / "train").rename(root / "elsewhere")
    assert load_dataset(f"imagenet/zebra-sorrel:{root}").train is None
    (root / "val").rename(root / "gone")
    assert str(root / "val") in str(refusal(imagenet.load, root))


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_class_that_is_missing_or_empty_is_named(root, part):
    for path in (root / part / SORREL).iterdir():
        path.unlink()
    empty = refusal(imagenet.load, root)
    assert (empty.code, empty.where) == ("DATA-EMPTY", str(root / part / SORREL))
    (root / part / SORREL).rmdir()
    assert refusal(imagenet.load, root).where == str(root / part / SORREL)


# ---------------------------------------------------------------- the flat validation set

CLASSES = [ZEBRA, CAT, SORREL, ZEBRA]  # of the pictures 1 to 4


@pytest.fixture
def flat(tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet, "VALIDATION", len(CLASSES))
    monkeypatch.setattr(imagenet, "_IDS", 3)
    for n in (1, 2, 3):  # the fourth is missing
        picture(tmp_path / f"val/ILSVRC2012_val_{n:08d}.JPEG", (50 * n, 0, 0))
    return tmp_path


def check(both):
    assert [both.test.id(i) for i in range(len(both.test))] == [f"ILSVRC2012-val-{n:08d}" for n in (1, 4, 3)]
    assert [both.test.label(i) for i in range(3)] == [0, 0, 1]
    assert both.test.read(2).max() == np.float32(150 / 255)
    assert refusal(both.test.read, 1).code == "IMG-PERMISSION"


def write_devkit(folder, ids):
    """As the devkit has it: 4 synsets, of which the last, "animal", is no class."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object), ("num_children", object)]
    rows = [(1, CAT, "Egyptian cat", 0), (2, SORREL, "sorrel", 0), (3, ZEBRA, "zebra", 0), (4, "n1", "animal", 9)]
    savemat(folder / "meta.mat", {"synsets": np.array(rows, dtype=kind)[:, None]})
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(f"{n}\n" for n in ids))


@pytest.mark.parametrize("place", ["ILSVRC2012_devkit_t12/data", "."])
def test_the_flat_folder_by_the_devkit(flat, place):
    write_devkit(flat / place, [3, 1, 2, 3])
    check(load_dataset(f"imagenet/zebra-sorrel:{flat}"))


@pytest.mark.parametrize("ids", [[3, 1, 2], [3, 1, 2, 3, 3], [3, 1, 2, 0], [3, 1, 2, 4], [3, 1, 2, "x"]])
def test_a_ground_truth_that_does_not_fit_is_refused(flat, ids):
    write_devkit(flat, ids)
    assert refusal(imagenet.load, flat).code == "DATA-DAMAGED"


def test_a_damaged_meta_file_is_refused(flat, monkeypatch):
    write_devkit(flat, [3, 1, 2, 3])
    whole = (flat / "meta.mat").read_bytes()
    for data in [b"", b"nothing of MATLAB's", whole[: len(whole) // 2], whole[:130] + bytes(60) + whole[190:]]:
        (flat / "meta.mat").write_bytes(data)
        refused = refusal(imagenet.load, flat)
        assert (refused.code, refused.where) == ("DATA-DAMAGED", str(flat / "meta.mat"))
    savemat(flat / "meta.mat", {"synsets": np.arange(3)})
    assert refusal(imagenet.load, flat).code == "DATA-DAMAGED"
    monkeypatch.setattr(imagenet, "_IDS", 5)
    (flat / "meta.mat").write_bytes(whole)
    assert "1 to 5" in str(refusal(imagenet.load, flat))
    (flat / "meta.mat").unlink()
    assert str(flat / "meta.mat") in str(refusal(imagenet.load, flat))


def solution(classes):
    numbers = reversed(range(1, len(classes) + 1))  # Kaggle's rows are in no order
    rows = [f"ILSVRC2012_val_{n:08d},{classes[n - 1]} 85 1 499 272 " for n in numbers]
    return "\n".join(["ImageId,PredictionString", *rows]) + "\n"


def test_the_flat_folder_by_kaggle_s_list(flat):
    (flat / "LOC_val_solution.csv").write_text(solution(CLASSES))
    check(load_dataset(f"imagenet/zebra-sorrel:{flat}"))
    (flat / "ILSVRC/Data/CLS-LOC").mkdir(parents=True)
    (flat / "val").rename(flat / "ILSVRC/Data/CLS-LOC/val")
    check(load_dataset(f"imagenet/zebra-sorrel:{flat}"))
    assert refusal(imagenet.load, flat, "zebra-cougar").code == "DATA-EMPTY"
    for damage in [solution(CLASSES[:3]), solution(CLASSES).replace(CAT, "cat"), solution([*CLASSES, CAT])]:
        (flat / "LOC_val_solution.csv").write_text(damage)
        assert refusal(imagenet.load, flat).code == "DATA-DAMAGED"


def test_a_flat_folder_without_a_list_says_what_would_do(flat):
    missing = refusal(imagenet.load, flat)
    assert missing.code == "DATA-NOT-FOUND"
    assert "ILSVRC2012_validation_ground_truth.txt, LOC_val_solution.csv, a folder for each class" in str(missing)

"""The data sets: what is in them, and that a damaged one is refused."""

import gzip
import hashlib
import io
import json
import os
import struct
import subprocess
import sys
import zipfile
from importlib.metadata import EntryPoint
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import rather.data
from rather.core import Classifier
from rather.data import mnist, omniglot
from rather.data.folder import Folder, load_files
from rather.data.source import Dataset, read_all
from rather.hub import datasets, extensions
from rather.hub.classifiers import classifier_of, list_classifiers, load_classifier
from rather.hub.datasets import list_datasets, load_dataset
from rather.worlds import shapes
from refusing import code_of, refusal

pytestmark = pytest.mark.shapes


def png(value, size=(8, 6)):
    file = io.BytesIO()
    Image.new("L", size, value).save(file, "PNG")
    return file.getvalue()


def write(folder, **files):
    for name, data in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".png").write_bytes(data)
    return folder


# ---------------------------------------------------------------- names


def test_listing_names_does_not_load_torch():
    names = "from rather.hub import classifiers, datasets; classifiers.list_classifiers(); datasets.list_datasets()"
    script = f"import sys; {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
    for line in (list_classifiers() | list_datasets()).values():
        assert line
        assert "\n" not in line


def test_names_that_are_none(tmp_path):
    assert code_of(load_dataset, str(tmp_path / "nothing")) == "DATA-NOT-FOUND"
    assert refusal(load_dataset, "digit").do == "Did you mean digits"
    assert refusal(load_dataset, "mnist").do == "Write mnist:FOLDER"


def test_every_listed_name_is_known(tmp_path):
    for name in list_datasets():
        kind, colon, _ = name.partition(":")
        if colon:
            assert code_of(load_dataset, f"{kind}:{tmp_path}/none") == "DATA-NOT-FOUND"
    write(tmp_path, a=png(0))
    assert all(isinstance(load_dataset(name), Dataset) for name in ["digits", "shapes", str(tmp_path)])


MINE = '''
"""Mine."""
from typing import Final
import torch
from rather.data.source import Dataset, InMemory

NAMES: Final = {"mine": "one picture", "mine/two:FOLDER": "so many pictures"}

def load(folder=None, choice="one", *, shape=(1, 2, 2)):
    count = 2 if choice == "two" else 1
    images = torch.full((count, *shape), 0.5)
    source = InMemory(str(folder), (), images, [None] * count, [f"mine-{n}" for n in range(count)])
    return Dataset("mine", source)
'''


@pytest.fixture
def dropped(tmp_path, monkeypatch):
    """One new file in the folder of the datasets."""
    (tmp_path / "dropped.py").write_text(MINE)
    datasets._modules.cache_clear()
    rather.data.__path__.append(str(tmp_path))
    yield tmp_path
    rather.data.__path__.remove(str(tmp_path))
    sys.modules.pop("rather.data.dropped", None)
    datasets._modules.cache_clear()


def test_a_dataset_is_one_file(dropped):
    assert list_datasets()["mine/two:FOLDER"] == "so many pictures"
    assert load_dataset("mine").ids == ("mine-0",)
    both = load_dataset(f"mine/two:{dropped}", like=Classifier(lambda x: x.flatten(1)[:, :2], shape=(3, 4, 5)))
    assert both.test.name == str(dropped)
    assert both.images.shape == (2, 3, 4, 5)
    assert both.ids == ("mine-0", "mine-1")
    assert refusal(load_dataset, "mine/two").do == "Write mine/two:FOLDER"


def test_a_choice_or_a_path_that_a_dataset_does_not_have(idx):
    for name in (f"mnist/letters:{idx}", f"digits:{idx}", "mnist:", "shapes/red"):
        assert code_of(load_dataset, name) == "DATA-NOT-FOUND"


def test_the_code_of_a_user_makes_a_dataset_once_it_is_trusted(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(MINE + "\n\ndef source(shape):\n    return load(shape=shape).test\n\nnumber = lambda: 3\n")
    trust = [f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"]
    assert code_of(load_dataset, f"{file}:load") == "MODEL-CODE"
    for name in ("load", "source"):
        assert load_dataset(f"{file}:{name}", shape=(3, 4, 5), trust=trust).images.shape == (1, 3, 4, 5)
    assert "int, not a Dataset" in str(refusal(load_dataset, f"{file}:number", trust=trust))


def test_an_installed_package_adds_a_dataset(monkeypatch):
    point = EntryPoint("theirs", "rather.data.mnist:load", "rather.datasets")
    monkeypatch.setattr(extensions, "entry_points", lambda group, name="theirs": [point] * (name == "theirs"))
    assert list_datasets()["theirs"] == "from rather.data.mnist:load"
    assert len(load_dataset("theirs").test) == 2_000
    assert code_of(load_dataset, "others") == "DATA-NOT-FOUND"


# ---------------------------------------------------------------- digits and MNIST


def test_digits_are_mnist_s_first():
    both = load_dataset("digits")
    assert (len(both.train), len(both.test)) == (10_000, 2_000)
    assert [both.train.label(i) for i in range(10)] == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert [both.test.label(i) for i in range(10)] == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    for source, key in [(both.train, "train"), (both.test, "test")]:
        card = json.loads(mnist.FILE.with_suffix(".json").read_text())
        assert np.bincount(source.labels).tolist() == card[f"{key}_images_per_class"]
        assert source.images.shape == (len(source), 1, 28, 28)
        assert len({source.id(i) for i in range(len(source))}) == len(source)
    assert both.references is both.train


def test_a_changed_file_of_digits_is_refused(monkeypatch, tmp_path):
    data = bytearray(mnist.FILE.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "digits.npz").write_bytes(data)
    monkeypatch.setattr(mnist, "FILE", tmp_path / "digits.npz")
    assert code_of(mnist.load) == "DATA-DAMAGED"
    monkeypatch.setattr(mnist, "FILE", tmp_path / "none.npz")
    assert code_of(mnist.load) == "DATA-DAMAGED"


@pytest.fixture
def idx(monkeypatch, tmp_path):
    """A folder of tiny files in the official format: 6 training and 3 test images."""
    for part, count in [("train", 6), ("t10k", 3)]:
        monkeypatch.setitem(mnist._COUNTS, part, count)
        images = np.arange(count * 784, dtype=np.uint32).astype(np.uint8).tobytes()
        header = struct.pack(">IIII", 2051, count, 28, 28)
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images))
        labels = struct.pack(">II", 2049, count) + bytes(range(count))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    return tmp_path


def test_mnist_reads_packed_and_plain_files(idx):
    both = load_dataset(f"mnist:{idx}")
    assert (len(both.train), len(both.test)) == (6, 3)
    assert both.train.labels == [0, 1, 2, 3, 4, 5]
    assert (both.train.read(1)[0, 0, :2] * 255).tolist() == [784 % 256, 785 % 256]
    assert both.test.id(2) == load_dataset("digits").test.id(2)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("train-images-idx3-ubyte.gz", lambda data: data[:-40]),
        ("train-images-idx3-ubyte.gz", lambda _: b"not gzip"),
        ("train-images-idx3-ubyte.gz", lambda data: gzip.compress(gzip.decompress(data) + b"x")),
        ("train-images-idx3-ubyte.gz", lambda data: gzip.compress(gzip.decompress(data)[:-1])),
        ("t10k-labels-idx1-ubyte", lambda data: b"\0\0\x08\x03" + data[4:]),
        ("t10k-labels-idx1-ubyte", lambda data: data[:-1] + b"\x0a"),
    ],
)
def test_mnist_refuses_what_is_not_the_official_file(idx, name, damage):
    (idx / name).write_bytes(damage((idx / name).read_bytes()))
    assert code_of(load_dataset, f"mnist:{idx}") == "DATA-DAMAGED"


# ---------------------------------------------------------------- Omniglot


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """An archive with the 17 x 20 drawings of Tagalog, each with a mark of its own."""
    path = tmp_path_factory.mktemp("omniglot") / "small.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for character, drawing in product(range(1, 18), range(1, 21)):
            image = Image.new("1", (105, 105), 1)
            image.paste(0, (character * 5, drawing * 4, character * 5 + 5, drawing * 4 + 4))
            file = io.BytesIO()
            image.save(file, "PNG")
            name = f"character{character:02d}/{900 + character}_{drawing:02d}.png"
            zipped.writestr(f"images_background_small2/Tagalog/{name}", file.getvalue())
    return path


def test_omniglot_splits_every_character_80_to_20(archive):
    both = load_dataset(f"omniglot/Tagalog:{archive}")
    assert torch.tensor(both.train.labels).bincount().tolist() == [16] * 17
    assert torch.tensor(both.test.labels).bincount().tolist() == [4] * 17
    ids = {source.id(i) for source in (both.train, both.test) for i in range(len(source))}
    assert len(ids) == 340
    other = omniglot.load(archive, "Tagalog", seed=1)
    assert other.test.ids != both.test.ids
    assert omniglot.load(archive, "Tagalog").test.ids == both.test.ids


def test_omniglot_is_white_on_black_and_the_label_is_the_character(archive):
    test = omniglot.load(archive, "Tagalog", size=105).test
    for i in range(0, len(test), 7):
        white = test.read(i)[0].nonzero()
        drawing, character = int(test.id(i).split("-")[1]), test.label(i) + 1
        assert white.min(0).values.tolist() == [drawing * 4, character * 5]
        assert len(white) == 20


def test_omniglot_reads_the_unpacked_folder(archive, tmp_path):
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(tmp_path)
    packed, unpacked = (omniglot.load(path, "Tagalog") for path in (archive, tmp_path))
    assert torch.equal(packed.test.images, unpacked.test.images)
    assert packed.test.ids == unpacked.test.ids
    victim = next(tmp_path.rglob("*.png"))
    for damaged in (victim.read_bytes()[:40], png(0)):
        victim.write_bytes(damaged)
        assert code_of(omniglot.load, tmp_path, "Tagalog") == "DATA-DAMAGED"
    victim.unlink()
    assert code_of(omniglot.load, tmp_path, "Tagalog") == "DATA-DAMAGED"


def test_omniglot_refuses_other_files(archive, tmp_path):
    assert code_of(omniglot.load, archive, "Klingon") == "CFG-UNKNOWN"
    assert code_of(omniglot.load, archive, "Greek") == "DATA-DAMAGED"
    whole = archive.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:2000] + bytes(100) + whole[2100:]):
        (tmp_path / "a.zip").write_bytes(damaged)
        assert code_of(omniglot.load, tmp_path / "a.zip", "Tagalog") == "DATA-DAMAGED"


def test_omniglot_does_not_unpack_a_bomb(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("x/Tagalog/character01/0901_01.png", bytes(10_000_000))
    assert code_of(omniglot.load, tmp_path / "a.zip", "Tagalog") == "DATA-DAMAGED"


# ---------------------------------------------------------------- shapes

scenes = st.lists(st.integers(0, 20), min_size=16, max_size=16).map(lambda c: torch.tensor(c).reshape(4, 4))


def rule_in_words(scene):
    """The rule once more, slowly."""
    red_shapes = {(thing - 1) // 5 for thing in scene.flatten().tolist() if thing in {1, 6, 11, 16}}
    return red_shapes.pop() if len(red_shapes) == 1 else 4


@given(scenes)
def test_the_rule(scene):
    assert shapes.rule(scene) == rule_in_words(scene)
    assert shapes.rule(torch.stack([scene, scene.T])).tolist() == [rule_in_words(scene)] * 2


def test_from_one_shape_to_another_only_key_by_key_is_right():
    test, train = load_dataset("shapes").test, load_dataset("shapes").train
    pairs = [(i, j) for i, j in zip(range(300), range(300), strict=True) if test.label(i) != train.label(j)]
    pairs = [(i, j) for i, j in pairs if shapes.UNCLEAR not in {test.label(i), train.label(j)}]
    assert len(pairs) > 100
    for i, j in pairs:
        edited = test.scenes[i].flatten().repeat(16, 16, 1)  # (query's cell, distractor's cell, scene)
        edited[range(16), :, range(16)] = train.scenes[j].flatten().expand(16, 16)
        right = shapes.rule(edited.unflatten(2, (4, 4))) == train.label(j)
        (row, column), (its_row, its_column) = test.key_cell(i), train.key_cell(j)
        assert right.nonzero().tolist() == [[4 * row + column, 4 * its_row + its_column]]


def test_the_key_is_the_one_red_thing_and_its_key_point_lies_on_it():
    test = load_dataset("shapes").test
    clear, unclear = ([n for n in range(40) if (test.label(n) == shapes.UNCLEAR) is which] for which in (False, True))
    for n in clear:
        ((x, y, seen),) = test.key_points(n).tolist()
        red, green, blue = test.read(n)[:, int(64 * y), int(64 * x)].tolist()
        assert seen == 1
        assert red > 0.7
        assert max(green, blue) < 0.4
    for n in unclear:
        assert test.key_points(n)[0, 2] == 0


def test_shapes_are_balanced_and_always_the_same():
    one, again, other = shapes.load(), shapes.load(), shapes.load(seed=1)
    assert torch.equal(one.test.scenes, again.test.scenes)
    assert torch.equal(one.test.read(7), again.test.read(7))
    assert not torch.equal(one.test.scenes, other.test.scenes)
    assert not torch.equal(one.test.scenes, one.train.scenes[:1000])
    counts = shapes.rule(one.train.scenes).bincount()
    assert counts.min() > 700
    reds = shapes.red(one.train.scenes).sum((1, 2))
    clear = shapes.rule(one.train.scenes) != shapes.UNCLEAR
    assert reds[clear].unique().tolist() == [1]
    assert reds[~clear].unique().tolist() == [0, 2]
    keys = torch.tensor([one.train.key_cell(i) for i in clear.nonzero()[:, 0].tolist()])
    assert (keys[:, 0] * 4 + keys[:, 1]).bincount(minlength=16).min() > 130  # of about 200


def test_the_picture_shows_the_scene():
    scene = torch.zeros(4, 4, dtype=torch.long)
    scene[1, 2], scene[3, 0] = 1, 6 + 1  # a red circle, a blue square
    picture = shapes.draw(scene, np.random.default_rng(0))
    assert torch.equal((picture * 255).round() / 255, picture)
    inked = (picture - picture[:, :1, :1]).abs().amax(0) > 0.05
    cells = inked.reshape(4, 16, 4, 16).any(3).any(1)
    assert cells.nonzero().tolist() == [[1, 2], [3, 0]]
    assert picture[:, 24, 40].tolist() == pytest.approx(shapes.COLOURS["red"], abs=0.06)
    assert picture[:, 56, 8].tolist() == pytest.approx(shapes.COLOURS["blue"], abs=0.06)


def test_the_bundled_net_follows_the_rule():
    net, test = load_classifier("shapes"), load_dataset("shapes").test
    images, indices = read_all(test, range(200))
    right = net.probabilities(images).argmax(1) == torch.tensor([test.label(i) for i in indices])
    assert right.sum() >= 196
    assert net.features(images[:1]).shape[2:] == (4, 4)


def test_a_map_cell_of_the_bundled_net_sees_its_own_cell_only():
    net, x = load_classifier("shapes"), load_dataset("shapes").test.read(0)[None].requires_grad_()
    net.features(x)[0, :, 1, 2].sum().backward()
    assert x.grad.abs().sum((0, 1)).reshape(4, 16, 4, 16).sum((1, 3)).nonzero().tolist() == [[1, 2]]


# ---------------------------------------------------------------- folders


def test_a_folder_for_each_class(tmp_path):
    write(tmp_path, wolf__b=png(2), wolf__deep__c=png(3), husky__a=png(1), husky__A=png(4))
    (tmp_path / "husky" / "notes.txt").write_text("no picture")
    (tmp_path / "husky" / ".hidden.png").write_bytes(png(5))
    (tmp_path / ".cache").mkdir()
    (tmp_path / "notes.txt").write_text("no picture")
    source = load_dataset(str(tmp_path)).test
    assert source.classes == ("husky", "wolf")
    names = [(Path(source.where(i)).name, source.label(i)) for i in range(len(source))]
    assert names == [("A.png", 0), ("a.png", 0), ("b.png", 1), ("c.png", 1)]
    assert source.read(2).unique().tolist() == pytest.approx([2 / 255])
    found = load_dataset(str(tmp_path))
    assert found.references is found.test


def test_pictures_without_classes(tmp_path):
    write(tmp_path, b=png(2), a=png(1), below__c=png(3))
    (tmp_path / "c.JPEG").write_bytes(b"broken")
    found = load_dataset(str(tmp_path), shape=(1, 4, 4))
    assert found.name == tmp_path.name
    assert [Path(found.test.where(i)).name for i in range(len(found.test))] == ["a.png", "b.png", "c.JPEG"]
    assert found.test.classes == ()
    assert found.test.label(0) is None
    images, readable = read_all(found.test)
    assert (images.shape, readable) == ((2, 1, 4, 4), [0, 1])


def test_files_by_name(tmp_path):
    write(tmp_path, b=png(2), a=png(1), below__c=png(3))
    (tmp_path / "picture").write_bytes(png(4))  # its name does not say that it is one
    (tmp_path / "dangling.png").symlink_to("nowhere")
    paths = [tmp_path / name for name in ("picture", "b.png", "below", "dangling.png")]
    source = load_files(paths).test
    assert [Path(source.where(i)).name for i in range(len(source))] == ["picture", "b.png", "c.png", "dangling.png"]
    assert source.read(0).max() == pytest.approx(4 / 255)
    assert code_of(source.read, 3) == "IMG-PERMISSION"
    assert code_of(load_files, [tmp_path / "none.png"]) == "DATA-NOT-FOUND"
    assert load_files([tmp_path]).name == load_dataset(str(tmp_path)).name
    assert len(load_dataset(str(tmp_path / "picture")).test) == 1


def test_no_pictures(tmp_path):
    assert refusal(load_dataset, str(tmp_path)).why.startswith("looked for .png, .jpg, ")
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "folder").mkdir()
    assert code_of(load_dataset, str(tmp_path)) == "DATA-EMPTY"
    assert code_of(load_files, [tmp_path, tmp_path / "folder"]) == "DATA-EMPTY"


def test_ids_are_the_contents(tmp_path):
    write(tmp_path, a=png(1), b=png(2), c=png(1), d=png(1))
    source = load_dataset(str(tmp_path)).test
    ids = [source.id(i) for i in (3, 1, 0, 2)]
    assert ids == [f"{ids[2]}-3", ids[1], ids[2], f"{ids[2]}-2"]
    assert len(ids[2]) == 16
    (tmp_path / "b.png").rename(tmp_path / "z.png")
    assert load_dataset(str(tmp_path)).test.id(3) == ids[1]
    (tmp_path / "broken.png").symlink_to("nowhere")
    unreadable = load_dataset(str(tmp_path)).test
    assert unreadable.id(1) == load_dataset(str(tmp_path)).test.id(1)
    assert unreadable.id(1) not in ids


def test_a_file_that_changes_after_its_id_was_asked_for(tmp_path):
    write(tmp_path, a=png(1), b=png(2, size=(60, 60)))
    source = load_dataset(str(tmp_path)).test
    source.id(0)
    write(tmp_path, a=png(3), b=png(4))
    assert code_of(source.read, 0) == "IMG-CHANGED"
    assert source.read(1).max() == pytest.approx(4 / 255)  # nobody has named it yet


@pytest.mark.parametrize(
    "name",
    [
        b"caf\xc3\xa9.png",
        b"cafe\xcc\x81.png",
        b"line\nbreak.png",
        b"\xe2\x80\xaertl.png",
        b"quote\"'<b>.png",
        b"-rf.png",
        b"CON.png",
        b"not \xff utf-8.png",
        b"x" * 240 + b".png",
        b"bell\x07.PNG",
    ],
)
def test_strange_names(tmp_path, name):
    (tmp_path / os.fsdecode(name)).write_bytes(png(9))
    source = load_dataset(str(tmp_path)).test
    assert source.read(0).max() == pytest.approx(9 / 255)
    assert source.where(0).encode("utf-8").endswith(name.replace(b"\xff", b"\\xff"))


def test_a_class_name_that_is_no_text(tmp_path):
    inner = tmp_path / os.fsdecode(b"class \xff")
    inner.mkdir()
    (inner / "a.png").write_bytes(png(9))
    assert load_dataset(str(tmp_path)).test.classes == ("class \\xff",)


def test_linked_folders_are_classes_and_do_not_hang(tmp_path):
    write(tmp_path / "far", a=png(1))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "near").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "again").symlink_to(tmp_path / "far")
    source = load_dataset(str(tmp_path / "set")).test
    assert (source.classes, len(source)) == (("near",), 1)


def test_seventeen_channels_are_refused():
    assert code_of(lambda: Folder(name="x", files=[], shape=(17, 8, 8))) == "DATA-SHAPE"


# ---------------------------------------------------------------- all of them


def test_every_bundled_classifier_has_a_data_set_of_its_own_kind():
    sources = {name: load_dataset(name).test for name in ("digits", "shapes", "faces", "faces/age")}
    kinds = {(found.classes, tuple(found.read(0).shape)) for found in sources.values()}
    for name in list_classifiers():
        net = load_classifier(name)
        assert (net.classes, net.shape) in kinds, name
    for name, found in sources.items():
        assert load_classifier(classifier_of(name)).classes == found.classes

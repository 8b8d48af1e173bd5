"""A user's folders as people keep them: parts, junk, loose pictures, and what is known of the pictures beside."""

import os
import subprocess
import sys
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image

from rather.config.pictures import PictureOptions
from rather.data.folder import Folder, load, load_files
from rather.data.source import Dataset
from rather.hub.datasets import load_dataset
from rather.train.pictures import load_to_train
from refusing import code_of, refusal


def picture(path: Path, value: int = 0, size: tuple[int, int] = (8, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)


def classes(folder: Path, *names: str, count: int = 2) -> Path:
    for n, name in enumerate(names):
        for each in range(count):
            picture(folder / name / f"{each}.png", 10 * n + each)
    return folder


def seen(dataset: Dataset) -> tuple[tuple[str, ...], int]:
    return dataset.test.classes, len(dataset.test)


# ---------------------------------------------------------------- layouts


@pytest.mark.parametrize("names", [("train", "test"), ("training", "validation"), ("Train", "valid", "testing")])
def test_parts_are_no_classes(tmp_path, names):
    for count, name in enumerate(names, start=2):
        classes(tmp_path / name, "cats", "dogs", count=count)
    found = load(tmp_path)
    assert seen(found) == (("cats", "dogs"), 2 * (len(names) + 1))  # the last of them is explained
    assert len(found.train) == 4
    assert found.references is found.train
    assert "is split" in found.notes[0]
    assert [found.test.label(0), found.test.label(len(found.test) - 1)] == [0, 1]


def test_one_part_alone_is_all_there_is(tmp_path):
    found = load(classes(tmp_path / "train", "cats", "dogs").parent)
    assert (seen(found), found.train) == ((("cats", "dogs"), 4), None)
    for name in ("a", "b"):
        picture(tmp_path / "loose" / "test" / f"{name}.png")
    assert seen(load(tmp_path / "loose")) == ((), 2)


def test_a_class_with_the_name_of_a_part_is_a_class(tmp_path):
    assert load(classes(tmp_path, "train", "bus", "car")).test.classes == ("bus", "car", "train")
    assert load(classes(tmp_path / "coins", "valid", "forged")).test.classes == ("forged", "valid")


def test_parts_with_other_folders_beside_them(tmp_path):
    for part in ("train", "test"):
        classes(tmp_path / part, "cats", "dogs")
    picture(tmp_path / "figures" / "a.png")
    picture(tmp_path / "cover.png")
    found = load(tmp_path)
    assert seen(found) == (("cats", "dogs"), 4)
    assert found.notes[1] == f"left out of {tmp_path.name}: loose pictures 1, other folders 1"


def test_classes_of_a_part_are_those_of_all_parts(tmp_path):
    classes(tmp_path / "train", "cats", "dogs", "eels")
    classes(tmp_path / "val", "dogs", "eels")
    found = load(tmp_path)
    assert found.test.classes == found.train.classes == ("cats", "dogs", "eels")
    assert [found.test.label(n) for n in range(4)] == [1, 1, 2, 2]


def test_hidden_empty_and_macos_folders_are_none(tmp_path):
    classes(tmp_path, "cats", "dogs", "__MACOSX", ".thumbnails")
    (tmp_path / "apes" / "young").mkdir(parents=True)
    found = load(tmp_path)
    assert seen(found) == (("cats", "dogs"), 4)
    assert found.notes == (f"left out of {tmp_path.name}: empty folders 1",)


def test_a_loose_picture_hides_no_classes(tmp_path):
    picture(classes(tmp_path, "cats", "dogs") / "cover.png")
    found = load(tmp_path)
    assert seen(found) == (("cats", "dogs"), 4)
    assert found.notes == (f"left out of {tmp_path.name}: loose pictures 1",)


def test_a_single_folder_beside_pictures_is_no_class(tmp_path):
    picture(classes(tmp_path, "thumbnails") / "a.png")
    assert (seen(load(tmp_path)), load(tmp_path).notes[0][-22:]) == (((), 1), "pictures in a folder 2")


def test_what_is_left_out_is_counted_by_kind(tmp_path):
    classes(tmp_path, "cats", "dogs")
    for name in ("a.txt", "b.TXT", "cats/c.heic", "dogs/README", ".hidden.txt"):
        (tmp_path / name).write_text("")
    (tmp_path / "cats" / "again").symlink_to(tmp_path / "dogs")
    kinds = ".txt 2, .heic 1, links to folders 1, without an ending 1"
    assert load(tmp_path).notes == (f"left out of {tmp_path.name}: {kinds}",)
    assert load_files([tmp_path / "cats", tmp_path / "dogs"]).notes[0].startswith("left out of the folders: ")


def test_of_a_gif_the_first_frame_is_read_and_that_is_said(tmp_path):
    frames = [Image.new("L", (8, 8), value) for value in (51, 204)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    found = load(tmp_path, shape=(1, 8, 8))
    assert found.test.read(0).unique().tolist() == pytest.approx([0.2])
    assert found.notes == ("of .gif files (1) the first frame is read",)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_are_equal_in_every_unicode_form(tmp_path, form):
    other = "NFD" if form == "NFC" else "NFC"
    classes(tmp_path / "train", normalize(form, "châtaigne"), "pomme")
    classes(tmp_path / "test", normalize(other, "châtaigne"), "pomme")
    found = load(tmp_path)
    assert found.test.classes == (normalize("NFC", "châtaigne"), "pomme")
    assert [found.test.label(n) for n in range(4)] == [0, 0, 1, 1]


# ---------------------------------------------------------------- grey folders and other channels


def test_grey_folders_train_nets_of_one_channel(tmp_path):
    grey = classes(tmp_path / "grey", "cats", "dogs")
    picture(grey / "cats" / "as-colour.png")
    Image.new("RGB", (8, 8), (9, 9, 9)).save(grey / "cats" / "as-colour.png")
    found = load_to_train(str(grey), 8)
    assert found.test.shape == (1, 8, 8)
    assert "takes 1 channel" in found.notes[-1]
    assert load_to_train(str(grey), 8, channels=3).test.shape == (3, 8, 8)
    Image.new("RGB", (8, 8), (9, 9, 8)).save(grey / "cats" / "as-colour.png")
    assert load_to_train(str(grey), 8).test.shape == (3, 8, 8)
    assert code_of(load_to_train, "digits", None, 3) == "CFG-OPTIONS"


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("count", [2, 5, 16])
def test_arrays_have_any_number_of_channels(tmp_path, count, first):
    values = np.random.default_rng(0).integers(256, size=(count, 20, 30), dtype=np.uint8)
    np.save(tmp_path / "a.npy", values if first else np.moveaxis(values, 0, -1))
    source = load(tmp_path, shape=(count, 20, 30)).test
    assert np.array_equal((source.read(0) * 255).numpy(), values)
    assert isinstance(source, Folder)
    assert source.channels() == count
    assert load_to_train(str(tmp_path), 16).test.read(0).shape == (count, 16, 16)
    wrong = load(tmp_path, shape=(7, 20, 30)).test
    assert refusal(wrong.read, 0).code == "IMG-CHANNELS"


# ---------------------------------------------------------------- annotations and masks


@pytest.fixture
def animals(tmp_path):
    return classes(tmp_path / "animals", "cats", "dogs")


def with_table(folder: Path, text: str) -> Dataset:
    table = folder.parent / "table.csv"
    table.write_text(text, "utf-8")
    return load(folder, shape=(1, 6, 6), options=PictureOptions(annotations=table))


@pytest.mark.parametrize("comma", [",", ";", "\t"])
def test_a_table_gives_labels_attributes_and_key_points(animals, comma):
    rows = [
        "file,label,furry,old,x_nose,y_nose,note",
        "cats/0.png,tom,1,0.5,4,3,fat",
        "animals/cats/1.png,queen,0,,,,",
        "dogs/0.png,,1,1,0,0,3",
    ]
    found = with_table(animals, "\ufeff" + "\r\n".join(rows).replace(",", comma))
    source = found.test
    assert source.classes == ("queen", "tom")
    assert [source.label(n) for n in range(4)] == [1, 0, None, None]
    assert source.attributes == ("furry", "old")
    assert source.attribute_values(0).tolist() == [1, 0.5]
    assert source.attribute_values(1)[1].isnan()
    assert source.attribute_values(3).isnan().all()
    assert source.point_names == ("nose",)
    assert source.key_points(0).flatten().tolist() == pytest.approx([0.5, 0.5, 1])  # 8 x 6, cut to 6 x 6
    assert source.key_points(2)[0, 2] == source.key_points(1)[0, 2] == 0  # cut off, not known
    assert found.notes == (
        "table.csv: it knows 3 of 4 pictures; columns that are no numbers from 0 to 1 are not used: note",
    )


def test_a_table_names_files_in_every_unicode_form_and_goes_with_parts(tmp_path):
    for part in ("train", "test"):
        picture(tmp_path / "animals" / part / "cats" / normalize("NFD", f"{part}-é.png"))
        picture(tmp_path / "animals" / part / "dogs" / f"{part}.png")
    found = with_table(tmp_path / "animals", normalize("NFC", "file,old\ntrain-é.png,1\ntest-é.png,0\n"))
    assert found.train.attribute_values(0).tolist() == [1]
    assert found.test.attribute_values(0).tolist() == [0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name,old\ncats/0.png,1", "columns: name, old"),
        ("file,old,old\ncats/0.png,1,1", "columns: file, old, old"),
        ("file,old\ncats/0.png,1,2", "row 2: 3 cells of 2"),
        ("file,old\ncats/0.png,1\ncats/0.png,0", "row 3: a second row of cats/0.png"),
        ("file,old\n0.png,1", "0.png is the name of 2 pictures"),
        ("file,old\nmice/7.png,1", "none of its 1 files is among the pictures"),
        ("", "it is empty"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(animals, text, why):
    error = refusal(with_table, animals, text)
    assert (error.code, error.why[: len(why)]) == ("DATA-DAMAGED", why)
    assert "official" not in error.do or why == "it is empty"


def test_labels_that_are_numbers_are_in_their_order(animals):
    table = "file,label\ncats/0.png,10\ncats/1.png,9\ndogs/0.png,2\n"
    assert with_table(animals, table).test.classes == ("2", "9", "10")


def test_masks_mark_one_object_or_number_regions(animals):
    masks = animals.parent / "masks"
    options = PictureOptions(masks=masks)
    regions = np.zeros((6, 8), np.uint8)
    regions[:, 4:] = 255
    for name in ("cats/0.png", "dogs/1.png"):
        (masks / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(regions).save(masks / name)
    found = load(animals, shape=(1, 6, 6), options=options)
    assert found.test.regions == ("background", "object")
    assert found.test.layout(0).tolist() == [[0, 0, 0, 1, 1, 1]] * 6
    assert found.notes == ("masks: 2 of 4 pictures have one",)
    assert code_of(found.test.layout, 1) == "DATA-NOT-FOUND"
    numbered = Image.fromarray(np.where(regions == 255, 2, 1).astype(np.uint8), mode="P")
    numbered.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])  # as annotation tools write them
    numbered.save(masks / "cats" / "0.png")
    found = load(animals, shape=(1, 6, 6), options=options)
    assert found.test.regions == ("background", "1", "2")
    assert found.test.layout(0).tolist() == [[1, 1, 1, 2, 2, 2]] * 6
    assert found.test.layout(3).unique().tolist() == [0]  # where others have numbers, 255 is what nobody marked
    (masks / "regions.txt").write_text("sky\nhead\ntail\n")
    assert load(animals, options=options).test.regions == ("sky", "head", "tail")
    (masks / "regions.txt").write_text("sky\n")
    assert code_of(load, animals, options=options) == "DATA-DAMAGED"


def test_options_are_of_folders_only(animals, tmp_path):
    options = PictureOptions(annotations=tmp_path / "none.csv")
    assert code_of(load_dataset, "digits", options=options) == "CFG-OPTIONS"
    assert code_of(load, animals, options=options) == "DATA-NOT-FOUND"
    assert code_of(load, animals, options=PictureOptions(masks=tmp_path / "none")) == "DATA-NOT-FOUND"
    assert code_of(lambda: PictureOptions(background="pink")) == "CFG-SETTING"


# ---------------------------------------------------------------- the command line


def rather(here: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rather", *map(str, words)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=here, env=env, capture_output=True, text=True, check=False)


def test_the_command_line_reads_such_folders_and_says_so(tmp_path):
    random = np.random.default_rng(0)
    for part, count in {"train": 6, "test": 2}.items():
        for kind, light in {"dark": 60, "light": 180}.items():
            for n in range(count):
                path = tmp_path / "set" / part / kind / f"{n}.tif"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(random.integers(light, light + 60, (12, 12), dtype=np.uint8)).save(path)
    table = ["file,soft", *(f"train/{kind}/{n}.tif,{n % 2}" for kind in ("dark", "light") for n in range(6))]
    (tmp_path / "table.csv").write_text("\n".join([*table, "test/dark/0.tif,1", "test/light/1.tif,0"]))
    trained = rather(
        tmp_path, *["train", "classifier", "--data", "set", "--size", "12", "--epochs", "2", "--out", "net.safetensors"]
    )
    assert trained.returncode == 0, trained.stderr
    assert "of 4 test pictures" in trained.stdout
    assert "the folder is split (test 4, train 12)" in trained.stderr
    assert "takes 1 channel" in trained.stderr
    oracle = "train oracle --data set --annotations table.csv --size 16 --set steps=2 --set width=8 --out o.safetensors"
    assert rather(tmp_path, *oracle.split()).returncode == 0
    explained = rather(
        tmp_path, *["explain", "set", "--classifier", "net.safetensors", "--method", "attack", "--out", "run"]
    )
    assert explained.returncode == 0, explained.stderr
    assert "dark/0.tif" in explained.stdout


def test_a_net_of_five_channels_is_trained_and_explained(tmp_path):
    random = np.random.default_rng(0)
    for kind, bright in {"dry": 1, "wet": 3}.items():
        for n in range(12):
            values = random.integers(0, 120, (5, 12, 20), dtype=np.uint8)
            values[bright] += 90
            (tmp_path / "fields" / kind).mkdir(parents=True, exist_ok=True)
            np.save(tmp_path / "fields" / kind / f"{n}.npy", values)
    trained = rather(
        tmp_path,
        *["train", "classifier", "--data", "fields", "--size", "12", "--epochs", "2", "--out", "net.safetensors"],
    )
    assert trained.returncode == 0, trained.stderr
    words = "explain fields --classifier net.safetensors --method attack,wachter --count 4 --out run"
    explained = rather(tmp_path, *words.split())
    assert explained.returncode == 0, explained.stderr
    assert rather(tmp_path, "export", next((tmp_path / "run").glob("*attack*")), "--png", "out").returncode == 0
    assert {path.suffix for path in (tmp_path / "out" / "fields").rglob("*.*")} == {".png", ".npy"}

"""Where labels are known, it is said how many of them the classifier says, and what is odd about that."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from analytic import spatial
from rather.commands.cli import main
from rather.data.agreement import agreement
from rather.generators.ddpm import Denoiser
from rather.generators.noise_schedule import linear
from rather.runs.store import Run

CLASSES = ("green", "red", "blue")
SWAPPED = {"red": "green", "green": "red", "blue": "blue"}
NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(3, 3)
        with torch.no_grad():
            self.last.weight.copy_(20 * torch.eye(3))
            self.last.bias.zero_()

    def forward(self, x):
        return self.last(x.mean((2, 3)))
"""
RIGHT = "--classes red --classes green --classes blue"


def pairs(said, each=12):
    return [(label, name) for label, name in said.items() for _ in range(each)]


def test_agreement_is_counted_by_class():
    found = agreement([*pairs(SWAPPED), (None, "red"), ("red", None)], CLASSES)
    assert str(found) == "agrees with the label on 12 of 36 images (33 %)"
    assert found.told() == {"right": 12, "of": 36, "by_class": {"green": [0, 12], "red": [0, 12], "blue": [12, 12]}}
    assert agreement([(None, "red")], CLASSES) is None


@pytest.mark.parametrize(
    ("given", "warning"),
    [
        (pairs(SWAPPED), f"fit 12 of 36 images, as follows 36: {RIGHT}"),
        (pairs(SWAPPED, 3), f"fit 3 of 9 images, as follows 9: {RIGHT}"),
        (pairs(dict.fromkeys(CLASSES, "red")), "says red of all 36 images"),
        ([(label, said) for label in CLASSES for said in CLASSES] * 4, "as often as by chance (33 %)"),
        (
            pairs({"cats": "red"}),
            "no class is called cats: the classes are green, red, blue. Say which class it is: --la",
        ),
        (pairs({"rot": "green", "gruen": "red", "blau": "blue"}), "--classes rot --classes gruen --classes blau"),
    ],
)
def test_what_is_odd_is_said_once(given, warning):
    (said,) = agreement(given, CLASSES).warnings()
    assert warning in said


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
@pytest.mark.parametrize("count", [12, 36, 100])
def test_a_good_classifier_is_hardly_ever_warned_of_and_a_random_one_never_called_permuted(classes, count):
    rng, names = np.random.default_rng(0), [str(n) for n in range(classes)]
    good = permuted = 0
    for _ in range(40):
        labels = [names[n % classes] for n in range(count)]
        guesses = [names[n] for n in rng.integers(classes, size=count)]
        mostly = [a if rng.random() < 0.9 else b for a, b in zip(labels, guesses, strict=True)]
        good += bool([*agreement(zip(labels, mostly, strict=True), names).warnings()])
        warnings = agreement(zip(labels, guesses, strict=True), names).warnings()
        permuted += any("another order" in one for one in warnings)
    assert good <= 4
    assert permuted <= 4


def test_a_good_classifier_of_one_folder_is_not_warned_of():
    assert [*agreement(pairs({"red": "red"}), CLASSES).warnings()] == []


def test_a_thousand_classes_are_named_where_they_move():
    names = [f"class {n}" for n in range(1000)]
    moved = {"class 3": "class 7", "class 7": "class 3"} | {f"class {n}": f"class {n}" for n in (1, 2, 4)}
    (said,) = agreement(pairs(moved), names).warnings()
    assert said.endswith("class 7 for class 3, class 3 for class 7")


@pytest.fixture
def words(tmp_path, monkeypatch):
    """Of nets that know red, green and blue: pictures, and the net with two names exchanged."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    rng = np.random.default_rng(0)
    for c, name in enumerate(("red", "green", "blue")):
        Path("own", name).mkdir(parents=True)
        for n in range(4):
            image = rng.integers(0, 60, (8, 8, 3), dtype=np.uint8)
            image[..., c] += 150
            Image.fromarray(image).save(f"own/{name}/{n}.png")
    trust = "sha256:" + hashlib.sha256(NET.encode()).hexdigest()
    names = [word for name in CLASSES for word in ("--classes", name)]
    return ["own", "--classifier", "net.py:Net", "--shape", "3", "8", "8", *names, "--trust", trust]


def run(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(list(words))
    assert end.value.code == 0
    return capsys.readouterr()


def test_explain_says_so_in_the_terminal_in_json_and_on_the_page(words, capsys):
    search = ["--method", "wachter", "--set", "lr=0.1", "--target", "blue", "--out", "run"]
    out, err = run(capsys, "explain", *words, *search)
    assert "Net agrees with the label on 4 of 12 images (33 %)" in out
    assert RIGHT in err
    out, _ = run(capsys, "explain", *words, *search, "--json")
    told = json.loads(out)
    assert told["agreement"]["Net"]["by_class"] == {"green": [0, 4], "red": [0, 4], "blue": [4, 4]}
    assert any(RIGHT in note for note in told["notes"])
    page = Path("run/report.html").read_text("utf-8")
    assert "agrees with the label on 4 of 12 images" in page
    assert RIGHT in page
    assert "the prediction is wrong" in page


def test_whoever_has_another_name_for_a_class_is_not_called_wrong(words, capsys):
    Path("own/red").rename("own/rouge")
    search = ["--method", "wachter", "--set", "lr=0.1", "--target", "blue", "--out", "run"]
    _, err = run(capsys, "explain", *words, *search)
    assert "no class is called rouge" in err
    page = Path("run/report.html").read_text("utf-8")
    assert "label <bdi>rouge</bdi> ·" in page
    assert "no class is called rouge" in page


def test_an_audit_warns(words, capsys):
    out, _ = run(capsys, "audit", *words, "--out", "run")
    assert "agrees with the label on 4 of 12 images" in out
    assert "1 warnings" in out
    assert RIGHT in " ".join(out.split())
    assert RIGHT in Path("run/audit.html").read_text("utf-8")


def test_notes_are_kept_with_the_run(tmp_path):
    first = Run.start(tmp_path, {}, ["a"], 1, notes=["mind the gap"])
    assert first.notes == Run.open(tmp_path).notes == ("mind the gap",)
    assert Run.start(tmp_path, {}, ["a"], 1).notes == ()


@pytest.mark.parametrize(("gain", "noted"), [(1.0, False), (0.0, True)])
def test_a_diffusion_model_that_leaves_the_noise_is_noted(gain, noted):
    class Net(nn.Module):
        """Knows the noise of grey pictures, or only a share of it."""

        def forward(self, z, step):
            a = levels[step][:, None, None, None]
            return gain * z / (1 - a).sqrt()

    levels = linear(100).float()
    denoiser = Denoiser(Net(), shape=(1, 6, 6), alpha_bar=levels, name="mine")
    notes = denoiser.preflight(spatial(), torch.full((3, 1, 6, 6), 0.5))
    assert any(note.startswith("GEN-NOISE: mine removes 0 % of the noise") for note in notes) == noted

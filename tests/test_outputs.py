"""What a net's numbers mean, what the classes are called, and what may be asked of labels and of values."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from rather.classifiers.names import names_of
from rather.commands.cli import main
from rather.core import Classifier, preflight
from rather.runs.store import Run
from refusing import refusal

BRIGHT = """
import torch
from torch import nn

class Net(nn.Module):
    def forward(self, x):
        bright = 20 * (x.mean((1, 2, 3)) - 0.5)
        return torch.stack([-bright, bright], 1)

def make():
    return Net()
"""


@pytest.fixture
def cli(capsys, tmp_path, monkeypatch):
    """Run a command in a folder of its own: its exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        with pytest.raises(SystemExit) as end:
            main(list(map(str, words)))
        return end.value.code, *capsys.readouterr()

    return run


def code_file(name, text):
    """A file of code, and the words that name it and trust it."""
    Path(name).write_text(text)
    digest = hashlib.sha256(Path(name).read_bytes()).hexdigest()
    return ["--classifier", f"{name}:make", "--shape", 3, 8, 8, "--trust", f"sha256:{digest}"]


def pictures(*folders, count=2):
    """Folders of grey pictures, darker and lighter ones."""
    for n, folder in enumerate(folders):
        Path(folder).mkdir(parents=True)
        for i in range(count):
            grey = np.full((8, 8, 3), 60 + 100 * n + 9 * i, np.uint8)
            Image.fromarray(grey).save(f"{folder}/{i}.png")


def test_labels_say_which_class_a_folder_holds(cli):
    pictures("mine/night", "mine/day")
    words = ["explain", "mine", *code_file("net.py", BRIGHT), "--classes", "dark", "--classes", "light"]
    words += ["--method", "attack", "--target", "next", "--out", "run"]
    code, _, error = cli(*words, "--labels", "night=dark", "--labels", "day=1")
    assert (code, error) == (0, ""), error
    assert {(row.where.split("/")[1], row.label) for row in Run.open("run").rows()} == {
        ("night", "dark"),
        ("day", "light"),
    }
    code, _, error = cli(*words, "--labels", "nigth=dark")
    assert (code, "Did you mean night" in error) == (2, True)
    code, _, error = cli(*words, "--labels", "night=drak")
    assert (code, "Did you mean dark" in error) == (2, True)
    code, _, error = cli("explain", "--labels", "0=1")
    assert (code, "no folder of yours" in error) == (2, True)


# Names of classes


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("names.txt", "cat\n a dog \ncafe\u0301\n\n"),
        ("names.txt", "\ufeffcat\r\na dog\r\ncaf\u00e9"),
        ("names.json", json.dumps(["cat", "a dog", "caf\u00e9"])),
        ("names.json", json.dumps({"2": "caf\u00e9", "0": "cat", "1": "a dog"})),
        ("names.json", json.dumps({"cat": 0, "a dog": 1, "caf\u00e9": 2})),
        ("names.json", json.dumps({"0": ["n01", "cat"], "1": ["n02", "a dog"], "2": ["n03", "caf\u00e9"]})),
        ("config.json", json.dumps({"id2label": {"0": "cat", "1": "a dog", "2": "caf\u00e9"}, "more": 1})),
    ],
)
def test_a_file_names_the_classes(tmp_path, file, text):
    path = tmp_path / file
    path.write_text(text, "utf-8")
    assert names_of([str(path)]) == names_of(path) == ("cat", "a dog", "caf\u00e9")


def test_a_file_may_have_any_name_and_twins_get_their_numbers(tmp_path):
    path = tmp_path / "names of mine"
    path.write_text("crane\ncat\ncrane\n")
    assert names_of(str(path)) == ("crane (0)", "cat", "crane (2)")
    assert names_of(["no such file"]) == ("no such file",)


@pytest.mark.parametrize("text", ["", "cat\n\ndog", "\xff"])
def test_a_file_that_names_nothing_is_refused(tmp_path, text):
    path = tmp_path / "names.txt"
    path.write_bytes(text.encode("latin-1"))
    error = refusal(names_of, path)
    assert (error.code, str(path) in str(error)) == ("MODEL-CLASSES", True)
    assert refusal(names_of, "missing.txt").code == "MODEL-CLASSES"


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '{"0": "cat", "2": "dog"}', '{"a": "b"}', "3", "[]", "{}", "null"])
def test_json_that_names_nothing_is_refused(tmp_path, text):
    path = tmp_path / "names.json"
    path.write_text(text)
    assert refusal(names_of, path).code == "MODEL-CLASSES"


def test_names_are_equal_in_every_unicode_form_and_a_hint_forgives_capitals():
    net = Classifier(nn.Flatten(), shape=(1, 1, 2), classes=["cafe\u0301", "Tea"])
    assert net.classes == ("caf\u00e9", "Tea")
    assert net.class_index("cafe\u0301") == net.class_index("caf\u00e9") == net.class_index("0") == 0
    assert "Did you mean Tea" in str(refusal(net.class_index, "TEA"))


def test_a_thousand_outputs_may_be_those_of_imagenet():
    def net(x):
        return x.flatten(1)[:, :1] * torch.linspace(0.5, 1, 1000)

    x = torch.rand(3, 1, 8, 8)
    assert "--classes imagenet" in preflight(Classifier(net, shape=(1, 8, 8)), x)[0]
    named = Classifier(net, shape=(1, 8, 8), classes="imagenet")
    assert (named.classes[281], len({*named.classes}), preflight(named, x)) == ("tabby", 1000, [])

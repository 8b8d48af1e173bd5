"""What a net's numbers mean, what the classes are called, and what may be asked of labels and of values."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rather.commands.cli import main
from rather.runs.store import Run

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

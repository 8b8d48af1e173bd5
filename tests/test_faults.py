"""A net of a stranger that prints, raises, ends the program or hangs: it harms one image, and no output."""

import hashlib
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import rather
from rather.commands.cli import main
from rather.config.errors import RatherError
from rather.runs.store import Run

NET = """
import sys
import time
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, fault):
        super().__init__()
        self.last, self.fault = nn.Linear(3, 3), fault
        with torch.no_grad():
            self.last.weight.copy_(20 * torch.eye(3))
            self.last.bias.zero_()

    def forward(self, x):
        print("a word of the net")
        if (x.amax((1, 2, 3)) == 0).any():
            self.fault()
        return self.last(x.mean((2, 3)))

def fail():
    raise ValueError("nothing to be seen")

def raising(): return Net(fail)
def leaving(): return Net(sys.exit)
def hanging(): return Net(lambda: time.sleep(100))
"""


@pytest.fixture
def words(tmp_path, monkeypatch):
    """The words of a command that explains four pictures, of which one is black."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "own").mkdir()
    for n, level in enumerate((0, 60, 120, 180)):
        Image.fromarray(np.full((8, 8, 3), (level, level // 2, 0), np.uint8)).save(f"own/{n}.png")
    trust = "sha256:" + hashlib.sha256(NET.encode()).hexdigest()
    return ["--shape", "3", "8", "8", "--trust", trust, "--json", "--out", "run"]


def run(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(list(words))
    out, err = capsys.readouterr()
    return end.value.code, json.loads(out), err


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ("raising", "MODEL-FAILS", "own/0.png (ValueError: nothing to be seen)"),
        ("leaving", "MODEL-FAILS", "own/0.png (it ends the program: exit None)"),
        ("hanging", "RUN-TIMEOUT", "own/0.png"),
    ],
)
def test_a_net_harms_its_row_and_no_output(words, capsys, fault, code, said):
    search = ["--method", "wachter", "--set", "lr=0.1", "--target", "2", "--timeout", "1", "--batch-size", "2"]
    end, told, err = run(capsys, "explain", "own", "--classifier", f"net.py:{fault}", *search, *words)
    assert (end, told["found"], told["failed"]) == (3, 3, 1)
    assert "a word of the net" in err
    (wrong,) = (row for row in Run.open("run").rows() if row.status == "failed")
    assert wrong.code == code
    assert said in wrong.message


def test_an_audit_prints_its_own_words_alone(words, capsys):
    end, told, err = run(capsys, "audit", "own", "--classifier", "net.py:raising", *words)
    assert (end, told["rows"]) == (3, 3)
    assert "a word of the net" in err


def test_in_memory_too_an_image_at_fault_fails_alone():
    class Fussy(nn.Module):
        def forward(self, x):
            if (x.amax((1, 2, 3)) == 0).any():
                raise ValueError("too dark")
            bright = x.mean((1, 2, 3)) - 0.9
            return torch.stack([-bright, bright], 1)

    x = torch.rand(5, 1, 4, 4).clamp(min=0.1)
    x[2] = 0
    net = rather.Classifier(Fussy(), shape=(1, 4, 4))
    found = rather.explain(net, x, "wachter", target="next")
    assert found.status[2] == "failed"
    assert "failed" not in found.status[:2] + found.status[3:]
    row = found[2]
    assert (row.reason, row.predicted, row.target) == ("MODEL-FAILS", "", "")
    assert "too dark" in row.info["error"]
    assert "MODEL-FAILS" in repr(row)
    assert found.to_dict()["status"][2] == "failed"
    with pytest.raises(RatherError, match="too dark"):
        rather.explain(net, x[2:3], "wachter", target="next")

"""Searches of every kind still give the answers that they gave when golden.npz was made.

A change that is meant to change them makes the file again: `python tests/test_golden.py`.
"""

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from PIL import Image

from rather.commands.cli import main
from rather.runs.store import Run

GOLDEN = Path(__file__).with_name("golden.npz")
CASES = {
    "goyal": "",
    "goyal by its pictures": "--method goyal --set score_on=picture --set distractor=nearest",
    "minimum_edit": "",
    "nearest": "",
    "wachter": "--set steps=100",
    "schut": "",
    "revise": "--set steps=40",
    "clarity@digits-latent": "",
    "dive": "--set count=2",
    "maskdime": "--set tau=5 --set scales=[15.0]",
    "attack": "--set steps=40",
    "ace-digits-fast": "--set steps=6",
}
#: They follow the sign of a gradient: where it is next to nothing, another processor's rounding turns a step.
SIGNED = {"attack", "ace-digits-fast"}


def answers(name, folder):
    """The counterfactuals of two digits (2, 28, 28), in grey levels, and the rows' statuses."""
    method = [] if "--method" in CASES[name] else ["--method", name]
    words = [*method, *CASES[name].split(), "--count", "2", "--target", "next"]
    for command in (["explain", *words, "--out", folder], ["export", folder, "--png", f"{folder}/png"]):
        with suppress(SystemExit):
            main(command)
    rows = [*Run.open(folder).rows()]
    pictures = [np.asarray(Image.open(f"{folder}/png/{row.id}.png")) for row in rows]
    return np.stack(pictures).astype(int), [row.status for row in rows]


@pytest.mark.parametrize("name", CASES)
def test_the_answers_are_those_of_the_record(name, tmp_path):
    with np.load(GOLDEN) as record:
        pictures, statuses = record[name], record[f"{name}, statuses"].tolist()
    now, said = answers(name, str(tmp_path / "run"))
    assert said == statuses
    if name not in SIGNED:
        assert np.abs(now - pictures).max() <= 1  # a grey level: processors round differently


if __name__ == "__main__":
    torch.set_num_threads(1)
    record = {}
    for name in CASES:
        with TemporaryDirectory() as folder:
            pictures, statuses = answers(name, f"{folder}/run")
        record |= {name: pictures.astype(np.uint8), f"{name}, statuses": np.array(statuses)}
    np.savez_compressed(GOLDEN, **record)

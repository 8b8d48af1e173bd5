"""How much memory a piece of work takes."""

import subprocess
import sys

import pytest
import torch

from rather.io.memory import peak

CPU = torch.device("cpu")
THREE_TIMES = """
import torch
from rather.io.memory import peak

for _ in range(3):  # what the first has freed must not hide the second
    with peak(torch.device("cpu")) as memory:
        parts = [torch.ones(2**18) for _ in range(64)]  # 64 times a MiB
        del parts
        print(memory())
with peak(torch.device("cpu")) as memory:
    pass
print(memory())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_a_peak_is_seen_each_time_and_after_it_is_over():
    # In a process of its own: pages that others left cold may be taken away meanwhile, and would be missed.
    said = subprocess.run([sys.executable, "-c", THREE_TIMES], check=True, capture_output=True, text=True)
    *taken, nothing = map(int, said.stdout.split())
    assert all(60e6 < one < 90e6 for one in taken)
    assert nothing < 10e6


def test_where_the_system_does_not_tell_it_is_not_known(monkeypatch, tmp_path):
    monkeypatch.setattr("rather.io.memory._SELF", tmp_path / "none")
    with peak(CPU) as memory:
        pass
    assert memory() is None

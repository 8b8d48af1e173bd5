"""How much memory a piece of work takes."""

import sys

import pytest
import torch

from rather.memory import peak

CPU = torch.device("cpu")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_a_peak_is_seen_each_time_and_after_it_is_over():
    for _ in range(3):  # what the first has freed must not hide the second
        with peak(CPU) as memory:
            parts = [torch.ones(2**18) for _ in range(64)]  # 64 times a MiB
            del parts
            taken = memory()
        assert 60e6 < taken < 90e6
    with peak(CPU) as memory:
        pass
    assert memory() < 10e6


def test_where_the_system_does_not_tell_it_is_not_known(monkeypatch, tmp_path):
    monkeypatch.setattr("rather.memory._SELF", tmp_path / "none")
    with peak(CPU) as memory:
        pass
    assert memory() is None

"""What every test shares: one thread, faster on small nets, and the markers for shapes and numbers."""

import pytest
import torch

torch.set_num_threads(1)
collect_ignore = ["typed_script.py"]  # mypy reads it, and test_public runs it with a net that is there


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "shapes: runs a second time with the shapes in the types checked")
    config.addinivalue_line("markers", "numbers: runs a second time with another processor's instructions")

"""What every test shares: one thread, many times faster on small nets, and the marker for shapes."""

import pytest
import torch

torch.set_num_threads(1)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "shapes: runs a second time with the shapes in the types checked")

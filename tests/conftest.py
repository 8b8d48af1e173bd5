"""What every test shares: one thread (many times faster on small nets), and tiny classifiers."""

import torch

torch.set_num_threads(1)

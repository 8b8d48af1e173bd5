"""A mean and how sure it is: what every figure of the benchmarks is told as."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rather.stats import wilson

RESAMPLES = 2_000


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval: Wilson's for a share of rows, else a bootstrap's over rows."""

    mean: float
    low: float
    high: float
    rows: int

    @classmethod
    def of(cls, values: Tensor) -> Estimate:
        """Of a value for each row; of several for each, a row being drawn with all of its own."""
        each = values.double().view(len(values), -1).mean(1).numpy()
        n, mean = len(each), float(each.mean())
        if values.dtype == torch.bool:
            low, high = wilson(int(each.sum()), n)
        else:
            stream = np.random.default_rng(0)
            means = [each[stream.integers(n, size=n)].mean() for _ in range(RESAMPLES)]
            low, high = np.percentile(means, [2.5, 97.5]).tolist()
        return cls(mean, low, high, n)

    @classmethod
    def resampled(cls, count: int, statistic: Callable[[Tensor], Tensor]) -> Estimate:
        """Of a statistic of all rows, which takes their places: its bootstrap's over rows.

        A draw of rows in which it is not defined is left out.
        """
        stream = np.random.default_rng(0)
        draws = [torch.from_numpy(stream.integers(count, size=count)) for _ in range(RESAMPLES)]
        found = torch.stack([statistic(rows) for rows in draws]).double().numpy()
        found = found[~np.isnan(found)]
        low, high = np.percentile(found, [2.5, 97.5]).tolist() if len(found) else (math.nan, math.nan)
        return cls(float(statistic(torch.arange(count))), low, high, count)

    @classmethod
    def jackknifed(cls, count: int, statistic: Callable[[Tensor], Tensor], groups: int = 20) -> Estimate:
        """Of a statistic that is biased in small samples, as a Frechet distance is: by leaving groups out.

        A bootstrap would resample the bias as well, and miss the figure itself.
        """
        order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
        parts = order.chunk(groups)
        without = torch.stack([statistic(torch.cat([*parts[:n], *parts[n + 1 :]])) for n in range(len(parts))])
        whole = float(statistic(torch.arange(count)))
        share = (len(parts) - 1) / len(parts)
        half = 1.959964 * math.sqrt(share * float((without - without.mean()).square().sum()))
        return cls(whole, max(whole - half, 0.0), whole + half, count)

    def line(self, what: str, paper: str = "", *, percent: bool = False) -> str:
        """A row of a table: what | paper | here | 95 % interval | rows."""
        factor, digits, unit = (100, 1, " %") if percent else (1, 2, "")
        mean, low, high = (f"{factor * value:.{digits}f}" for value in (self.mean, self.low, self.high))
        return f"| {what} | {paper} | {mean}{unit} | {low} to {high} | {self.rows:,} |"

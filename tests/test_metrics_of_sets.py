"""Metrics of sets take many samples of the rows at once: each has the value of the rows so repeated."""

import math

import pytest
import torch

from rather.config.errors import RatherError
from rather.metrics import distribution, frechet, kid, load_metrics

ROWS, ATTRIBUTES = 17, 6
SETS = [name for name, metric in load_metrics().items() if not metric.per_row]


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


CONSTANTS = {
    "queried": 2,
    "labels": torch.rand(50, ATTRIBUTES, generator=drawn(0)),
    "effects": torch.tensor([0.3, -2.0, 0.3, 0.0, 1.0, 0.1], dtype=torch.float64),
}


def columns(size: int) -> dict[str, torch.Tensor]:
    before = torch.rand(ROWS, ATTRIBUTES, generator=drawn(3)).double()
    after = torch.rand(ROWS, ATTRIBUTES, generator=drawn(4)).double().round(decimals=1)
    return {
        "features_before": torch.randn(ROWS, size, generator=drawn(1)).double(),
        "features_after": torch.randn(ROWS, size, generator=drawn(2)).double() * 3 + 1,
        "attributes_before": before,
        "attributes_after": after,
        "changes": after - before,
        "halves": torch.rand(ROWS, 4, generator=drawn(5)).argsort(0) % 2,
    }


@pytest.mark.parametrize("size", [3, 12, 80])  # of features: fewer than rows of a half, more, more than all
@pytest.mark.parametrize("name", SETS)
def test_a_sample_has_the_value_of_its_rows(name, size):
    metric, rows_of = load_metrics()[name], columns(size)
    left_out = (torch.rand(6, ROWS, generator=drawn(6)) > 0.2).double()
    repeated = torch.randint(0, 4, (6, ROWS), generator=drawn(7)).double()
    weights = torch.cat([left_out, repeated, torch.eye(ROWS, dtype=torch.float64)[:1]])
    constants = {key: value for key, value in CONSTANTS.items() if key in metric.needs}

    def value(rows, **more):
        chosen = {key: one[rows] for key, one in rows_of.items() if key in metric.needs}
        return metric.function(**chosen, **constants, **more)

    found = value(torch.arange(ROWS), weights=weights)
    for times, one in zip(weights.long(), found, strict=True):
        try:
            expected = float(value(torch.arange(ROWS).repeat_interleave(times)))
        except RatherError:  # too few rows
            expected = math.nan
        assert float(one) == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)


def test_a_picture_is_not_compared_with_its_own_counterfactual():
    x, y = columns(3)["features_after"], columns(3)["features_before"]

    def k(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a @ b / 3 + 1) ** 3)

    pairs = [(i, j) for i in range(ROWS) for j in range(ROWS) if i != j]
    slow = sum(k(x[i], x[j]) + k(y[i], y[j]) - 2 * k(x[i], y[j]) for i, j in pairs) / len(pairs)
    assert float(kid(x, y)) == pytest.approx(slow, rel=1e-9)


def test_in_parts_as_at_once(monkeypatch):
    features, weights = [columns(12)[f"features_{when}"] for when in ("after", "before")], torch.ones(5, ROWS).double()
    whole = frechet(*features, weights=weights), kid(*features, weights=weights)
    monkeypatch.setattr(distribution, "_NUMBERS", 1)
    torch.testing.assert_close((frechet(*features, weights=weights), kid(*features, weights=weights)), whole)


def test_features_that_are_not_finite_have_no_distance():
    x, y = columns(3)["features_after"], columns(3)["features_before"]
    x[0, 0] = torch.inf
    assert frechet(x, y).isnan()
    assert frechet(x, y, weights=torch.ones(2, ROWS).double()).isnan().all()

"""Intervals and tests take measures of many samples at once: each is what the metric gives of its rows."""

import pytest
import torch

from rather.bench import samples
from rather.bench.judges import Nets
from rather.bench.measures import MEASURES, value
from rather.core import Classifier

ROWS, ATTRIBUTES = 17, 6
SETS = [name for name, measure in MEASURES.items() if not measure.per_row]


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


NETS = Nets(
    classifier=Classifier(torch.nn.Identity(), torch.nn.Flatten(), classes=("a", "b"), shape=(1, 1, 2), name="none"),
    attribute=2,
    labels=torch.rand(50, ATTRIBUTES, generator=drawn(0)),
    effects=torch.tensor([0.3, -2.0, 0.3, 0.0, 1.0, 0.1], dtype=torch.float64),
)


def columns(size: int) -> dict[str, torch.Tensor]:
    return {
        "features_before": torch.randn(ROWS, size, generator=drawn(1)).double(),
        "features_after": torch.randn(ROWS, size, generator=drawn(2)).double() * 3 + 1,
        "attributes_before": torch.rand(ROWS, ATTRIBUTES, generator=drawn(3)).double(),
        "attributes_after": torch.rand(ROWS, ATTRIBUTES, generator=drawn(4)).double().round(decimals=1),
        "halves": torch.rand(ROWS, 4, generator=drawn(5)).argsort(0) % 2,
    }


@pytest.mark.parametrize("size", [3, 12, 80])  # of features: fewer than rows of a half, more, more than all
@pytest.mark.parametrize("name", SETS)
def test_a_sample_is_worth_what_the_metric_gives_of_its_rows(name, size):
    measure, told = MEASURES[name], columns(size)
    left_out = (torch.rand(6, ROWS, generator=drawn(6)) > 0.2).double()
    repeated = torch.randint(0, 4, (6, ROWS), generator=drawn(7)).double()
    one_row = torch.eye(ROWS, dtype=torch.float64)[:1]
    weights = torch.cat([left_out, repeated, one_row])
    assert measure.samples is not None
    found = measure.samples({key: told[key] for key in measure.columns}, NETS, weights)
    for times, one in zip(weights.long(), found, strict=True):
        rows = torch.arange(ROWS).repeat_interleave(times)
        expected = value(measure, {key: told[key][rows] for key in measure.columns}, NETS)
        torch.testing.assert_close(one, expected, rtol=1e-9, atol=1e-9, equal_nan=True)


def test_a_picture_is_not_compared_with_its_own_counterfactual():
    x, y = columns(3)["features_after"], columns(3)["features_before"]

    def k(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a @ b / 3 + 1) ** 3)

    pairs = [(i, j) for i in range(ROWS) for j in range(ROWS) if i != j]
    slow = sum(k(x[i], x[j]) + k(y[i], y[j]) - 2 * k(x[i], y[j]) for i, j in pairs) / len(pairs)
    told = MEASURES["kid"].of({"features_after": x, "features_before": y}, NETS)
    assert float(told) == pytest.approx(slow, rel=1e-9)


def test_in_parts_as_at_once(monkeypatch):
    told, weights = columns(12), torch.ones(5, ROWS).double()
    whole = samples.frechet(told["features_after"], told["features_before"], weights, weights)
    kid = samples.kid(told["features_after"], told["features_before"], weights)
    monkeypatch.setattr(samples, "_NUMBERS", 1)
    again = samples.frechet(told["features_after"], told["features_before"], weights, weights)
    torch.testing.assert_close(again, whole)
    torch.testing.assert_close(samples.kid(told["features_after"], told["features_before"], weights), kid)


def test_features_that_are_not_finite_have_no_distance():
    told, weights = columns(3), torch.ones(2, ROWS).double()
    told["features_after"][0, 0] = torch.inf
    assert samples.frechet(told["features_after"], told["features_before"], weights, weights).isnan().all()

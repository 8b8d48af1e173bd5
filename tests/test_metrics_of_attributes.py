"""What else changed than the queried attribute, as an oracle sees it."""

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from rather.config.errors import RatherError
from rather.metrics import attributes_changed, cardinality, correlation_difference

SEEDS = st.integers(0, 2**32 - 1)


def slow_correlation(one, other):
    constant = (one == one[0]).all() or (other == other[0]).all()
    return 0 if constant else np.corrcoef(one, other)[0, 1]


LABELS = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0.0]])


def correlated_with_first():
    first = [slow_correlation(column, LABELS[:, 0].numpy()) for column in LABELS.numpy().T]
    return [abs(one) for one in first]


def test_changes_that_go_together_as_labels_do_have_no_correlation_difference():
    assert correlation_difference(torch.zeros_like(LABELS), LABELS, 0, LABELS).item() == pytest.approx(0, abs=1e-9)


def test_correlation_difference_does_not_praise_a_change_of_the_queried_attribute_alone():
    before, after = torch.zeros(4, 4), torch.zeros(4, 4)
    before[:2, 0] = after[2:, 0] = 1
    assert attributes_changed(before, after).tolist() == [1, 1, 1, 1]
    assert attributes_changed(before, after, left_out=0).tolist() == [0, 0, 0, 0]
    found = correlation_difference(before, after, 0, LABELS)
    assert found.item() == pytest.approx(sum(correlated_with_first()[1:]))
    same_way = correlation_difference(before[2:], after[2:], 0, LABELS)  # and then nothing correlates
    assert same_way.item() == pytest.approx(sum(correlated_with_first()))


def test_what_an_oracle_cannot_say_is_not_counted_as_no_change_and_no_rows_are_refused():
    values = torch.rand(3, 4)
    values[1, 2] = torch.nan
    changed = attributes_changed(torch.zeros(3, 4), values)
    assert changed.isnan().tolist() == [False, True, False]
    assert correlation_difference(torch.zeros(3, 4), values, 0, LABELS).isnan()
    assert attributes_changed(values[:0], values[:0]).shape == (0,)
    for rows, labels in ((values[:0], LABELS), (values, LABELS[:0])):
        with pytest.raises(RatherError, match="rows"):
            correlation_difference(rows, rows, 0, labels)


def test_a_row_with_an_unknown_change_has_no_cardinality_unless_that_answer_does_not_count():
    changes = torch.eye(3).repeat(3, 1, 1)
    changes[1, 2, 0] = torch.nan
    changes[2, 2, 0] = torch.inf
    successful = torch.tensor([True, True, True]).repeat(3, 1)
    found = cardinality(changes, successful)
    assert found.isnan().tolist() == [False, True, True]
    assert found[0] == 3
    successful[:, 2] = False
    assert cardinality(changes, successful).tolist() == [2, 2, 2]

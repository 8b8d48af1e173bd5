"""How far apart two computations of the same numbers may lie.

The same batch on the same machine gives the same bits. Another batch or another processor need not: its
library of matrix products adds the terms of a sum in another order. These functions compare across batches
and machines; within one, `torch.equal` does.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from rather.io.png import unpng


def rounding(terms: int) -> float:
    """How far apart two sums of the same float32 terms may lie where the terms' sizes add up to 1.

    Each lies within n u S of the true sum, where n counts the terms, u is half an ulp of 1 and S is the sum
    of the terms' sizes (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 4.2). So two of
    them lie within n ulps of S. Where sums feed on each other, as the steps of a search do, their terms are
    counted together.

    Args:
        terms: of the sum; of a chain of sums, of all of them.
    """
    return terms * torch.finfo(torch.float32).eps


def assert_same_floats(actual: object, expected: object, *, terms: int, scale: float = 1.0) -> None:
    """Floats are the same up to `rounding`, PNGs up to a grey level, wherever they stand; all else is equal.

    Args:
        actual: a tensor, a float, a PNG, or mappings and sequences of such.
        expected: the like.
        terms: see `rounding`.
        scale: the sum S of the terms' sizes, where it is more than the number itself; times what the error is
            multiplied by later.
    """
    match expected:
        case Tensor() | float():
            torch.testing.assert_close(
                actual, expected, rtol=rounding(terms), atol=rounding(terms) * scale, equal_nan=True
            )
        case bytes():
            assert isinstance(actual, bytes)
            assert_same_pictures(unpng(actual), unpng(expected))
        case Mapping():
            assert isinstance(actual, Mapping)
            assert actual.keys() == expected.keys()
            for key, value in expected.items():
                assert_same_floats(actual[key], value, terms=terms, scale=scale)
        case list() | tuple():
            assert isinstance(actual, list | tuple)
            for one, other in zip(actual, expected, strict=True):
                assert_same_floats(one, other, terms=terms, scale=scale)
        case _:
            assert actual == expected


def assert_same_pictures(actual: Tensor, expected: Tensor) -> None:
    """Pictures are the same up to one grey level of 8 bits.

    A pixel half-way between two levels is rounded up by one machine and down by another. Methods whose steps
    are continuous in the gradient keep to this. Steps by its sign do only where no partial derivative is so
    near to zero that rounding decides its sign.

    Args:
        actual: numbers in [0, 1].
        expected: the like.
    """
    torch.testing.assert_close(actual, expected, rtol=0, atol=1.01 / 255)  # levels are rounded, too

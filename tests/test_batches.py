"""An image's answer does not depend on the images beside it, even where a search is chaotic."""

import torch

import rather
from rather.latents.fours import ROWS, in_fours
from tolerance import assert_same_pictures


def test_rows_are_computed_in_parts_of_one_shape():
    seen = []

    def squares(x, rows):
        seen.append(len(x))
        return x**2, rows

    x = torch.arange(2.0 * ROWS + 1, requires_grad=True)
    found, rows = in_fours(squares)(x, torch.arange(len(x)))
    assert set(seen) == {ROWS}
    assert torch.equal(found, x**2)
    assert rows.tolist() == [*range(len(x))]
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert torch.equal(gradient, 2 * x)


def test_introspection_gives_the_same_picture_at_any_batch_size():
    net = rather.load_classifier("digits")
    source = rather.load_dataset("digits", like=net).test
    x = torch.stack([source.read(53 * n) for n in range(3)])
    alone, together = (
        rather.explain(net, x, rather.Introspection(generator="digits-gan", steps=150), target="next", batch_size=size)
        for size in (1, 32)
    )
    assert_same_pictures(alone.images, together.images)
    assert alone.steps.tolist() == together.steps.tolist()

"""The Inception net of the Frechet inception distance (FID), with the weights that a user has.

M. Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", NIPS
2017. The net is that of TensorFlow, whose weights the tools for PyTorch carry as a file of torch,
`pt_inception-2015-12-05-6726825d.pth`. It differs from torchvision's in its poolings: means leave out the
border that is added, and the last block takes a maximum. The package does not bring the weights.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final, final

from torch import nn
from torch.nn import functional as F
from torchvision.models import inception as published
from typing_extensions import override

from rather.config.errors import RatherError
from rather.core import Features, Images, Resource
from rather.io.state_dicts import load_state, read_state, weights_of
from rather.metrics.features import prepared

_SIDE: Final = 299
_CLASSES: Final = 1008


def _mean(x: Features) -> Features:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


# Each block computes torchvision's pooling branch, and another in its place: a hundredth of the time.
@final
class _A(published.InceptionA):  # type: ignore[misc] # torchvision is untyped
    def _forward(self, x: Features) -> list[Features]:
        return [*super()._forward(x)[:-1], self.branch_pool(_mean(x))]


@final
class _C(published.InceptionC):  # type: ignore[misc] # as above
    def _forward(self, x: Features) -> list[Features]:
        return [*super()._forward(x)[:-1], self.branch_pool(_mean(x))]


@final
class _E(published.InceptionE):  # type: ignore[misc] # as above
    def _forward(self, x: Features) -> list[Features]:
        return [*super()._forward(x)[:-1], self.branch_pool(_mean(x))]


@final
class _LastE(published.InceptionE):  # type: ignore[misc] # as above
    def _forward(self, x: Features) -> list[Features]:
        return [*super()._forward(x)[:-1], self.branch_pool(F.max_pool2d(x, 3, stride=1, padding=1))]


def architecture() -> nn.Module:
    """The net, with random weights: for whoever wants to write a file of such weights."""
    blocks = [published.BasicConv2d, _A, published.InceptionB, _C, published.InceptionD, _E]
    net: nn.Module = published.Inception3(
        num_classes=_CLASSES, aux_logits=False, init_weights=False, inception_blocks=[*blocks, published.InceptionAux]
    )
    net.Mixed_7c = _LastE(2048)
    return net


@final
class Inception(Resource, nn.Module):
    """Images in [0, 1], grey or RGB, of any size, to maps of 2,048 features, whose means are FID's.

    They are brought to 299 x 299 pixels, bilinearly and without averaging, and to [-1, 1]: as `pytorch-fid`
    does it. Only in these features may a Frechet distance be called FID.

    Args:
        weights: a file of the weights, read as data: the state dict of `pytorch-fid`.

    Raises:
        RatherError: MODEL-NOT-FOUND for a file that is not there; MODEL-CODE, MODEL-FILE-KIND or
            MODEL-FILE-DAMAGED for one that is no state dict, MODEL-WEIGHTS for one of another net.
    """

    def __init__(self, weights: str | os.PathLike[str]) -> None:
        super().__init__()
        path = Path(weights)
        if not path.is_file():
            raise RatherError(
                "MODEL-NOT-FOUND",
                where=path,
                why="FID needs the weights of its Inception net, which the package does not bring",
                do="Give pt_inception-2015-12-05-6726825d.pth, or measure in the features of SqueezeNet",
            )
        # The name of the published file ends in the beginning of its hash: inception-6726825d is FID's net.
        self.name = f"inception-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"
        self.net = architecture()
        state, _ = weights_of(self.net.state_dict(), read_state(path), path)
        load_state(self.net, state, path)
        self.eval().requires_grad_(requires_grad=False)

    @override
    def train(self, mode: bool = True) -> Inception:
        """Stays in evaluation mode, whatever `mode` says."""
        del mode
        return super().train(mode=False)

    def features(self, x: Images, /) -> Features:
        """The last map, 8 x 8 cells."""
        h = 2 * prepared(x.float(), _SIDE, antialias=False) - 1
        for name, block in self.net.named_children():
            if name == "avgpool":  # what follows are a mean, which `pooled` takes, and the classes
                break
            h = block(h)
        return h

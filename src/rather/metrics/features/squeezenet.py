"""SqueezeNet 1.1, which comes with the package: features of photographs, for pictures of any kind.

F. Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and < 0.5 MB model size",
2016, with the authors' weights of ImageNet, rounded to 16 bits; see NOTICE. They have learned to tell objects
in photographs apart: of drawn pictures their features say less.
"""

from __future__ import annotations

from typing import Final, final

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from typing_extensions import override

from rather.core import Features, Images, Resource
from rather.io.bundled import weights_file
from rather.metrics.features import prepared

#: Blue, green and red: the means, in bytes, that the authors' net subtracts.
_MEAN: Final = (104.0, 117.0, 123.0)
#: Where each of seven layers ends, as LPIPS takes them: the first convolution, then fire modules.


@final
class SqueezeNet(Resource, nn.Module):
    """Images in [0, 1], grey or RGB, of any size, to maps of features.

    They are brought to one size, bilinearly and averaging on the way down; the net's blue, green and red are
    bytes less a mean each. The size is part of the name: in another one the features are others.

    Args:
        side: pixels a side to which images are brought. The net was trained on 227; 128 takes a quarter of
            the time.
    """

    def __init__(self, side: int = 128) -> None:
        super().__init__()
        from torchvision.models import squeezenet1_1  # slow to load

        self.side, self.name = side, f"squeezenet-{side}"
        self.net: nn.Sequential = squeezenet1_1(weights=None).features
        weights = load_file(weights_file("squeezenet", "features"))
        self.net.load_state_dict({key: tensor.float() for key, tensor in weights.items()})
        self.register_buffer("mean", torch.tensor(_MEAN).view(-1, 1, 1))
        self.eval().requires_grad_(requires_grad=False)

    @override
    def train(self, mode: bool = True) -> SqueezeNet:
        """Stays in evaluation mode, whatever `mode` says."""
        del mode
        return super().train(mode=False)

    def features(self, x: Images, /) -> Features:
        """The last map, of 512 features: 7 x 7 cells of 128 x 128 pixels."""
        maps: Features = self.net(self._bytes(x))
        return maps

    def _bytes(self, x: Images) -> Float[Tensor, "b 3 s s"]:
        mean = self.get_buffer("mean")
        return 255 * prepared(x.to(mean), self.side, antialias=True).flip(1) - mean

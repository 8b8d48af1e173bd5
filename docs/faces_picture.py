"""Draw docs/faces.png: ordinary faces above, their layouts, and one face with one thing changed at a time."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from rather.io.png import png
from rather.worlds import faces

COLUMNS = 12


def layouts(regions: Tensor) -> Tensor:
    """Each region in a grey of its own, the rarer ones lighter."""
    return (regions / (len(faces.REGIONS) - 1))[:, None].expand(-1, 3, -1, -1)


def main() -> None:
    """Three rows of pictures."""
    some = faces.sample(COLUMNS, 0, faces.Population())
    ordinary, regions = faces.draw(some, 96)
    one = some[torch.tensor([5])]
    one = faces.set(one, smile=0.0, age=0.0, glasses=0.0, beard=0.0, hat=0.0, fringe=0.0, long_hair=0.0)
    changed = [
        one,
        faces.set(one, smile=0.5),
        faces.set(one, smile=1.0),
        faces.set(one, age=0.5),
        faces.set(one, age=1.0),
        faces.set(one, glasses=1.0),
        faces.set(one, beard=1.0),
        faces.set(one, hat=1.0),
        faces.set(one, fringe=1.0),
        faces.set(one, long_hair=1.0),
        faces.set(one, dark_skin=1.0),
        faces.set(one, blond_hair=1.0),
    ]
    interventions = torch.cat([faces.draw(each, 96)[0] for each in changed])
    rows = [ordinary, layouts(regions), interventions]
    picture = torch.cat([torch.cat([*row], 2) for row in rows], 1)
    Path(__file__).with_name("faces.png").write_bytes(png(picture))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

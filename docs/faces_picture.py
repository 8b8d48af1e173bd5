"""Draw docs/faces.png: ordinary faces above, their layouts, and one face with one thing changed at a time."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from rather.io.png import png
from rather.worlds import faces

COLUMNS = 12


def layouts(regions: Tensor) -> Tensor:
    """Each region in its own grey, the rarer ones lighter."""
    return (regions / (len(faces.REGIONS) - 1))[:, None].expand(-1, 3, -1, -1)


def main() -> None:
    """Three rows of pictures."""
    some = faces.sample(COLUMNS, 0, faces.Population())
    ordinary, regions = faces.draw(some, 96)
    plain = dict.fromkeys(("smile", "age", "glasses", "beard", "hat", "fringe", "long_hair"), 0.0)
    one = faces.set_attributes(some[torch.tensor([5])], plain)
    changes: list[dict[str, float]] = [{}, {"smile": 0.5}, {"smile": 1.0}, {"age": 0.5}, {"age": 1.0}]
    changes += [{name: 1.0} for name in ("glasses", "beard", "hat", "fringe", "long_hair", "dark_skin", "blond_hair")]
    changed = [faces.set_attributes(one, change) for change in changes]
    interventions = torch.cat([faces.draw(each, 96)[0] for each in changed])
    rows = [ordinary, layouts(regions), interventions]
    picture = torch.cat([torch.cat([*row], 2) for row in rows], 1)
    Path(__file__).with_name("faces.png").write_bytes(png(picture))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

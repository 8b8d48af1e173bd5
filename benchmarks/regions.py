"""Do "enough" and "needed" name the region that a classifier looks at? On classifiers that look at one region alone.

    python benchmarks/regions.py [--images N]

Each of 30 planted classifiers sees the mean light or one colour of a fixed area: the pixels that show a region in
most drawn faces. Its two classes are below and above the median face. Images are searched by `wachter`, towards the
other class, with each region in turn as the only one that may change, and then as the only one that may not.
"""

import argparse
from itertools import product

import torch
from torch import Tensor, nn

import rather
from rather.stats import wilson

REGIONS = ("hair", "skin", "mouth", "eye", "background", "cloth")
CHANNELS = {"light": (1 / 3, 1 / 3, 1 / 3), "red": (1.0, 0.0, 0.0), "blue": (0.0, 0.0, 1.0)}
CHANNELS |= {"green": (0.0, 1.0, 0.0), "red-blue": (0.5, 0.0, -0.5)}


def planted(area: Tensor, channel: tuple[float, ...], x: Tensor) -> rather.Classifier:
    """The mean of a channel over an area, less its median over the images, as log-odds; 1 % is one unit."""
    weights = torch.tensor(channel)[:, None, None] * area / area.sum()
    net = nn.Sequential(nn.Flatten(), nn.Linear(weights.numel(), 1))
    with torch.no_grad():
        net[1].weight.copy_(100 * weights.flatten()[None])
        net[1].bias.fill_(-100 * float((x * weights).sum((1, 2, 3)).median()))
    return rather.Classifier(net, shape=tuple(x.shape[1:]), output="binary-logit", classes=("below", "above"))


def scores(classifier: rather.Classifier, x: Tensor, layouts: Tensor, names: tuple[str, ...]) -> dict[str, float]:
    """Of each region: the share of images where it is enough, plus the share where it is needed."""
    method, target = rather.Wachter(), 1 - classifier.probabilities(x).argmax(1)
    found: dict[str, float] = {}
    for number, name in enumerate(names):
        mask = layouts == number
        (rows,) = mask.flatten(1).any(1).nonzero(as_tuple=True)
        if len(rows) < len(x) / 2:
            continue  # most images do not show it
        inside, around = (
            method(classifier, x[rows], target[rows], region=part[rows]).success for part in (mask, ~mask)
        )
        found[name] = float(inside.float().mean() + (~around).float().mean())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8)
    source = rather.load_dataset("faces").test
    images = range(0, len(source), len(source) // parser.parse_args().images)
    x, layouts = torch.stack([source.read(n) for n in images]), torch.stack([source.layout(n) for n in images])
    named = 0
    cases = [*product(REGIONS, CHANNELS.items())]
    for region, (channel, weights) in cases:
        shows = (layouts == source.regions.index(region)).float().mean(0)
        classifier = planted((shows >= min(0.75, float(shows.max()))).float(), weights, x)
        found = scores(classifier, x, layouts, source.regions)
        best = max(found, key=found.__getitem__)
        named += best == region
        ranked = sorted(found.items(), key=lambda one: -one[1])[:3]
        print(f"{region}, {channel}: {', '.join(f'{name} {score:.2f}' for name, score in ranked)}", flush=True)
    low, high = wilson(named, len(cases))
    print(f"{named} of {len(cases)} named ({low:.0%} to {high:.0%}), {len(x)} images each")


if __name__ == "__main__":
    main()

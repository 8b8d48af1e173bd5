"""A user's script, as the README has it: checked by mypy --strict and run by test_public."""

import rather

model = rather.Classifier.from_torchvision("resnet50")  # or rather.Classifier(net, shape=..., mean=..., std=...)
photos = rather.load_dataset("photos/", like=model)  # .images in [0, 1], .ids
birds = rather.load_dataset("cub:CUB_200_2011", like=model)

result = rather.compare(
    {
        "wachter": rather.Wachter(distance_weight=1.0),
        "goyal": rather.Goyal(references=birds.train),
        "ace": rather.ACE(generator="diffusers:google/ddpm-celebahq-256"),
    },
    model,
    photos,
    target="runner-up",
    metrics=["validity", "l1", "cout", "kid"],
    out="runs/mine",
)
print(result)  # means, 95 % intervals, the best and its ties
for cf in result["ace"]:  # .query .image .success .before .after .info; a row at its target already: status "already"
    cf.plot()

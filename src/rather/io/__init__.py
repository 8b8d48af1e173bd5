"""Files: images, PNGs, checkpoints, whole or not at all."""

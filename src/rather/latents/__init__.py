"""Latent spaces: classifiers of latents, searches among latents, and what a search there tells."""

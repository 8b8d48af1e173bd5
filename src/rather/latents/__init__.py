"""Latent spaces: classifiers of latents, searches among latents, and diagnostics of both."""

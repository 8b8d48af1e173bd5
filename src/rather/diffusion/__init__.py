"""Denoising diffusion as counterfactuals use it: the chain, its nets, filters, guidance and refinement."""

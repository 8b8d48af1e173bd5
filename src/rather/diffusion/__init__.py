"""Denoising diffusion as counterfactuals use it: the schedule, its nets, filters, guidance and refinement."""

"""The one training loop, and what stands around it: plan, worker, checkpoints, optimiser, devices."""

"""Baselines: what plain counting achieves on the same validation tokens, so that a loss can be judged."""

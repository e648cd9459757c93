"""Equilibrium propagation: models that settle, two rules to train them, and the study that compares them."""

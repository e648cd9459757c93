"""Runs that one has already: fit a law to a table, predict, allocate, compare two arms. No torch is needed.

The notebook of the same name is made from this file: `make pages`.
"""

# %% [markdown]
# # Your own table
#
# You trained models elsewhere and have one row for each. This notebook makes up such a table, with a law that is
# known, so that you can see what is found; then put your own file in its place: `pd.read_csv("runs.csv")`.

# %%
import random

import matplotlib.pyplot as plt
import pandas as pd

import lawful

random.seed(1)


def loss(n, d, gain=1.0):
    return (1.7 + 400 * (gain * n) ** -0.34 + 410 * d**-0.28) * random.gauss(1, 0.003)


runs = pd.DataFrame(
    {"arm": arm, "seed": seed, "N": n, "D": d, "val_loss": loss(n, d, gain)}
    for arm, gain in (("base", 1.0), ("new", 1.3))
    for n in (1e7, 3e7, 1e8, 3e8, 1e9)
    for d in (1e9, 4e9, 1.6e10, 6.4e10)
    for seed in range(2)
)
print(len(runs), "runs")

# %% [markdown]
# ## Fit
#
# Planted: exponents .34 and .28, a floor of 1.7. A fit shows its answer, the runs with the law, its parameters with
# their intervals, and the doubts; each doubt has a code, which `lawful explain CODE` explains.

# %%
base = runs[runs.arm == "base"]
fit = lawful.fit(base, law="chinchilla", tokens="D", params="N", loss="val_loss")
fit

# %%
print(fit["alpha"].value, fit.conf_int(0.9)["alpha"])
fit.to_frame()

# %% [markdown]
# ## Look at it
#
# Along the size, and against compute with the compute-optimal frontier. The residuals should show no trend.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
fit.plot(ax=left)
fit.plot_compute(ax=right)
figure.tight_layout()

# %%
residuals = fit.to_frame("residuals")
ax = residuals.plot.scatter("D", "residual_log", logx=True, figsize=(5, 3))
ax.axhline(0, color="0.6")
print(residuals.residual_log.std())

# %% [markdown]
# ## Predict
#
# With the interval of one more run. Far outside the data it says so.

# %%
planned = pd.DataFrame({"N": [3e8, 7e10], "D": [2e10, 1.4e12]})
forecast = fit.predict(planned)
for warning in forecast.warnings:
    print(warning.severity, warning.sentence)
forecast.to_frame()

# %% [markdown]
# Does it predict what it has not seen? Leave the largest budgets out and try.

# %%
lawful.holdout(fit, top=2)

# %% [markdown]
# ## Spend a budget

# %%
best = lawful.allocate(fit, flops=1e20)
print(f"{best.params.value:.3g} parameters [{best.params.low:.3g}, {best.params.high:.3g}]")
best

# %% [markdown]
# ## Compare
#
# The arms differ by a factor of 1.3 in parameters and by no exponent. Is that what is said?

# %%
comparison = lawful.compare(runs, by="arm", law="chinchilla")
print(comparison.decision)
comparison

# %% [markdown]
# ## Keep it

# %%
fit.save("fit.json")
print(lawful.load("fit.json") == fit)

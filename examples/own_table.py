"""Runs that one has already: fit a law to a table, predict, compare two arms. No torch is needed.

The notebook of the same name is made from this file: `make pages`.
"""

# %% [markdown]
# # Your own table
#
# You trained models elsewhere and have one row for each. This notebook makes up such a table, with a law that is
# known, so that you can see what is found; then put your own file in its place.

# %%
import numpy as np

import lawful

random = np.random.default_rng(1)


def loss(n, d, gain=1.0):
    return (1.7 + 400 * (gain * n) ** -0.34 + 410 * d**-0.28) * np.exp(0.003 * random.standard_normal())


rows = [
    {"arm": arm, "seed": seed, "N": n, "D": d, "val_loss": loss(n, d, gain)}
    for arm, gain in (("base", 1.0), ("new", 1.3))
    for n in np.geomspace(1e7, 1e9, 5)
    for d in np.geomspace(1e9, 6e10, 4)
    for seed in range(2)
]
runs = lawful.read_runs(rows, params="N", tokens="D", loss="val_loss")  # or a path, or a pandas DataFrame
print(len(runs), "runs")

# %% [markdown]
# ## Fit
#
# Planted: exponents .34 and .28, a floor of 1.7.

# %%
base = runs.where(lambda row: row["arm"] == "base", "the other arm")
fit = lawful.fit(base, law="chinchilla")
print(fit.summary())

# %% [markdown]
# Each warning has a code; `lawful explain CODE` says what to do. What was left out of the fit is listed with its
# reason.

# %%
for warning in fit.warnings:
    print(warning.severity, warning.code)
print(fit.data.dropped[:1])

# %% [markdown]
# ## Predict
#
# With the interval of one more run. Far outside the data it says so.

# %%
for n, d in ((3e8, 2e10), (7e10, 1.4e12)):
    found = fit.predict(params=n, tokens=d)
    print(f"{n:.0e} parameters, {d:.1e} tokens: {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]")
    for warning in found.warnings:
        print("  ", warning.sentence)

# %% [markdown]
# Does it predict what it has not seen? Leave the largest budgets out and try.

# %%
for row in fit.holdout(top=2).rows:
    print(f"{row.observed:.3f} came where {row.prediction.value:.3f} was predicted, inside: {row.is_inside}")

# %% [markdown]
# ## Compare
#
# The arms differ by a factor of 1.3 in parameters and by no exponent. Is that what is said?

# %%
comparison = lawful.compare(runs, by="arm", law="chinchilla")
print(comparison.decision)
print(comparison.sentence)

# %% [markdown]
# ## Draw

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(6, 3.6))
for d in sorted({row["D"] for row in base}):
    some = [row for row in base if row["D"] == d]
    sizes = np.geomspace(1e7, 1e9, 40)
    (line,) = axes.plot(sizes, [fit.predict(params=n, tokens=d).value for n in sizes], label=f"{d:.1e} tokens")
    axes.scatter([row["N"] for row in some], [row["val_loss"] for row in some], color=line.get_color(), s=14)
axes.set(xscale="log", xlabel="parameters", ylabel="loss")
axes.legend()
figure.tight_layout()

"""Does SwiGLU move the exponent, or only a factor? The study `activation` from Python, at a scale of seconds.

The notebook of the same name is made from this file: `make pages`.
"""

# %% [markdown]
# # Does SwiGLU move the exponent, or only a factor?
#
# Replacing the GELU feed-forward by SwiGLU lowers the loss. Two things could be meant by that. A *constant gain*: the
# same loss for, say, 10 % less compute at every size. Or a *better exponent*: a gain that grows with size. Over two
# decades of compute they look alike, and whoever leaves the floor out of the law sees the first as the second.
#
# This is the study `activation` from Python, at a scale of seconds. On the command line it is `lawful run activation
# --scale quick`.

# %%
import lawful
from lawful.studies import activation

study = activation.study("smoke", seeds=2, tokens_per_param=5)
print(study.question)
print(len(study.ladder), "runs;", "held out:", dict(study.held_out))

# %% [markdown]
# ## Before anything is trained
#
# The arms must be equal in everything but what is compared. SwiGLU has three matrices where GELU has two; with a
# hidden width of 8/3 instead of 4 times the model's, and widths chosen so that this is a whole multiple of 8, size and
# FLOPs are equal to the last one. Both arms see the same data in the same order.

# %%
for width in (12, 18, 24, 30, 36):
    for arm in ("gelu", "swiglu"):
        run = next(r.run for r in study.ladder if r.at == {"width": width, "arm": arm, "seed": 0})
        counts = run.family.param_counts()
        flops = run.rule.training_flops_per_token(run.family, run.context) * run.tokens
        print(f"{width:3d} {arm:7s} {counts.non_embedding:6,d} parameters, {run.tokens:7,d} tokens, {flops:.3e} FLOPs")

# %% [markdown]
# ## Train, fit, report
#
# Anchors first; then the forecast of the held-out size is written down, with a hash; only then is it trained.

# %%
page = lawful.run_study(study, "activation-notebook")
runs = lawful.read_runs("activation-notebook")
for row in sorted(runs, key=lambda row: (row["flops"], row["arm"])):
    if row["seed"] == 0 and not row["bracket"]:
        print(f"{row['rung']:32s} {row['flops']:.2e} FLOPs   loss {row['loss']:.4f}", "  held out" * row["held_out"])

# %% [markdown]
# ## The comparison
#
# First one test of whether one law serves both arms. Then what may explain that it does not: another floor, a factor,
# other exponents. Each is tested against arms with everything of their own. The verdict says what the data exclude, and
# what they leave open: at this scale, most.

# %%
found = lawful.compare(runs, law="power_floor:flops")
print(f"one law for both: p = {found.p:.2g}")
for one in found.explanations:
    print(
        f"{one.name:28s} {one.parameters} parameters, AICc {one.aicc:8.1f}",
        "" if one.p is None else f"p = {one.p:.3g}",
    )
print()
print(found.decision)
print(found.sentence)

# %% [markdown]
# ## Can such a verdict be trusted?
#
# Ask it about arms whose difference is known. The first pair differs by a factor of 1.25 in compute and nothing else;
# in the second, the exponent is .02 higher.

# %%
import numpy as np


def planted(gain=1.0, shift=0.0, seeds=3, sigma=0.002):
    random = np.random.default_rng(0)
    rows = []
    for arm in "ab":
        for flops in np.geomspace(1e12, 1e15, 6):
            for seed in range(seeds):
                effective = flops * (gain if arm == "b" else 1.0)
                exponent = 0.15 + (shift if arm == "b" else 0.0)
                loss = (1.5 + 1.2 * (effective / 3e13) ** -exponent) * np.exp(sigma * random.standard_normal())
                rows.append({"arm": arm, "flops": flops, "loss": loss, "seed": seed})
    return rows


for truth in ({"gain": 1.25}, {"shift": 0.02}):
    known = lawful.compare(planted(**truth), law="power_floor:flops")
    print(truth, "->", known.decision)
    print("   ", known.sentence)

# %% [markdown]
# ## The picture

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(6, 3.6))
for arm, colour in (("gelu", "tab:blue"), ("swiglu", "tab:orange")):
    fit = lawful.fit(runs.where(lambda row, arm=arm: row["arm"] == arm, "the other arm"), law="power_floor:flops")
    points = [row for row in runs if row["arm"] == arm and not row["bracket"]]
    flops = np.geomspace(min(row["flops"] for row in points), max(row["flops"] for row in points), 50)
    axes.plot(flops, [fit.predict(flops=c).value for c in flops], color=colour, label=arm)
    for held_out, fill in ((False, colour), (True, "none")):
        some = [row for row in points if row["held_out"] is held_out]
        axes.scatter([r["flops"] for r in some], [r["loss"] for r in some], edgecolors=colour, facecolors=fill)
axes.set(xscale="log", xlabel="training compute, FLOPs", ylabel="loss, nats per byte", title="open points: held out")
axes.legend()
figure.tight_layout()

# %% [markdown]
# The whole report, with residuals, doubts and how to repeat it, is `activation-notebook/report.html`. For an answer
# rather than a demonstration: `lawful run activation --scale quick` (two cores, a quarter of an hour), or `--scale
# full` (a GPU).

"""Every code of a refusal or a warning: what was seen, what to do. docs/errors.md and `lawful explain` show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["refusal of a fit", "warning of a fit", "warning of a plan or of its runs"]


@dataclass(frozen=True)
class Code:
    """means: what was seen. do: the next step."""

    kind: Kind
    means: str
    do: str


def _all(kind: Kind, rows: Mapping[str, tuple[str, str]]) -> dict[str, Code]:
    return {name: Code(kind, means, do) for name, (means, do) in rows.items()}


REFUSALS = _all(
    "refusal of a fit",
    {
        "no_rows": (
            "No run that has finished, is not held out and matches the question is left.",
            "Look at `lawful status` and at the list of excluded runs; widen `where`, or train more.",
        ),
        "too_few_points": (
            "Not more runs than the law has free parameters: it would pass through all of them and say nothing.",
            "Add runs, choose a law with fewer parameters, or fix one that is known.",
        ),
        "no_value": (
            "A run that the question asks about has no positive number in a column that the law needs.",
            "Look at the run's result.json: train the run again (remove that file, `lawful resume`), leave it out with "
            "`where`, or ask about another column.",
        ),
        "too_few_levels": (
            "An axis of the law takes fewer than three distinct values.",
            "Add sizes or budgets, or fit a law that does not read this axis.",
        ),
        "one_cluster": (
            "All runs share noise: they are one cluster, and how much they share cannot be seen from inside it.",
            "Train other seeds; or `--cluster none` where the runs do not share noise.",
        ),
        "no_fall": (
            "The loss does not fall along an axis of the law: a law without that axis fits as well.",
            "Look at the table: is it the right column, is the metric one that falls? Else take a wider range, more "
            "seeds, or a law that does not read the axis.",
        ),
        "two_axes": (
            "A law of one axis was asked, and both size and data vary in these rows.",
            "Hold one with `where`, or name the axis: `power_floor:params`.",
        ),
        "inputs_together": (
            "Inputs of a search for a formula vary together, as tokens do at a fixed ratio to parameters: no table can "
            "say which of them the loss depends on.",
            "Leave one of them out of --inputs, or add runs in which they vary apart.",
        ),
        "nothing_in_common": (
            "The fit has no exponent that means the same in the published fit it is held against, and losses cannot be "
            "compared either.",
            "Fit the published fit's law (`lawful laws --published`, then --law), or hold it against another one.",
        ),
        "no_best_size": (
            "The fitted law's loss falls towards ever smaller, or ever larger, models: one of its terms is near 0.",
            "Train more sizes, and more lengths of each, on both sides of what you take to be the best size.",
        ),
        "mixed_loss_units": (
            "Losses in different units stand in one table.",
            "Bring them to one unit (bits per byte compares tokenizers), or fit them apart.",
        ),
        "pooled_settings": (
            "Runs of one size and length differ in a setting, such as the learning rate: they are no replicates, and "
            "their spread is no noise.",
            "Fit each value apart (--by), choose one (--where) or the best (--best-over), or call the setting noise "
            "(--as-noise).",
        ),
        "mixed_schedules": (
            "Learning-rate schedules of different shape, decay fraction or floor stand in one table; they differ by as "
            "much as a law says.",
            "Fit each schedule apart with `where`, or train all with one.",
        ),
        "mixed_data": (
            "Runs on different prepared data stand in one table.",
            "Fit each corpus apart. Cuts of one text compare where their validation text is one.",
        ),
        "undecayed_losses": (
            "Some losses were taken while the learning rate was still high, or it never reached its peak.",
            "Leave those rows out, or finish those runs with their decay.",
        ),
        "seconds_of_decay": (
            "A law against seconds was asked, and those of some branches are of their decay alone: "
            "lawful recorded them so until 2026-11.",
            "Train them again, fit against `flops`, or give a column of `seconds_per_step` times `steps`.",
        ),
        "padding_in_loss": (
            "Padding counts in the loss of some runs: it depends on the batch and not only on the model.",
            "Evaluate again with padding masked.",
        ),
        "one_arm": (
            "A comparison was asked and the table holds one arm.",
            "Name the column of the arms with `--by`; look whether the other arm's runs finished.",
        ),
        "few_arms": (
            "Parameters are pooled over arms, and fewer than 4 arms say too little of the spread between them.",
            "Fit each arm (`--by`), or let all share the parameter (`--by` with `--share`).",
        ),
        "several_runs": (
            "Arms are compared run by run along one coordinate; an arm has several runs of one value and seed, which "
            "differ in something else.",
            "Choose rows that differ in the arm, the coordinate and the seed alone, or compare the arms by a law.",
        ),
        "no_replicates": (
            "Arms compared run by run have one seed at each level: the noise of a difference is not known. "
            "Of a fit it is a note: the spread between runs is then taken from the residuals.",
            "Train at least a second seed: `--set seeds=2`.",
        ),
        "no_shared_range": (
            "Two arms have no sizes (or budgets) in common, so nothing says where they cross.",
            "Train both arms over one range.",
        ),
        "own_runs": (
            "A gate was asked of runs that the reference law was fitted to.",
            "Give the variant's runs alone; name the other arm with `--baseline` where the table holds both.",
        ),
        "no_pairs": (
            "A gate was asked against a baseline, which has no run of the point and seed of any of the variant's.",
            "Train the baseline at those points with those seeds, or leave `--baseline` out.",
        ),
        "too_few_cells": (
            "Fewer sizes and lengths than needed have an optimum inside what their sweep tried.",
            "Widen the sweeps at whose edge the best run lies; add sweeps at other sizes or lengths.",
        ),
        "too_few_budgets": (
            "Fewer budgets than needed have their lowest loss between two other sizes.",
            "Add smaller and larger sizes at each budget.",
        ),
    },
)

CAUTIONS = _all(
    "warning of a fit",
    {
        "not_certified": (
            "A test of the point found failed: it may be no minimum, or not the best of several.",
            "Do not use the numbers. Try `--objective l2`, fewer parameters, or more data; if it stays, report it.",
        ),
        "not_identified": (
            "The interval of an exponent is wider than twice its value or has no end, or the exponent lies at a bound.",
            "Do not quote the exponent. Add sizes over a wider range, add seeds, or fix the floor if it is known.",
        ),
        "ridge": (
            "Other sets of parameters fit as well: they are not determined one by one.",
            "Do not quote single parameters; predict inside the data only. Widen the range of sizes and budgets.",
        ),
        "at_bound": (
            "A parameter ends at the edge of what is allowed, often a floor at 0.",
            "Read it as: these runs do not show it. Try the law without it, longer or larger runs; `--bounds` moves "
            "the edge.",
        ),
        "few_dof": (
            "Hardly more runs than parameters: a wrong form could not be seen.",
            "Add sizes or seeds.",
        ),
        "clustered_by_seed": (
            "Runs of one size and seed that differ in their length share noise, and count as one cluster. As a "
            "warning: runs of one seed share noise across sizes too.",
            "Nothing, if runs of one seed do share noise: the intervals count it. Otherwise fit with "
            "`--cluster COLUMN`, the column that marks what shares noise, or `--cluster none`, every row by itself.",
        ),
        "seeds_may_share": (
            "Runs of one seed lie on one side of their sizes' means at most sizes: seeds may share noise across sizes "
            "(p below .05, not below .01). With 2 seeds a size no test can tell well.",
            "Fit again with `--cluster seed` and compare the intervals; or train more seeds.",
        ),
        "one_seed": (
            "All runs have one seed and size, and differ in their length only: they begin with the same weights and "
            "read the same data, so they share noise that no interval here has.",
            "Train another seed. The exponent suffers least: what they share moves all losses alike.",
        ),
        "optima_as_given": (
            "The table has the best size or data at each budget, without the runs that these were found from.",
            "Nothing; or bring the runs: then the error of finding each optimum is in the intervals, too.",
        ),
        "error_bars_disagree": (
            "The error bars that the table gives for its losses are shorter or longer than the scatter about the law "
            "says, by more than chance explains.",
            "Look at what the bars are of (one evaluation, one seed, or a mean). Without them: --stderr-column none.",
        ),
        "overdispersed": (
            "The accuracies scatter further about the law than counts of their test items would, by more than chance.",
            "Nothing: intervals follow the scatter. More seeds narrow them; more items will not.",
        ),
        "at_chance": (
            "So many accuracies cannot be told from guessing that few rows say how the law leaves the chance level.",
            "Add larger runs, or a metric that moves earlier (the loss on the answers). `--fixed R0=CHANCE` helps.",
        ),
        "below_chance": (
            "The law of an accuracy lies clearly below the chance level that was given. Intervals of the law end at "
            "that level, so they do not hold what the runs show.",
            "Give the chance level of this test, or leave it out: answers in a wrong form are worse than guesses.",
        ),
        "ceiling_open": (
            "The interval of the law's end, such as a sigmoid's ceiling, is as wide as all the change in the runs.",
            "Add larger runs, or fix the end where it is known. Do not quote the ceiling.",
        ),
        "prior": (
            "What you know of a parameter (--prior) stands beside the runs in this result, which is not theirs alone.",
            "Quote the prior with the result. Without it: leave out --prior.",
        ),
        "prior_disagrees": (
            "The runs alone give a parameter more than three standard errors from the prior that you stated.",
            "Look at what differs (counts, data, form), or fit without it. Under a prior wrong by three widths, 3 "
            "to 6 of 10 intervals missed the truth.",
        ),
        "noise_varies": (
            "Replicates show that the noise between runs changes along the ladder. Runs weigh by the inverse of their "
            "variance, and the interval of a new run follows the noise at its size.",
            "Nothing. More seeds at each size tell the change better. `--objective l2`: every run weighs the same.",
        ),
        "sharing_costs": (
            "Arms were taken to share parameters, and an F test says that they differ in them (or could not be made).",
            "Leave `--share` out, or share what the arms do have in common.",
        ),
        "arms_share_noise": (
            "Runs of one size and seed lie off the laws of all arms together; pooling takes arms to have noise apart.",
            "Give the arms seeds of their own. To compare arms run by run: `lawful compare`, which uses the pairs.",
        ),
        "rounded": (
            "The losses are given with so few digits that rounding is a good part of the noise. It is a uniform error "
            "that replicates of one size share.",
            "Give the losses with more digits. More seeds do not help.",
        ),
        "rows_alike": (
            "Rows repeat an earlier one in all but their names, and their losses have fewer than six digits: they may "
            "be copies, or runs whose rounded losses agree. They are counted as runs of their own.",
            "Remove the copies; or tell replicates apart by a column `seed`, and give losses with more digits.",
        ),
        "few_clusters": (
            "The rows come from fewer than ten independent trainings (trunks, runs).",
            "Believe the wide intervals. More seeds narrow them; more checkpoints of the same runs do not.",
        ),
        "misfit": (
            "The residuals follow a trend, another law fits far better, or a fixed value is wrong: the law is not that "
            "of these runs. Forecasts average over the laws that fit.",
            "Fit the law that is named, with `--law`. Look at the residual plot. `replay` gives no verdict unless you "
            "name the law yourself.",
        ),
        "skew_unseen": (
            "Sweeps have no runs beyond those that their optimum is read from: a valley that is steeper on one side "
            "moves the reading, would not be seen, and is not in the intervals.",
            "Try two more values of the setting in each sweep, one on each side.",
        ),
        "cells_left_out": (
            "Sweeps have no optimum: the best run lies at an edge of what was tried, the valley is flat, or the runs "
            "are too few.",
            "Widen those sweeps on the side that is named. The law rests on the others alone.",
        ),
        "biased_reading": (
            "Of a plan of isoFLOP curves: the exponent is expected to be read off by more than half of its spread.",
            "Plan more sizes on each curve, or a narrower span.",
        ),
        "default_prior": (
            "Of a plan of isoFLOP curves: the earlier runs say nothing of the best size, and a published law is taken.",
            "Give runs of several sizes and lengths; or run the smallest budgets first, and plan again.",
        ),
        "no_shape": (
            "Of a plan of isoFLOP curves: no decoder has about so many parameters, as below 100,000.",
            "Choose the shape yourself, or plan larger budgets.",
        ),
        "items_unknown": (
            "Accuracies are given without the number of their test items: what these leave open, for all runs alike, "
            "is not in the intervals.",
            "Give the number, or its column: `--metric hellaswag:accuracy@.25#10042`.",
        ),
        "noise_borrowed": (
            "A gate's runs, or pairs, are too few to show their own noise: that of the reference's runs is taken.",
            "Add seeds where the variant may be noisier than the reference.",
        ),
        "speed_up_moves": (
            "The speed-up of a gate's runs changes with their compute: the one given is that at the largest run.",
            "Look at each run's own; a law of the variant's runs and `lawful crossover` say where it ends.",
        ),
        "unlike_reference": (
            "A gate's speed-up is above 100 or below 1/100, which no change of a recipe brings: the runs are of other "
            "units or other data than the reference. It is never a yes.",
            "Bring losses, params and tokens to the reference's units (`--unit COLUMN=UNIT`), on its validation set.",
        ),
        "unpaired": (
            "Some of the variant's runs have no baseline's run of their point and seed, and were left out.",
            "Train the baseline there, or leave `--baseline` out.",
        ),
        "form_uncertain": (
            "The residuals may follow a trend, or other laws fit about as well (forecasts then average over them), or "
            "a fixed value may not be that of the runs, or these are too few to try another law.",
            "Nothing, inside the data. For a forecast far outside, compare the laws with `lawful predict --law NAME`.",
        ),
        "another_law": (
            "Runs were left out and predicted: the error of another law of the same axes is at most half of this "
            "law's, smaller for each part left out, and its AICc on all runs is lower.",
            "Fit it with `--law NAME` and compare the forecasts, which follow no such ranking by themselves.",
        ),
        "rung_off": (
            "All runs of one size (or number of tokens) lie on one side of the law that the other runs follow.",
            "Look whether they are undertrained, at the edge of their learning rates, or of another precision. Fit "
            "without them; forecasts average over both fits.",
        ),
        "lack_of_fit": (
            "Residuals are larger than seeds differ by: the law's form is not the data's.",
            "Look at the residual plot. Try another law, a narrower range, or leave out barely trained runs.",
        ),
        "rows_dropped": (
            "Some rows were left out; their reasons are listed.",
            "Read the list. If it holds more than failures and held-out runs, fit with and without.",
        ),
        "objective_moves": (
            "Under another objective an exponent leaves its interval.",
            "Quote the range over objectives, not the interval alone; look for outliers.",
        ),
        "counting_moves": (
            "Counting parameters or FLOPs another way moves an exponent out of its interval.",
            "Name the count beside the number, and compare only with studies that count alike.",
        ),
        "one_run_decides": (
            "Without one run an exponent leaves its interval.",
            "Look at that run's curve; repeat it with other seeds.",
        ),
        "extrapolation": (
            "The point asked lies well outside the sizes, tokens or compute that were fitted.",
            "Use it for planning. Train one run on the way there before relying on it.",
        ),
        "far_extrapolation": (
            "The point asked lies so far outside that no interval covers what may change on the way.",
            "Do not rely on it.",
        ),
        "several_crossings": (
            "Two fitted curves cross more than once in the data; the first is reported.",
            "Look at the curves; a second crossing is often a law too stiff for its points.",
        ),
        "law_chosen": (
            "No law was named, or no axis of it: the law is the one that the table can carry, by how its params and "
            "tokens vary.",
            "Read which one it is and why. Name another with `--law` where you know better.",
        ),
        "unread_axis": (
            "Params or tokens vary among the rows and the law does not read them: its exponent is not of its own axis "
            "alone.",
            "Hold the other axis with `--where`, or fit a law of both (`chinchilla`).",
        ),
        "allocation_disagrees": (
            "The law's best size differs from the one read off the table itself (curves of equal compute, or losses "
            "interpolated along each size), by more than both are unsure of.",
            "The law's form is probably wrong: try `--law kaplan`, look at the residuals, run `lawful isoflop`.",
        ),
        "six_n_d": (
            "The table has FLOPs or tokens, not both: the other was taken from C = 6 N D.",
            "Name the missing column (`--tokens-column`, `--flops-column`) where there is one.",
        ),
        "not_bracketed": (
            "At some budgets the lowest loss is at the smallest or largest size tried.",
            "Add sizes on that side; those budgets were left out.",
        ),
        "method_moves": (
            "Another way to find the best size at each budget, which fits the curves as well, moves the exponent out "
            "of its interval.",
            "Add sizes near each optimum; quote the range.",
        ),
        "surface_disagrees": (
            "A law of size and data on the same runs gives another exponent than the curves of equal compute.",
            "Quote both. Sizes far from the optimum often decide the surface.",
        ),
        "nothing_held_out": (
            "No run was kept back, so the law was never tested on one it had not seen.",
            "Hold out the largest size (`held_out`), or try `lawful holdout`.",
        ),
        "held_out_to_come": (
            "The held-out runs have not ended yet, so the law was not tested on a run it had not seen.",
            "Train them: `lawful resume DIR`. Their forecasts are written before they begin.",
        ),
        "held_out_missed": (
            "Held-out runs lie outside the interval for a new run.",
            "Believe the runs. The law does not reach that far; look at the residuals for a trend.",
        ),
        "forecast_moved": (
            "What the law says now differs from the forecast that was written before the held-out runs began.",
            "The earlier forecast is the one that is scored. Look at what was trained or left out since.",
        ),
    },
)

CONFOUNDS = _all(
    "warning of a plan or of its runs",
    {
        "data-missing": (
            "A corpus is neither here nor can it be had.",
            "`lawful data list` says where it comes from; give your copy with `--data`.",
        ),
        "notice": (
            "The corpus has a notice about its rights.",
            "Read it before you use or publish what the models learned.",
        ),
        "few-sizes": (
            "Fewer sizes than a law of size with a floor needs.",
            "Add sizes: four at the very least, six or more over two decades to tell an exponent.",
        ),
        "narrow-sizes": (
            "The fitted sizes span less than a factor of eight.",
            "Add smaller sizes; they are the cheap ones.",
        ),
        "one-seed": (
            "No fitted rung has two seeds: noise between runs cannot be told from misfit.",
            "`--set seeds=2` or more.",
        ),
        "unequal-arms": (
            "Arms of one rung differ in size or FLOPs: part of their gap is size.",
            "Match the shapes, or compare along compute.",
        ),
        "arms-residue": (
            "Arms are matched up to the small difference that is named.",
            "Nothing to do.",
        ),
        "rate-jumps": (
            "The learning rate leaves any smooth rule of size between two sizes.",
            "Use one rule for the whole ladder (`lawful.recipes` has some, with their sources).",
        ),
        "rate-at-edge": (
            "Of the learning rates tried around a rung, the best is at the edge.",
            "Widen the bracket on that side, or move the rule.",
        ),
        "rate-not-best": (
            "Of the learning rates tried around a rung, another one than the ladder's own is better.",
            "Move the rule, so that the ladder's own rate is the best of those tried.",
        ),
        "arms-not-tuned": (
            "Arms are compared, and the learning rate of at least one was tried at three values at fewer than two of "
            "its settings.",
            "Give each arm brackets at two sizes (`lawful.study.brackets`), the ladder's own rate between a lower and "
            "a higher one.",
        ),
        "bracket-diverged": (
            "A run of a learning-rate bracket diverged: the ladder's own rate may be close to where training breaks.",
            "Look at its reason. Try a factor in between; where larger sizes diverge, lower the rate.",
        ),
        "batch-follows-size": (
            "The batch grows with the parameters where it should grow with the tokens.",
            "Set it from the tokens, or hold it.",
        ),
        "decay-varies": (
            "Weight decay acts over very different shares of the runs.",
            "Set the decay from its timescale (`decay_for_timescale` in `lawful.recipes`).",
        ),
        "mixed-schedules": (
            "Schedules of different shape, decay fraction or floor stand in one ladder; no fit takes them together.",
            "Use one schedule.",
        ),
        "undecayed": (
            "Some runs end while their learning rate is still high, or never reach its peak: too few steps to decay, "
            "a warmup as long as the run, or a high floor. Their losses are not final.",
            "Give them more steps, a shorter warmup or a longer decay. No fit takes them beside decayed ones.",
        ),
        "mixed-precision": (
            "Precision changes inside the ladder: a confound of size.",
            "Use one precision for all; `fp32` everywhere if need be.",
        ),
        "validation-changes": (
            "Runs are judged on different validation sets.",
            "Use one validation set for the whole ladder.",
        ),
        "validation-in-training": (
            "Part of the validation text stands in the training text word for word.",
            "A percent or two does little to a law. With more, take out what is repeated before the text is split.",
        ),
        "vocabulary-dominates": (
            "Most parameters of some sizes are vocabulary.",
            "Take a smaller vocabulary (bytes, a trained BPE), and fit on parameters without embeddings.",
        ),
        "repeated-data": (
            "The largest budget passes over the data more than once.",
            "Up to about four passes cost little; beyond, get more data or fewer tokens.",
        ),
        "data-remarks": (
            "What a user should know of the data: pieces that were left out, a recording whose clock drifts.",
            "`lawful data verify NAME` lists all of it. Mend the files, or go on without them.",
        ),
        "seed-unused": (
            "Commands that differ in their seed alone gave exactly the same losses: the noise between runs would be "
            "taken for none.",
            "Hand the seed to the program, have it print more digits, or take the seed out of the grid.",
        ),
        "code-unknown": (
            "A command runs in a folder that is in no git repository, and names no file there: nothing tells which "
            "state of the program made a loss.",
            "Keep the trainer in a git repository, or name its file in the command.",
        ),
        "batch-in-pieces": (
            "A batch does not fit in memory whole: it is computed in pieces, with the same result within rounding.",
            "Nothing to do. Pieces are slower than a whole batch: a smaller batch or a larger device avoids them.",
        ),
        "few-steps": (
            "Some runs make few optimiser steps; they measure the start of training.",
            "Take a smaller batch or more tokens.",
        ),
        "padding": (
            "Padding counts in the loss of some runs.",
            "Mask it; the fit refuses these runs.",
        ),
    },
)

CODES: Mapping[str, Code] = {**REFUSALS, **CAUTIONS, **CONFOUNDS}

"""Why a fit is refused: what was seen, what to do."""

from __future__ import annotations

from lawful.codes.code import explained

REFUSALS = explained(
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

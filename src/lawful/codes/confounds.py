"""What a plan, or what its runs show, is warned of: what was seen, what to do."""

from __future__ import annotations

from lawful.codes.code import explained

CONFOUNDS = explained(
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

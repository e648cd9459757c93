"""Confounds: what, beside the thing studied, changes along a ladder and could be mistaken for its law.

`declared` looks at the plan, before anything is trained; `observed` at the table, once runs have ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from lawful.linter.groups import Others, all_but
from lawful.linter.rates import brackets, rates, schedule
from lawful.linter.tuning import untuned as untuned
from lawful.schema import Cell, CorpusRecord, Observation, PlannedRun, Warning
from lawful.tables import is_finished

LEAST_SIZES = 4  # a law of size with a floor has three parameters
UNEQUAL = 0.03  # arms of one rung may differ by so much in size or FLOPs
EPOCHS = 4  # up to about so many, a repeated token is worth nearly a fresh one (arXiv:2305.16264)
FEW_STEPS = 200
OVERLAP_SAID = 0.0005  # of the validation text, that stands in training: what rounds to .1 %
OVERLAP = 0.05  # more moves the losses by more than seeds do
TOKENS_PER_PARAM = 20  # near the optimum of arXiv:2203.15556
TIMESCALES = 4  # the memory of the weights, as a share of the run, may vary by this factor (arXiv:2505.13738)


def declared(rungs: Sequence[PlannedRun], corpora: Mapping[str, CorpusRecord], arm: str | None = None) -> list[Warning]:
    """The confounds of a plan, from its runs and corpora. `arm` is the coordinate that names the arms."""
    own = [rung for rung in rungs if rung.is_of_ladder]
    fitted = [rung for rung in own if not rung.held_out]
    found = [
        *_sizes(fitted),
        *_seeds(fitted),
        *_arms(own, arm),
        *rates(own),
        *_batches(own),
        *_decays(own),
        *_mixed(own, corpora),
        *_vocabulary(fitted),
        *_notices(corpora),
        *_remarks(corpora),
        *_overlaps(corpora),
        *_repeats(rungs, corpora),
        *_steps(own),
    ]
    return found


def declared_commands(rungs: Sequence[PlannedRun], arm: str | None = None) -> list[Warning]:
    """The confounds of a plan whose runs are commands: only sizes, seeds and costs are known, and not always all."""
    is_counted = not any({"params_non_embedding", "tokens", "flops"} & set(rung.unknown) for rung in rungs)
    fitted = [rung for rung in rungs if not rung.held_out]
    return [*(_sizes(fitted) if is_counted else []), *_seeds(fitted), *(_arms(rungs, arm) if is_counted else [])]


def observed(rungs: Sequence[PlannedRun], rows: Iterable[Observation]) -> list[Warning]:
    """What the runs that have ended add: the verdict of the learning-rate brackets, and padding that was counted."""
    rows = list(rows)
    padded = [row for row in rows if is_finished(row) and row.get("masks_padding") is False]
    found = []
    if padded:
        text = f"padding counts in the loss of {len(padded)} runs: their losses are of padding as much as of data."
        found.append(Warning("padding", "severe", text))
    return [*found, *_copies(rungs, rows), *brackets(rungs, rows)]


def _copies(rungs: Sequence[PlannedRun], rows: Sequence[Observation]) -> list[Warning]:
    """Commands that differ in their seed alone and have the same loss, digit for digit: the program takes no seed."""
    losses = {str(row.get("run")): row.get("loss") for row in rows if is_finished(row)}
    groups: dict[Others, list[Cell]] = defaultdict(list)
    for rung in rungs:
        if rung.kind == "command" and losses.get(rung.run) not in (None, ""):
            groups[all_but("seed", rung)].append(losses[rung.run])
    several = [found for found in groups.values() if len(found) > 1]
    same = sum(len(set(found)) == 1 for found in several)
    if not several or same < len(several):
        return []
    text = (
        f"runs that differ in their seed alone have one loss, digit for digit ({same} times): the seed does not reach "
        "the program, or the loss was read with too few digits. They are copies and no replicates."
    )
    return [Warning("seed-unused", "severe", text)]


def _sizes(fitted: Sequence[PlannedRun]) -> list[Warning]:
    per_arm = defaultdict(set)
    tokens = defaultdict(set)
    for rung in fitted:
        per_arm[rung.arm].add(rung.params_non_embedding)
        tokens[rung.arm].add(rung.tokens)
    # an arm of one size and several budgets is a ladder in data
    ladders = [sizes for arm, sizes in per_arm.items() if len(sizes) > 1 or len(tokens[arm]) == 1]
    if not ladders:
        return []
    fewest = min(map(len, ladders))
    if fewest < LEAST_SIZES:
        sizes = "1 fitted size" if fewest == 1 else f"{fewest} fitted sizes"
        text = f"{sizes}: a law of size with a floor has 3 parameters and needs at least {LEAST_SIZES}."
        return [Warning("few-sizes", "warning", text)]
    span = min(max(sizes) / min(sizes) for sizes in ladders)
    if span < 8:
        return [Warning("narrow-sizes", "note", f"fitted sizes span only a factor of {span:.1f}.")]
    return []


def _seeds(rungs: Sequence[PlannedRun]) -> list[Warning]:
    """A seed for each size is no replicate: only runs that differ in their seed alone tell noise. The coordinate of the
    seed may be called otherwise (replicate); it is one that always has the seed's value."""
    others = {name for rung in rungs for name, value in rung.at.items() if value != rung.seed}
    seeds = defaultdict(set)
    for rung in rungs:
        settings = (rung.params_total, rung.tokens, rung.batch_tokens, rung.learning_rate)
        seeds[settings, tuple(item for item in all_but("seed", rung) if item[0] in others)].add(rung.seed)
    if any(len(found) > 1 for found in seeds.values()):
        return []
    text = "no rung has two seeds: the noise between runs cannot be told from the law's misfit."
    return [Warning("one-seed", "warning", text)]


def _arms(rungs: Sequence[PlannedRun], arm: str | None) -> list[Warning]:
    """Runs that differ in their arm alone should be of one size and cost."""
    if arm is None:
        return []
    cells: dict[Others, list[PlannedRun]] = defaultdict(list)
    for rung in rungs:
        cells[tuple((name, value) for name, value in rung.at.items() if name != arm)].append(rung)
    found = []
    counts: tuple[tuple[Callable[[PlannedRun], int], str], ...] = (
        (lambda rung: rung.params_non_embedding, "parameters without embeddings"),
        (lambda rung: rung.flops, "FLOPs"),
    )
    for count, what in counts:
        spreads = {
            max(map(count, cell)) / min(map(count, cell)) - 1: cell
            for cell in cells.values()
            if len(cell) > 1 and min(map(count, cell)) > 0
        }
        worst = max(spreads, default=0.0)
        if worst > UNEQUAL:
            names = " and ".join(f"{rung.arm} {count(rung):.3g}" for rung in spreads[worst])
            text = f"arms differ by up to {worst:.1%} in {what} ({names}): part of their gap is size."
            found.append(Warning("unequal-arms", "warning", text))
        elif worst > 0.001:
            text = f"arms are matched in {what} within {worst:.1%}."
            found.append(Warning("arms-residue", "note", text))
    return found


def _batches(rungs: Sequence[PlannedRun]) -> list[Warning]:
    """The best batch grows with the tokens and not with the size (arXiv:2503.04715): where a run with fewer tokens
    has the larger batch, size decided it."""
    batches = defaultdict(set)
    for rung in rungs:
        batches[rung.arm, rung.tokens, rung.params_non_embedding].add(rung.batch_tokens)
    # of several batches tried at one size and budget, none follows anything: the smallest stands for them
    order = sorted((arm, tokens, min(tried), params) for (arm, tokens, params), tried in batches.items())
    for arm, tokens, batch, params in order:
        for beside, more, smaller, other in order:
            if beside == arm and more >= tokens and smaller < 0.8 * batch and other < params:
                text = (
                    f"the batch follows the parameters: {batch:,} tokens a step for {tokens:,} in all at {params:,} "
                    f"parameters, but {smaller:,} for {more:,} at {other:,}. It should follow the tokens."
                )
                return [Warning("batch-follows-size", "warning", text)]
    return []


def _decays(rungs: Sequence[PlannedRun]) -> list[Warning]:
    """Weight decay acts over B / (rate x decay) tokens; as a share of the run, that should stay the same."""
    spans = [
        rung.batch_tokens / (rung.learning_rate * rung.weight_decay * rung.tokens)
        for rung in rungs
        if rung.weight_decay and rung.learning_rate
    ]
    if spans and max(spans) / min(spans) > TIMESCALES:
        text = (
            f"weights remember {min(spans):.2g} to {max(spans):.2g} of a run: weight decay acts "
            f"{max(spans) / min(spans):.0f} times as strongly on some rungs as on others."
        )
        return [Warning("decay-varies", "note", text)]
    return []


def _mixed(rungs: Sequence[PlannedRun], corpora: Mapping[str, CorpusRecord]) -> list[Warning]:
    found = []
    schedules = sorted({schedule(rung) for rung in rungs})
    if len(schedules) > 1:
        text = f"schedules {', '.join(schedules)} in one ladder cannot be fitted together."
        found.append(Warning("mixed-schedules", "severe", text))
    high = [rung for rung in rungs if not rung.is_decayed and rung.schedule != "constant"]
    if high:
        is_beside_others = len(high) < len(rungs)
        text = (
            f"{_counted(high)} with a learning rate that is still high at the end, or never reaches its peak "
            f"({_listed(high)}): such losses are not final"
            + (", and no fit takes them beside the others." if is_beside_others else ".")
        )
        found.append(Warning("undecayed", "severe" if is_beside_others else "warning", text))
    if len({rung.precision for rung in rungs}) > 1:
        by_size = defaultdict(set)
        for rung in rungs:
            by_size[rung.params_non_embedding].add(rung.precision)
        listed = ", ".join(f"{' and '.join(sorted(by_size[size]))} at {size:,}" for size in sorted(by_size))
        is_of_size = len({frozenset(found) for found in by_size.values()}) > 1
        text = (
            f"precision changes inside the ladder ({listed} parameters): a confound{' of size' if is_of_size else ''}."
        )
        found.append(Warning("mixed-precision", "warning", text))
    sets = {
        (name, corpus.validation_fingerprint or corpus.fingerprint)
        for name, corpus in corpora.items()
        if name in {rung.corpus for rung in rungs}
    }
    if len({digest for _, digest in sets}) > 1:
        names = ", ".join(sorted(name for name, _ in sets))
        text = f"runs are judged on different validation sets ({names}): their losses do not compare."
        found.append(Warning("validation-changes", "warning", text))
    return found


def _vocabulary(fitted: Sequence[PlannedRun]) -> list[Warning]:
    heavy = {
        rung.params_total: rung.params_non_embedding / rung.params_total
        for rung in fitted
        if rung.params_embedding > rung.params_non_embedding
    }
    if not heavy:
        return []
    shares = ", ".join(f"{share:.1%}" for _, share in sorted(heavy.items()))
    text = f"blocks are only {shares} of the parameters of some sizes; the rest is vocabulary."
    return [Warning("vocabulary-dominates", "warning", text)]


def _remarks(corpora: Mapping[str, CorpusRecord]) -> list[Warning]:
    """What corpora tell of their data; see corpora.remarked."""
    found = []
    for name, corpus in corpora.items():
        if corpus.remarks:
            left = corpus.remarks - len(corpus.first_remarks)
            more = f"; and {left:,} more" if left > 0 else ""
            text = f"{name}: {'; '.join(corpus.first_remarks)}{more}. `lawful data verify` lists all."
            found.append(Warning("data-remarks", "note", text))
    return found


def _repeats(rungs: Sequence[PlannedRun], corpora: Mapping[str, CorpusRecord]) -> list[Warning]:
    found = []
    for name, corpus in corpora.items():
        tokens = max((rung.tokens for rung in rungs if rung.corpus == name), default=0)
        unique = corpus.train_tokens
        if unique and tokens > unique:
            text = (
                f"{name}: the largest budget is {tokens / unique:.1f} epochs of {unique:,} tokens; beyond about "
                f"{EPOCHS} a repeated token is worth less than a fresh one (arXiv:2305.16264)."
                f"{_bound(rungs, name, unique)}"
            )
            found.append(Warning("repeated-data", "warning" if tokens > EPOCHS * unique else "note", text))
    return found


def _bound(rungs: Sequence[PlannedRun], corpus: str, unique: int) -> str:
    """Which sizes want more fresh tokens than there are."""
    enough = unique / TOKENS_PER_PARAM
    largest = max(rung.params_non_embedding for rung in rungs if rung.corpus == corpus)
    if largest <= enough:
        return ""
    return (
        f" At {TOKENS_PER_PARAM} tokens a parameter (arXiv:2203.15556) they are enough for {enough:,.0f} parameters; "
        "larger sizes will be bound by data."
    )


def _overlaps(corpora: Mapping[str, CorpusRecord]) -> list[Warning]:
    found = []
    for name, corpus in corpora.items():
        share = corpus.overlap or 0.0
        if share < OVERLAP_SAID:
            continue
        looked_at, unique = corpus.overlap_tokens or 0, corpus.train_tokens
        text = (
            f"{name}: {share:.1%} of the validation text stands in "
            + ("the training text" if looked_at == unique else f"the first {looked_at:,} training tokens")
            + " word for word, by runs of 80 bytes: losses there are also those of learning by heart."
        )
        found.append(Warning("validation-in-training", "warning" if share > OVERLAP else "note", text))
    return found


def _notices(corpora: Mapping[str, CorpusRecord]) -> list[Warning]:
    """What a corpus must say about its rights."""
    told = dict.fromkeys(notice for corpus in corpora.values() for notice in corpus.notices)
    return [Warning("notice", "warning", f"{notice}.") for notice in told]


def _steps(rungs: Sequence[PlannedRun]) -> list[Warning]:
    short = [rung for rung in rungs if rung.steps < FEW_STEPS]
    if not short:
        return []
    text = f"{_counted(short)} of fewer than {FEW_STEPS} optimiser steps ({_listed(short)})."
    return [Warning("few-steps", "warning", text)]


def _counted(rungs: Sequence[PlannedRun]) -> str:
    return "1 run" if len(rungs) == 1 else f"{len(rungs):,} runs"


def _listed(rungs: Sequence[PlannedRun]) -> str:
    return ", ".join(rung.rung for rung in rungs[:2]) + (f" and {len(rungs) - 2} more" if len(rungs) > 2 else "")

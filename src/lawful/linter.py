"""Confounds: what, beside the thing studied, changes along a ladder and could be mistaken for its law.

`declared` looks at the plan, before anything is trained; `observed` at the table, once runs have ended.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from lawful.schema import Cell, Coordinate, CorpusRecord, Observation, PlannedRun, Severity, Warning
from lawful.tables import is_finished

Others = tuple[tuple[str, Coordinate], ...]  # a run's coordinates but one, by name

LEAST_SIZES = 4  # a law of size with a floor has three parameters
JUMP = 1.5  # the learning rate may leave a smooth power of size by this factor between neighbours
UNKNOWN_NOISE = 0.0125  # of the loss between seeds, where no rung has two: the most that ladders of small models showed
FLAT_DRAWS = 20_000  # of brackets in which all rates are equal
UNEQUAL = 0.03  # arms of one rung may differ by so much in size or FLOPs
EPOCHS = 4  # up to about so many, a repeated token is worth nearly a fresh one (arXiv:2305.16264)
FEW_STEPS = 200
OVERLAP_SAID = 0.0005  # of the validation text, that stands in training: what rounds to .1 %
OVERLAP = 0.05  # more moves the losses by more than seeds do
TOKENS_PER_PARAM = 20  # near the optimum of arXiv:2203.15556
TIMESCALES = 4  # the memory of the weights, as a share of the run, may vary by this factor (arXiv:2505.13738)


def declared(rungs: Sequence[PlannedRun], corpora: Mapping[str, CorpusRecord], arm: str | None = None) -> list[Warning]:
    """Of the plan's runs and corpora. `arm` is the coordinate that names the arms."""
    own = [rung for rung in rungs if rung.is_of_ladder]
    fitted = [rung for rung in own if not rung.held_out]
    found = [
        *_sizes(fitted),
        *_seeds(fitted),
        *_arms(own, arm),
        *_rates(own),
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
    """Of a plan whose runs are commands: of them, sizes, seeds and costs are known, and not all of those."""
    counted = [rung for rung in rungs if not {"params_non_embedding", "tokens", "flops"} & set(rung.unknown)]
    fitted = [rung for rung in rungs if not rung.held_out]
    sizes = _sizes([rung for rung in fitted if rung in counted]) if len(counted) == len(rungs) else []
    return [*sizes, *_seeds(fitted), *(_arms(rungs, arm) if len(counted) == len(rungs) else [])]


def observed(rungs: Sequence[PlannedRun], rows: Iterable[Observation]) -> list[Warning]:
    """What the runs that have ended add: the verdict of the learning-rate brackets, and padding that was counted."""
    rows = list(rows)
    padded = [row for row in rows if is_finished(row) and row.get("masks_padding") is False]
    found = []
    if padded:
        text = f"padding counts in the loss of {len(padded)} runs: their losses are of padding as much as of data."
        found.append(Warning("padding", "severe", text))
    return [*found, *_copies(rungs, rows), *_brackets(rungs, rows)]


def _copies(rungs: Sequence[PlannedRun], rows: Sequence[Observation]) -> list[Warning]:
    """Commands that differ in their seed alone and have the same loss, digit for digit: the program takes no seed."""
    losses = {str(row.get("run")): row.get("loss") for row in rows if is_finished(row)}
    groups: dict[Others, list[Cell]] = defaultdict(list)
    for rung in rungs:
        if rung.kind == "command" and losses.get(rung.run) not in (None, ""):
            groups[others_of("seed", rung)].append(losses[rung.run])
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
        text = f"{fewest} fitted sizes: a law of size with a floor has 3 parameters and needs at least {LEAST_SIZES}."
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
        seeds[settings, tuple(item for item in others_of("seed", rung) if item[0] in others)].add(rung.seed)
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


def _rates(rungs: Sequence[PlannedRun]) -> list[Warning]:
    """The peak rate may follow the size smoothly, counted in any way that the plan knows: by all parameters, by those
    of the embeddings (which go as the width), by a coordinate. One that was set by hand in steps moves the law."""
    moving = [rung for rung in rungs if rung.learning_rate > 0]  # a rate of 0 is a control that stays as it began
    for arm in dict.fromkeys(rung.arm for rung in moving):
        own = [rung for rung in moving if rung.arm == arm]
        by_size = _by_size(own, lambda rung: rung.learning_rate)
        if len(by_size) < 3:
            continue
        jump, at, _ = _jump(own, lambda rung: rung.params_non_embedding)
        if jump > JUMP and not any(max(_jump(own, measure)[::2]) <= JUMP for measure in _measures(own)):
            first, second = list(by_size)[at : at + 2]
            text = (
                f"the learning rate goes from {by_size[first]:.3g} to {by_size[second]:.3g} between {first:,.0f} and "
                f"{second:,.0f} parameters, off any smooth rule for the ladder: a confound of size."
            )
            return [Warning("rate-jumps", "warning", text)]
    return []


def _measures(rungs: Sequence[PlannedRun]) -> list[Callable[[PlannedRun], Coordinate]]:
    """Other counts of a rung's size that have at least three values: its parameters by group, its coordinates."""
    by_column: list[Callable[[PlannedRun], Coordinate]] = [
        lambda rung, name=name: getattr(rung, name)  # type: ignore[misc]
        for name in ("params_total", "params_embedding")
    ]
    by_coordinate: list[Callable[[PlannedRun], Coordinate]] = [
        lambda rung, name=name: rung.at.get(name)  # type: ignore[misc]
        for name in {name for rung in rungs for name in rung.at} - {"seed", "rate", "tokens"}
    ]
    found = []
    for measure in (*by_column, *by_coordinate):
        values = [measure(rung) for rung in rungs]
        if all(isinstance(value, (int, float)) and value > 0 for value in values) and len(set(values)) > 2:
            found.append(measure)
    return found


def _jump(rungs: Sequence[PlannedRun], measure: Callable[[PlannedRun], Coordinate]) -> tuple[float, int, float]:
    """The largest factor by which the rate leaves a smooth function of a measure of size between neighbours, and
    where; then the largest between rungs of one measure. The slope of the logarithm may bend: it lies between the
    slopes beside it, and at an end, where they lead to."""
    rates: dict[float, list[float]] = defaultdict(list)
    for rung in rungs:
        rates[float(measure(rung))].append(math.log(rung.learning_rate / (rung.bracket or 1.0)))
    uneven = max(max(own) - min(own) for own in rates.values())
    sizes = np.log(sorted(rates))
    steps = np.diff(sizes)
    slopes = np.diff([float(np.mean(rates[size])) for size in sorted(rates)]) / steps
    jumps = np.zeros(len(slopes))
    for i, slope in enumerate(slopes):
        beside = [slopes[k] for k in (i - 1, i + 1) if 0 <= k < len(slopes)]
        if len(slopes) == 2:
            beside = [float(slopes.mean())]
        elif len(beside) == 1:
            near, next_ = (1, 2) if i == 0 else (i - 1, i - 2)
            beside.append(2 * slopes[near] - slopes[next_])
        jumps[i] = abs(slope - min(max(slope, min(beside)), max(beside))) * steps[i]
    at = int(jumps.argmax())
    return math.exp(float(jumps[at])), at, math.exp(uneven)


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
    schedules = sorted({_schedule(rung) for rung in rungs})
    if len(schedules) > 1:
        text = f"schedules {', '.join(schedules)} in one ladder cannot be fitted together."
        found.append(Warning("mixed-schedules", "severe", text))
    high = [rung for rung in rungs if not rung.is_decayed and rung.schedule != "constant"]
    if high:
        is_beside_others = len(high) < len(rungs)
        text = (
            f"{len(high)} runs end while their learning rate is still high, or never reach its peak ({_listed(high)}): "
            "their losses are not final" + (", and no fit takes them beside the others." if is_beside_others else ".")
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
    text = f"{len(short)} runs make fewer than {FEW_STEPS} optimiser steps ({_listed(short)})."
    return [Warning("few-steps", "warning", text)]


def _brackets(rungs: Sequence[PlannedRun], rows: Sequence[Observation]) -> list[Warning]:
    """Around each bracketed run, its best rate: where that is another one, or at an edge, the rate of the whole ladder
    is in doubt. A run that diverged is worse than any other."""
    losses: dict[str, float] = {}
    for row in rows:
        loss = math.inf if row.get("status") == "diverged" else row.get("loss")
        if row.get("status") in ("finished", "diverged") and isinstance(loss, (int, float)):
            losses[str(row["run"])] = float(loss)
    groups: dict[Others, dict[float, float]] = defaultdict(dict)
    tried: dict[Others, set[float]] = defaultdict(set)
    over = {row["run"] for row in rows if row.get("status") in ("finished", "diverged", "failed")}
    waiting = set()
    labels: dict[Others, str] = {}
    bracketed = {others_of("rate", rung) for rung in rungs if rung.bracket is not None}
    for rung in rungs:
        key = others_of("rate", rung)
        if key in bracketed and rung.bracket is None:
            labels[key] = rung.rung
        if key in bracketed:
            tried[key].add(float(rung.bracket or 1.0))
            if rung.run not in over:
                waiting.add(key)
        if key in bracketed and rung.run in losses:
            groups[key][float(rung.bracket or 1.0)] = losses[rung.run]
    spread, dof = seed_spread(rungs, losses)
    judged = {
        key: by_rate
        for key, by_rate in groups.items()
        if len(by_rate) >= (3 if key in waiting else 2) and math.isfinite(by_rate.get(1.0, math.inf))
    }
    others = [sum(map(math.isfinite, by_rate.values())) - 1 for by_rate in judged.values()]
    reach = _largest_gain([number for number in others if number > 0], dof)
    found = []
    for key, by_rate in groups.items():
        label = labels.get(key, ",".join(f"{name}={value}" for name, value in key))
        if diverged := sorted(rate for rate, loss in by_rate.items() if math.isinf(loss)):
            text = f"{label}: of the learning rates tried, {_listed_rates(diverged)} diverged."
            found.append(Warning("bracket-diverged", "warning", text))
        if key not in judged:
            continue
        best = min(by_rate, key=lambda rate: by_rate[rate])
        gain = by_rate[1.0] - by_rate[best]
        noise = spread if dof else UNKNOWN_NOISE * by_rate[1.0]
        is_shown = gain > reach * noise
        why_not = (
            "no more than seeds differ by."
            if dof
            else f"no rung has two seeds, and seeds differ by up to about {100 * UNKNOWN_NOISE:g} %: it is not decided."
        )
        severity: Severity = "warning" if is_shown else "note"
        is_at_edge = best in (min(tried[key]), max(tried[key]))
        if is_at_edge and best == 1.0:
            side = "lower" if best == min(tried[key]) else "higher"
            text = f"{label}: of the learning rates tried, the one used is the best, but no {side} one was tried."
            found.append(Warning("rate-at-edge", "note", text))
        elif is_at_edge:
            text = (
                f"{label}: of the learning rates tried, the best is at the edge, {best:g} times the one used, by "
                f"{gain:.4f} in the loss: "
                + ("the best may lie beyond, and the ladder is not at it." if is_shown else why_not)
            )
            found.append(Warning("rate-at-edge", severity, text))
        elif best != 1.0:
            text = (
                f"{label}: of the learning rates tried, {best:g} times the one used is better by {gain:.4f} in the "
                "loss: " + ("the ladder is not at its best rate." if is_shown else why_not)
            )
            found.append(Warning("rate-not-best", severity, text))
    return found


def _largest_gain(others: Sequence[int], dof: int) -> float:
    """By how many standard deviations of a run the best of each bracket's other rates beats the one used, in the
    bracket where that is most, in 5 % of studies whose brackets are all flat. `dof` is of the estimated deviation; 0:
    it is known. Without it, one seed at a flat bracket said "not at it" in 63 % of studies."""
    if not others:
        return math.inf
    rng = np.random.default_rng(0)
    gains = [
        rng.standard_normal(FLAT_DRAWS) - rng.standard_normal((number, FLAT_DRAWS)).min(axis=0) for number in others
    ]
    estimated = np.sqrt(rng.chisquare(dof, FLAT_DRAWS) / dof) if dof else 1.0
    return float(np.quantile(np.max(gains, axis=0) / estimated, 0.95))


def seed_spread(rungs: Sequence[PlannedRun], losses: Mapping[str, float]) -> tuple[float, int]:
    """Standard deviation of the loss between seeds of one rung, pooled, and its degrees of freedom; 0 where no rung has
    two."""
    groups: dict[Others, list[float]] = defaultdict(list)
    for rung in rungs:
        if math.isfinite(losses.get(rung.run, math.inf)) and rung.bracket is None:
            groups[others_of("seed", rung)].append(losses[rung.run])
    several = [group for group in groups.values() if len(group) > 1]
    dof = sum(len(group) - 1 for group in several)
    return math.sqrt(sum(float(np.var(group)) * len(group) for group in several) / dof) if dof else 0.0, dof


def others_of(coordinate: str, rung: PlannedRun) -> Others:
    """A rung's other coordinates: the same for runs that differ in this one alone."""
    return tuple((name, value) for name, value in rung.at.items() if name != coordinate)


def _schedule(rung: PlannedRun) -> str:
    """Its shape, and what of it must be one in a ladder."""
    named = (("decay", rung.decay_fraction), ("floor", rung.rate_floor))
    settings = [f"{name} {value:g}" for name, value in named if value is not None]
    return f"{rung.schedule} ({', '.join(settings)})" if settings else rung.schedule


def _listed(rungs: Sequence[PlannedRun]) -> str:
    return ", ".join(rung.rung for rung in rungs[:2]) + (f" and {len(rungs) - 2} more" if len(rungs) > 2 else "")


def _listed_rates(factors: Sequence[float]) -> str:
    return " and ".join("the one used" if factor == 1 else f"{factor:g} times the one used" for factor in factors)


def _by_size(rungs: Sequence[PlannedRun], measure: Callable[[PlannedRun], float]) -> dict[int, float]:
    """Geometric mean of a measure over the runs of each size, sizes ascending."""
    values: dict[int, list[float]] = defaultdict(list)
    for rung in rungs:
        values[rung.params_non_embedding].append(math.log(measure(rung)))
    return {size: math.exp(sum(values[size]) / len(values[size])) for size in sorted(values)}

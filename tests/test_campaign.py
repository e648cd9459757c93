"""A campaign chooses, trains and looks until its goal is met or its budget is spent; nothing can undo its record."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import toy_study
from commands import VAL_LOSS
from lawful.campaign import Asked, choice, go_on, start_campaign
from lawful.campaign.candidates import asked_question, candidates_of, space_filling
from lawful.cli.commands import CommandOptions
from lawful.cli.extend import extend
from lawful.command import Command, LogPattern
from lawful.conduct import run_study
from lawful.errors import DeclarationError, StoreError
from lawful.fitting.answer import answer_study
from lawful.fitting.answers import Answer
from lawful.fitting.goal import read_goal
from lawful.fitting.registered import read_forecasts
from lawful.observe import write_observations
from lawful.planning.plan import make_plan
from lawful.report.campaign import campaign_sentences, campaign_table
from lawful.schema import PlannedRun
from lawful.schema.campaign import Campaign
from lawful.storage.atomic import write_json
from lawful.storage.campaigns import read_campaign
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from lawful.study import Question, Range, Study, grid
from lawful.tables import read_cells
from planted_campaign import FLOPS, SURFACE, Kill, Planted, campaign, loss_of, planner, rung, study, surface_of
from planted_runs import Planted as PlantedTraining

BUDGET = 3e15


def choices(found: Campaign) -> list[tuple[str, tuple[str, ...], float, float | None, str]]:
    """What was chosen in each round, and from what."""
    return [(one.kind, one.runs, one.flops, one.look.half_width, one.look.table) for one in found.rounds]


@pytest.fixture(scope="module", autouse=True)
def each_table_is_fitted_once() -> Iterator[None]:
    """With fewer draws than usual; the same runs have the same fits."""
    known: dict[str, list[Answer]] = {}

    def quick(folder: Path) -> list[Answer]:
        rows = [[row.get(name) for name in choice.READ] for row in read_cells(Store(folder).observations)]
        key = repr((rows, Store(folder).read_study().questions))
        if key not in known:
            known[key] = answer_study(folder, draws=200)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "answer_study", quick)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> tuple[Path, Campaign, Planted, list[str]]:
    folder, executor, said = tmp_path_factory.mktemp("campaign"), Planted(), list[str]()
    return folder / "out", campaign(folder, study(), executor, said=said), executor, said


Finished = tuple[Path, Campaign, Planted, list[str]]


def test_a_campaign_meets_its_goal_for_less_than_its_ladder(finished: Finished) -> None:
    folder, found, executor, said = finished
    assert found.end is not None and found.end.ending == "met"
    assert found.end.look.half_width is not None and found.end.look.half_width <= found.enough == 0.01
    assert [one.kind for one in found.rounds] == ["start", *["chosen"] * (len(found.rounds) - 2), "held out"]
    assert len(executor.began) == len(set(executor.began)) == sum(len(one.runs) for one in found.rounds)
    runs = {run.rung: run for run in Store(folder).read_study().runs}
    assert found.spent == sum(runs[label].flops for label in executor.began) < BUDGET
    assert (
        found.rule.grid_flops
        == sum(
            6 * n * d
            for n in {*(one.at["params"] for one in study().ladder)}
            for d in {*(one.at["tokens"] for one in study().ladder)}
        )
        * 2
    )
    assert sum("round" in line for line in said) == len(found.rounds)
    assert all(one.look.spent == sum(former.flops for former in found.rounds[:i]) for i, one in enumerate(found.rounds))


def test_the_held_out_run_is_the_reserved_one_and_is_forecast_before_it_begins(finished: Finished) -> None:
    folder, found, executor, _ = finished
    last = found.rounds[-1].runs
    assert last == (found.rule.held_out,) and found.rule.held_out_flops <= 0.25 * BUDGET
    assert executor.began[-1] == last[0] and executor.forecast_there[last[0]]
    write_observations(folder)
    (answer,) = answer_study(folder)
    (held,) = answer.held_out
    assert held.is_registered and held.rung == last[0] and held.predicted == pytest.approx(held.observed, rel=0.05)
    forecast = {entry.rung for entry in read_forecasts(Store(folder)).forecasts}
    assert forecast == set(executor.began) - set(found.rounds[0].runs)  # every run after the start


def test_a_campaign_that_has_ended_does_nothing_more(finished: Finished) -> None:
    folder, found, _, _ = finished
    before = Store(folder).campaign.read_bytes()
    executor = Planted()
    assert go_on(folder, study(), executor) == found
    assert not executor.began and Store(folder).campaign.read_bytes() == before


def test_another_rule_is_refused_and_says_what_differs(finished: Finished) -> None:
    folder = finished[0]
    plan = planner(folder.parent)
    for asked, said in (
        (Asked(until="alpha within .02", budget=BUDGET), "goal: alpha within .01 there, alpha within .02 now"),
        (Asked(until="alpha within .01", budget=2 * BUDGET), "budget"),
        (Asked(until="alpha within .01", budget=BUDGET, batch=7), "batch: 2 there, 7 now"),
    ):
        with pytest.raises(StoreError, match=said):
            start_campaign(folder, study(), asked, plan, print)
    with pytest.raises(StoreError, match="candidates"):
        start_campaign(folder, study(seeds=3), Asked(until="alpha within .01", budget=BUDGET), plan, print)
    with pytest.raises(StoreError, match="its declaration has changed"):
        go_on(folder, study(seeds=3), Planted())
    start_campaign(folder, study(), Asked(until="alpha within .01", budget=BUDGET), plan, print)  # the same


def test_an_edited_record_is_refused(finished: Finished, tmp_path: Path) -> None:
    raw = read_json(Store(finished[0]).campaign)
    assert isinstance(raw["rule"], dict)
    write_json(Store(tmp_path).campaign, {**raw, "rule": {**raw["rule"], "budget": 1.0}})
    with pytest.raises(StoreError, match="damaged or edited"):
        read_campaign(Store(tmp_path))


class Steps:
    """Dies at every step once: before and after each write, and after each run."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def __call__(self, what: str) -> None:
        if what not in self.seen:
            self.seen.add(what)
            raise Kill


def test_a_campaign_that_is_killed_at_every_step_chooses_the_same_runs(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Steps()

    def dying(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def around(*given: Any, **named: Any) -> Any:
            count = len(getattr(given[1], "rounds", getattr(given[1], "runs", ())))
            step(f"before {name} {count}")
            call(*given, **named)
            step(f"after {name} {count}")

        return around

    def loss(run: PlannedRun) -> float:
        step(f"in {run.rung}")
        return loss_of(run)

    import lawful.campaign as module
    from lawful.planning import written

    monkeypatch.setattr(module, "write_campaign", dying("record", module.write_campaign))
    monkeypatch.setattr(written, "replace_plan", dying("plan", written.replace_plan))
    kills, executor = 0, Planted(loss)
    declared = study()
    while True:
        try:
            found = campaign(tmp_path, declared, executor)
            break
        except Kill:
            kills += 1
    assert kills == len(step.seen) > 2 * len(found.rounds) + len(set(executor.began))
    assert choices(found) == choices(finished[1])
    assert read_campaign(Store(tmp_path / "out")) == found
    results = list((tmp_path / "out" / "runs").glob("*/result.json"))
    assert len(results) == sum(len(one.runs) for one in found.rounds)


def test_a_budget_that_is_spent_ends_the_campaign_with_its_goal_unmet(tmp_path: Path) -> None:
    found = campaign(tmp_path, study(), Planted(), until="alpha within 1e-6", budget=4e12, batch=10)
    assert found.end is not None and found.end.ending == "spent" and "costs more" in found.end.why
    assert 0.8 * 4e12 < found.spent <= 4e12
    assert found.rounds[-1].kind == "held out"
    said = campaign_sentences(found, [])
    assert "is not met: the budget is spent: " in said[0]
    assert f"of which the campaign took {found.spent / found.rule.grid_flops:.2g}" in said[1]


def test_a_first_round_whose_plan_was_not_written_is_planned_as_it_was_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version may choose otherwise: what the record says stands."""
    out, asked, plan = tmp_path / "out", Asked(until="alpha within .01", budget=BUDGET), planner(tmp_path)
    chosen = start_campaign(out, study(), asked, plan, print).rounds[0].runs
    Store(out).study.unlink()
    monkeypatch.setattr("lawful.campaign.start_of", lambda reach, budget: reach.open_[:1])
    start_campaign(out, study(), asked, plan, print)
    assert {run.rung for run in Store(out).read_study().runs} == set(chosen)


def test_where_no_law_can_be_fitted_more_runs_fill_the_ranges_and_that_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    executor = Planted(surface_of, killed_after=7)  # before there are enough for a fit
    with pytest.raises(Kill):
        campaign(tmp_path, study(SURFACE), executor, until="N_exponent within .2", budget=2.8e12, said=said)
    found = read_campaign(Store(tmp_path / "out"))
    assert found is not None and [one.kind for one in found.rounds[:2]] == ["start", "space-filling"]
    assert any("no law can be fitted yet (chinchilla has 5 free parameters" in line for line in said)


def test_a_run_that_failed_is_not_tried_again_before_the_campaign_is_resumed(tmp_path: Path) -> None:
    bad = "params=10000,tokens=1000000,seed=0"
    executor = Planted(lambda run: None if run.rung == bad else loss_of(run))
    found = campaign(tmp_path, study(), executor, until="alpha within .04")
    assert found.end is not None and executor.began.count(bad) == 1
    assert bad in found.rounds[0].runs and sum(bad in one.runs for one in found.rounds) == 1


def test_a_round_whose_runs_all_fail_ends_the_choosing(tmp_path: Path) -> None:
    said: list[str] = []
    found = campaign(tmp_path, study(), Planted(lambda run: None), said=said)
    assert found.end is None and len(found.rounds) == 1 and "every run of round 1 failed" in said[-1]
    with pytest.raises(Kill):  # they are tried again
        go_on(tmp_path / "out", study(), Planted(killed_after=0))


def test_one_run_that_never_succeeds_does_not_end_a_campaign_of_one_run_a_round(tmp_path: Path) -> None:
    tried: list[str] = []

    def loss(run: PlannedRun) -> float | None:
        tried.append(run.rung)
        return None if len(set(tried)) == 9 else loss_of(run)  # the first run after the start

    executor = Planted(loss, killed_after=9)
    with pytest.raises(Kill):
        campaign(tmp_path, study(), executor, until="alpha within .001", batch=1)
    assert len(executor.began) == 9  # and a tenth was chosen


def test_nothing_is_chosen_when_the_time_is_over_and_a_resume_goes_on(tmp_path: Path) -> None:
    said: list[str] = []
    found = campaign(tmp_path, study(), Planted(), said=said, max_hours=1e-9)
    assert found.end is None and len(found.rounds) == 1 and "lawful resume" in said[-1]
    for whole in (
        lambda: run_study(study(), tmp_path / "out"),
        lambda: extend(tmp_path / "out", told=CommandOptions()),
    ):
        with pytest.raises(StoreError, match=r"holds a campaign.* lawful resume"):
            whole()
    with pytest.raises(Kill):  # a second round is chosen
        go_on(tmp_path / "out", study(), Planted(killed_after=0))
    written = read_campaign(Store(tmp_path / "out"))
    assert written is not None and written.rounds[:1] == found.rounds and len(written.rounds) == 2


def test_two_processes_do_not_run_one_campaign(tmp_path: Path) -> None:
    class Second(Planted):
        def submit(self, folder: Path, groups: Any) -> Any:
            with pytest.raises(StoreError, match="another process runs this campaign"):
                go_on(folder, study(), Planted())
            raise Kill

    with pytest.raises(Kill):
        campaign(tmp_path, study(), Second())


@pytest.mark.parametrize(
    ("declared", "asked", "said"),
    [
        ({"law": "power_floor:params"}, {}, "a law of params and tokens, or of flops"),
        ({"law": "power_floor"}, {}, "a law of params and tokens, or of flops"),
        ({}, {"until": "gamma within .1"}, "does not know 'gamma within .1'; its parameters are E, "),
        ({}, {"until": "L at 1e20 within 1 %"}, "does not know 'L at 1e20 within 1 %'"),
        ({}, {"until": "alpha"}, "expected 'NAME within HALF-WIDTH'"),
        ({}, {"budget": 1e11}, "--budget: expected at least"),
        ({}, {"budget": -1.0}, "--budget: expected"),
        ({}, {"batch": 0}, "--batch: expected"),
    ],
)
def test_what_no_campaign_can_do_is_refused_before_anything_is_written(
    tmp_path: Path, declared: dict[str, Any], asked: dict[str, Any], said: str
) -> None:
    given: dict[str, Any] = {"until": "alpha within .01", "budget": BUDGET, **asked}
    with pytest.raises(DeclarationError, match=said):
        start_campaign(tmp_path / "out", study(replace(FLOPS, **declared)), Asked(**given), planner(tmp_path), print)
    assert not (tmp_path / "out").exists()


def test_the_question_is_the_first_whose_law_prices_runs_and_knows_the_goal(tmp_path: Path) -> None:
    size = replace(FLOPS, name="size", law="power_floor:params")
    declared = replace(study(), questions=[size, FLOPS, SURFACE])
    started = functools.partial(start_campaign, study=declared, plan=planner(tmp_path), say=print)
    for name, until, question in (("a", "alpha within .1", "compute"), ("b", "N_exponent within .1", "surface")):
        found = started(tmp_path / name, asked=Asked(until=until, budget=BUDGET))
        assert found.rule.question == question
    with pytest.raises(DeclarationError) as error:
        started(tmp_path / "c", asked=Asked(until="delta within .1", budget=BUDGET))
    assert all(f"question '{name}'" in str(error.value) for name in ("size", "compute", "surface"))


def test_the_runs_that_a_question_asks_about_are_those_that_its_answer_will_take() -> None:
    """One condition after another, and the largest of those that may be fitted: as fitting/asked.py chooses rows."""
    largest = replace(FLOPS, where={"at_tokens": "max"})
    held_out = study(largest, held_out={"tokens": 100_000_000})
    assert {one.point[1] for one in candidates_of(held_out, largest)} == {31_622_777.0}
    of_one_size = replace(FLOPS, where={"at_params": 10_000, "at_tokens": "max"})
    ladder = [
        *grid(rung, params=[10_000], tokens=[10**6, 10**7], seed=[0, 1]),
        *grid(rung, params=[10**6], tokens=[10**8], seed=[0]),
    ]
    declared = Study(name="toy", question="?", ladder=ladder, questions=[FLOPS])
    assert [one.point for one in candidates_of(declared, of_one_size)] == [(1e4, 1e7)] * 2


def test_a_run_whose_counts_only_its_end_tells_cannot_be_chosen(tmp_path: Path) -> None:
    def rung(size: int) -> Command:
        reads = (VAL_LOSS, LogPattern("params {params}"))
        return Command(f"{sys.executable} train.py {{size}}", tokens=1e6, reads=reads)

    declared = Study(name="toy", question="?", ladder=grid(rung, size=[1, 2, 3, 4]), questions=[FLOPS])
    with pytest.raises(DeclarationError, match="known before they run; size=1 tells them only when it ends"):
        start_campaign(
            tmp_path / "out", declared, Asked(until="alpha within .1", budget=1e15), planner(tmp_path), print
        )


def test_the_first_runs_span_the_ranges_and_none_takes_more_than_half_of_what_is_left() -> None:
    question = asked_question(study(), read_goal("alpha within .1"))
    found = candidates_of(study(), question)
    start = space_filling(found, (), 8, 1e15)
    left = 1e15
    for one in start:
        assert one.flops <= left / 2
        left -= one.flops
    corners = {(n, d) for n in (1e4, 1e6) for d in (1e6, 1e8)} - {(1e6, 1e8)}  # that one costs 6e14
    assert corners <= {one.point for one in start} and len({one.point for one in start}) == 8
    scarce = space_filling(found, (), 8, 1.2e12)  # 20 times the cheapest
    assert len(scarce) >= 5 and sum(one.flops for one in scarce) <= 1.2e12
    assert [one.flops for one in space_filling(found, start, 2, 7e10)] == [6e10]
    more = space_filling(found, start, 2, 1e15)
    assert not {one.point for one in more} & {one.point for one in start}


def test_a_study_whose_runs_have_begun_is_no_place_for_a_campaign(tmp_path: Path) -> None:
    from lawful.conduct import train_study

    planner(tmp_path)(study().of_rungs(study().ladder[:3])).write(tmp_path / "out")
    train_study(tmp_path / "out", Planted())
    with pytest.raises(StoreError, match="the rule must be older than the first run"):
        campaign(tmp_path, study(), Planted())


def test_runs_of_our_own_are_those_of_the_ladder_and_share_their_trunks_within_a_round(tmp_path: Path) -> None:
    declared = toy_study.study(widths=(8, 12, 16, 24, 32, 48), steps=(20, 40, 80, 160))
    plan = functools.partial(make_plan, device_name="cpu", is_timed=False)
    whole = {run.rung: run for run in plan(declared).study.runs}
    budget = 0.5 * sum(run.own_flops or 0 for run in whole.values())
    asked = Asked(until="N_exponent within .002", budget=budget, batch=6)
    start_campaign(tmp_path, declared, asked, plan, print)
    found = go_on(tmp_path, declared, executor := PlantedTraining())
    assert found.rule.grid_flops == pytest.approx(sum(run.own_flops or 0 for run in whole.values()))
    assert "width=48" in found.rule.held_out and found.spent <= budget
    assert [one.kind for one in found.rounds[:2]] == ["start", "chosen"] and found.rounds[-1].kind == "held out"
    runs = Store(tmp_path).read_study().runs
    assert {run.run for run in runs} == {run for run, _ in executor.began} <= {run.run for run in whole.values()}
    assert [run.rung for run in runs if run.held_out] == [found.rule.held_out]
    first = [whole[label] for label in found.rounds[0].runs]
    assert found.rounds[0].flops < sum(run.flops for run in first)  # two of them differ only in their length


@pytest.mark.parametrize(
    ("question", "asked", "ladder", "said"),
    [
        (replace(FLOPS, fixed={"alpha": 0.5}), {}, {}, "alpha is fixed at 0.5, and no run narrows it"),
        (FLOPS, {"batch": 1001}, {}, "--batch: expected at most 1,000 runs, got 1,001"),
        (SURFACE, {"until": "L at params=1,tokens=1,params=2 within 1 %"}, {}, "expected each axis once"),
        (SURFACE, {}, {"params": [10_000]}, "a law in params needs at least 3 levels of it.* have 1"),
        (
            SURFACE,
            {"budget": 5e11},
            {},
            "expected at least 8.79e.11 FLOPs .*, for 6 runs, without which chinchilla",
        ),
        (FLOPS, {"budget": 2.6e11}, {}, "expected at least .* FLOPs .*, for 4 runs, without which power_floor"),
        (FLOPS, {}, {"params": [10_000], "tokens": [10**6]}, "needs at least 4 runs; the study reaches 2"),
    ],
)
def test_a_campaign_that_can_never_know_is_refused_before_its_start(
    tmp_path: Path, question: Question, asked: dict[str, Any], ladder: dict[str, Any], said: str
) -> None:
    axes = {"params": Range(10_000, 10**6, levels=3), "tokens": Range(10**6, 10**8, levels=3), **ladder}
    declared = Study(name="toy", question="?", ladder=grid(rung, **axes, seed=range(2)), questions=[question])
    given: dict[str, Any] = {"until": "alpha within .01", "budget": BUDGET, **asked}
    with pytest.raises(DeclarationError, match=said):
        start_campaign(tmp_path / "out", declared, Asked(**given), planner(tmp_path), print)
    assert not (tmp_path / "out").exists()


def test_a_metric_that_is_no_loss_is_refused_before_the_start() -> None:
    declared = study(replace(FLOPS))
    object.__setattr__(declared.questions[0], "loss", "top1_accuracy")  # a column that a task of one's own adds
    with pytest.raises(DeclarationError, match="expected a law of a loss, got one of top1_accuracy, a share"):
        asked_question(declared, read_goal("alpha within .1"))


def test_the_half_width_of_a_loss_is_said_in_percent_as_its_goal_is(finished: Finished) -> None:
    rule = replace(finished[1].rule, goal="L at flops=1e20 within 1 %")
    found = replace(finished[1], rule=rule, enough=read_goal(rule.goal).half_width)
    last = found.looks[-1].half_width
    assert last is not None
    lede = campaign_sentences(found, [])[0]
    assert f"half-width {100 * (math.exp(last) - 1):.3g} %, widened by the rule; 1 % is enough" in lede
    rows = campaign_table(found).rows
    assert all(row[6].endswith(" %") for row in rows[1:])


def test_a_page_does_not_call_a_budget_spent_where_every_run_was_chosen(finished: Finished) -> None:
    assert finished[1].end is not None
    unmet = replace(finished[1], end=replace(finished[1].end, ending="spent"))
    assert "is not met: the budget is spent: " in campaign_sentences(unmet, [])[0]
    chosen = sum(len(one.runs) for one in unmet.rounds[:-1])
    every = replace(unmet, rule=replace(unmet.rule, candidates=chosen))
    assert "is not met: every run was chosen: " in campaign_sentences(every, [])[0]

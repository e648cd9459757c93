"""`lawful.discover`: the grammar, the choice among forms, what is refused."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import lawful
from lawful.cli import app
from lawful.errors import DeclarationError, LawfulError, Refusal, TableError
from lawful.fitting.discover import Discovery
from lawful.fitting.grammar import Block, Form, Writer, grown, shrunk, simplest

Rows = list[dict[str, float]]


def planted(inputs: dict[str, np.ndarray], loss: np.ndarray, noise: float = 0.003, seed: int = 3) -> Rows:
    noisy = loss * np.exp(noise * np.random.default_rng(seed).standard_normal(len(loss)))
    columns = {**inputs, "loss": noisy}
    return [dict(zip(columns, map(float, row), strict=True)) for row in zip(*columns.values(), strict=True)]


def floor_and_power() -> Rows:
    n = np.repeat(np.geomspace(1e6, 1e9, 12), 2)
    return planted({"N": n}, 1.2 + 60 * n**-0.3)


def write_csv(path: Path, rows: Rows) -> str:
    path.write_text("\n".join([",".join(rows[0]), *(",".join(map(repr, row.values())) for row in rows)]) + "\n")
    return str(path)


WRITER = Writer(shown=("N", "D", "`experts`"), rising=frozenset(), pivot=(1e7, 1e9, 8.0), taken=frozenset("NDCU"))


def some_forms() -> list[Form]:
    """Forms up to three steps from the simplest, a part of each step."""
    step, forms = simplest(range(3)), simplest(range(3))
    for _ in range(3):
        step = [new for form in step[::4] for new in grown(form, range(3))]
        forms += step
    return list(dict.fromkeys(forms))[::3]


def test_each_form_of_the_grammar_is_a_law_with_as_many_parameters_as_the_form_says() -> None:
    forms = some_forms()
    assert len(forms) > 30
    for form in forms:
        law = WRITER.law(form)
        assert len(law.parameters) == form.parameters, law.formula


def test_a_form_that_has_grown_by_a_power_a_floor_or_an_interaction_shrinks_back() -> None:
    form = Form((Block((0,)), Block((1, 2))))
    for larger in grown(form, range(3)):
        assert larger.parameters > form.parameters
        if not any(block.coupled for block in larger.blocks):
            assert form in set(shrunk(larger)), WRITER.law(larger).formula


def test_no_form_is_shrunk_to_one_that_reads_nothing() -> None:
    for form in some_forms():
        for smaller in shrunk(form):
            assert smaller.blocks
            assert all(block.inputs for block in smaller.blocks)
            assert smaller.parameters < form.parameters


def test_names_of_parameters_avoid_the_columns_of_the_table() -> None:
    writer = Writer(shown=("N",), rising=frozenset(), pivot=(1e7,), taken=frozenset({"E", "A", "alpha", "N"}))
    assert writer.law(Form((Block((0,)),), has_floor=True)).formula == "L0 + B*N^-beta"


@pytest.fixture(scope="module")
def progress() -> list[tuple[int, str]]:
    return []


@pytest.fixture(scope="module")
def found(progress: list[tuple[int, str]]) -> Discovery:
    return lawful.discover(floor_and_power(), ["N"], progress=lambda tried, form: progress.append((tried, form)))


def test_a_power_with_a_floor_is_found_and_its_parameters_are_those_of_the_text(found: Discovery) -> None:
    best = found.forms[0]
    assert found.formula == "E + A*N^-alpha"
    assert best.chosen > 0.5
    assert best.values["alpha"] == pytest.approx(0.3, abs=0.03)
    assert best.values["A"] == pytest.approx(60, rel=0.5)
    assert best.held_out == pytest.approx(0.003, rel=0.5)
    assert sum(form.chosen for form in found.forms) == pytest.approx(1.0)
    assert found.tried >= len(found.forms) > 1
    assert (found.rows, found.rungs) == (24, 12)


def test_a_loss_that_rises_along_an_input_gets_a_power_above_zero() -> None:
    ratio = np.repeat(np.geomspace(0.01, 1, 10), 2)
    found = lawful.discover(planted({"masked": ratio}, 2.0 * ratio**0.2), ["masked"])
    assert found.formula == "A*`masked`^alpha"


def test_an_input_that_does_nothing_is_left_out() -> None:
    n, x = map(np.array, zip(*itertools.product(np.geomspace(1e6, 1e9, 6), (1.0, 3.0, 9.0, 27.0)), strict=True))
    found = lawful.discover(planted({"N": n, "x": x}, 60 * n**-0.3), ["N", "x"])
    assert found.formula == "A*N^-alpha"


def test_the_search_says_the_same_however_the_rows_are_sorted(found: Discovery) -> None:
    assert lawful.discover(floor_and_power()[::-1], ["N"]).forms == found.forms


def test_progress_counts_every_form_that_is_tried(found: Discovery, progress: list[tuple[int, str]]) -> None:
    assert [tried for tried, _ in progress] == list(range(1, found.tried + 1))
    assert progress[-1][1] == "E + A*N^-alpha"


@pytest.mark.parametrize(
    ("inputs", "rows", "kind", "says"),
    [
        ([], floor_and_power(), DeclarationError, "1 to 4"),
        (list("NDCUx"), floor_and_power(), DeclarationError, "1 to 4"),
        (["experts"], floor_and_power(), TableError, "experts"),
        (["D"], floor_and_power(), TableError, "tokens"),
        (["N", "params"], floor_and_power(), DeclarationError, "again"),
        (["loss"], floor_and_power(), DeclarationError, "is the loss"),
        (["N"], floor_and_power()[:8], Refusal, "at least 12 runs"),
        (["x"], [{**row, "x": 2.0} for row in floor_and_power()], LawfulError, "levels|distinct"),
        (["x"], [{**row, "x": float(k % 5)} for k, row in enumerate(floor_and_power())], TableError, "above 0"),
        (["x"], [{**row, "x": "a"} for row in floor_and_power()], TableError, "number"),
        (["N", "D"], [{**row, "D": 20 * row["N"]} for row in floor_and_power()], Refusal, "vary together"),
        (["N"], [{**row, "loss": 2.0} for row in floor_and_power()[::2]], Refusal, "does not depend"),
        (["N"], planted({"N": np.geomspace(1e6, 1e9, 24)}, np.full(24, 2.0)), Refusal, "does not depend"),
        (["a`b"], [{"a`b": row["N"], "loss": row["loss"]} for row in floor_and_power()], TableError, "rename"),
    ],
)
def test_what_cannot_be_searched_is_refused_by_name(inputs: list[str], rows: Rows, kind: type, says: str) -> None:
    with pytest.raises(kind, match=says):
        lawful.discover(rows, inputs)


def test_the_command_prints_rivals_how_many_forms_were_tried_and_a_command_that_runs(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "runs.csv", floor_and_power())
    shown = CliRunner().invoke(app, ["discover", path, "--inputs", "N"], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "forms on 24 runs at 12 rungs" in shown.stdout
    following = shown.stdout.strip().splitlines()[-1]
    assert following.strip() == f"lawful fit {path} --law 'E + A*N^-alpha'"
    arguments = ["fit", path, "--law", "E + A*N^-alpha", "--draws", "0"]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0


def test_the_json_of_the_command_holds_every_form(
    tmp_path: Path, found: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lawful.fitting.discover.discover", lambda *_, **__: found)
    path = write_csv(tmp_path / "runs.csv", floor_and_power())
    shown = CliRunner().invoke(app, ["discover", path, "--inputs", "N", "--json"], catch_exceptions=False)
    said = json.loads(shown.stdout)
    assert [form["formula"] for form in said["forms"]] == [form.formula for form in found.forms]
    assert said["tried"] == found.tried


def test_a_length_that_varies_and_is_no_input_is_said() -> None:
    n, ratio = np.repeat(np.geomspace(1e6, 1e9, 5), 3), np.tile([5.0, 20.0, 80.0], 5)
    rows = planted({"N": n, "D": n * ratio}, 1.2 + 60 * n**-0.3 + 90 * (n * ratio) ** -0.3)
    found = lawful.discover(rows, ["N"])
    assert "does not read D" in found.sentence and "Note" not in replace(found, unread="").sentence

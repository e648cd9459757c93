"""A fit answers with its own law, in memory and read back; where that cannot be, it is not stored or not read."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from lawful import laws
from lawful.errors import DeclarationError, StoreError
from lawful.fitting import Fit, fit
from lawful.fitting.absent_law import law_or_absent
from lawful.fitting.answers import Answer
from lawful.fitting.compare import compare
from lawful.fitting.crossover import crossover
from lawful.fitting.result import read_fit
from lawful.fitting.stored_fit import SAME_LOSS, law_of
from lawful.laws import Law, Shape, Term
from lawful.laws.power_floor import PowerFloor
from lawful.report.law_curve import law_curve
from lawful.schema import Question

OWN = '''
from __future__ import annotations
from dataclasses import dataclass
from lawful.laws import Law, OneAxisLaw, Shape, Term
from lawful.laws.power_floor import PowerFloor

@dataclass(frozen=True)
class Fixed(Law):
    """L = E + a N^-exponent, the exponent a setting."""
    exponent: float = 0.5
    name, formula, source = "fixed", "E + a N^-exponent", "a test"
    inputs, coefficients, shapes = ("params",), ("E", "a"), ()
    def terms(self, shape, x):
        return Term(), Term(-self.exponent * x["params"])

@dataclass(frozen=True)
class Copied(Law):
    """What a user makes of a law of ours, without another name: the exponent is half as large."""
    axis: str = "params"
    name, formula, source = "power_floor", "E + a x^-(alpha/2)", "a test"
    coefficients, shapes = ("E", "a_pivot"), (Shape("alpha", 0.01, 5.0, (0.02, 2.0)),)
    @property
    def inputs(self):
        return (self.axis,)
    def terms(self, shape, x):
        return Term(), Term(-shape["alpha"] / 2 * x[self.axis], {"alpha": -x[self.axis] / 2})

@dataclass(frozen=True)
class Tokens(OneAxisLaw):
    name, formula, source = "tokens", "E + a D^-1/2", "a test"
    coefficients, shapes = ("E", "a"), ()
    def terms(self, shape, x):
        return Term(), Term(-0.5 * x[self.axis])

@dataclass(frozen=True)
class Inherits(Fixed):
    """Only the derivation and the source are its own."""
    source = "another test"
    def derived(self, values, pivot):
        return {"ten": 10 * values["E"]}

mine = Fixed(exponent=0.25)
'''
ROWS = [
    {"params": n, "tokens": 1e3 * n**0.5, "loss": 2 + 900 * n**-0.5, "arm": "b" if i % 2 else "a"}
    for i, n in enumerate(np.geomspace(1e6, 1e9, 12))
]
RUNS = [{name: row[name] for name in ("params", "tokens", "loss")} for row in ROWS]  # a fit is of one arm


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "own.py"
    path.write_text(OWN, encoding="utf-8")
    return str(path)


def instance(own: str, name: str, **fields: object) -> Law:
    """A law as a user makes it: of a module that the program has imported."""
    return type(laws.named(f"{own}:{name}"))(**fields)  # type: ignore[call-arg]


KINDS = {
    "with a setting": ("Fixed", {"exponent": 0.25}),
    "copied without a new name": ("Copied", {}),
    "over tokens": ("Tokens", {"axis": "tokens"}),
    "inheriting its terms": ("Inherits", {"exponent": 0.25}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_predicts_by_its_own_law_before_and_after_it_is_stored(own: str, kind: str, tmp_path: Path) -> None:
    name, fields = KINDS[kind]
    law = instance(own, name, **fields)
    found = fit(RUNS, law, draws=20)
    assert found.model is law
    at = {axis: {"params": 1e8, "tokens": 3e7}[axis] for axis in law.inputs}
    by_hand = law.predict(found.values, laws.Axes.of({axis: [v] for axis, v in at.items()}, found.data.pivot))[0]
    assert found.loss(found.values, at)[0] == pytest.approx(by_hand, rel=1e-12)
    found.to_json(tmp_path / "fit.json")
    for given in (law, f"{own}:{name}"):
        again = Fit.from_json(tmp_path / "fit.json", law=given)
        assert again.model == law
        assert again == found
        assert again.predict(**at) == found.predict(**at)


def test_a_law_of_a_notebook_answers_in_memory_and_is_not_stored(tmp_path: Path) -> None:
    law = notebook_law(0.25)
    found = fit(RUNS, law, draws=20)
    by_hand = found.params["E"].value + found.params["a"].value * (1e8 / found.data.pivot["params"]) ** -0.25
    assert found.loss(found.values, {"params": 1e8})[0] == pytest.approx(by_hand, rel=1e-12)
    assert found.holdout(top=1).fit.model is law
    assert "Own(exponent=0.25): L = E + a N^-exponent" in found.summary()
    assert found.checklist()
    assert found.diminishing_returns().axis == "params"
    crossed = crossover(ROWS, law=law, draws=20)
    assert all(one.model is law for one in crossed.fits.values())
    assert compare(ROWS, law=law).law == law.spec
    with pytest.raises(DeclarationError, match=r"Own cannot be stored: .*a notebook.*law='FILE\.py:Own'"):
        found.to_json(tmp_path / "fit.json")
    assert not (tmp_path / "fit.json").exists()


def notebook_law(exponent: float) -> Law:
    @dataclasses.dataclass(frozen=True)
    class Own(Law):
        exponent: float
        name, formula, source = "power", "E + a N^-exponent", "a test"
        inputs, coefficients, shapes = ("params",), ("E", "a"), ()

        def terms(self, shape: object, x: laws.Axes) -> tuple[Term, ...]:
            return Term(), Term(-self.exponent * x["params"])

    Own.__module__, Own.__qualname__ = "__main__", "Own"
    return Own(exponent)


def test_a_law_of_a_function_or_with_a_function_inside_is_not_stored(own: str) -> None:
    class Local(PowerFloor):
        pass

    with pytest.raises(DeclarationError, match="Local cannot be stored: it is defined inside a function"):
        fit(RUNS, Local(), draws=0).to_json()
    with pytest.raises(DeclarationError, match="Fixed cannot be stored: its field exponent is a function"):
        laws.to_data(instance(own, "Fixed", exponent=lambda: 0.5))
    with pytest.raises(DeclarationError, match="its field exponent is a list"):
        laws.to_data(instance(own, "Fixed", exponent=[0.5]))


def test_fields_come_back_as_they_were(own: str) -> None:
    value = {"low": (0.0, float("inf")), "text": "a", "none": None, "is": True, "n": np.float64(0.1), "deep": ((1,),)}
    data = json.loads(json.dumps(laws.to_data(instance(own, "Fixed", exponent=value)), allow_nan=False))
    assert laws.stored(data).exponent == value  # type: ignore[attr-defined]


def test_reading_a_fit_runs_no_file(tmp_path: Path, own: str) -> None:
    trap = tmp_path / "trap.py"
    trap.write_text(OWN + f"\nopen({str(tmp_path / 'sprung')!r}, 'w').close()\n", encoding="utf-8")
    raw = fit(RUNS, instance(own, "Fixed"), draws=0).to_json()
    for law in (
        {"class": f"{trap}:Fixed", "fields": {"exponent": 0.5}},
        {"class": "trap:Fixed", "fields": {"exponent": 0.5}},
        {"class": "subprocess:Popen", "fields": {"args": "true"}},
        {"class": "lawful.fitting.arms:ArmsLaw", "fields": {}},
    ):
        (tmp_path / "fit.json").write_text(json.dumps({**raw, "law": law}), encoding="utf-8")
        with pytest.raises(DeclarationError, match=r"fit\.json: law: .*--law '"):
            Fit.from_json(tmp_path / "fit.json")
        assert law_curve(answer(read_fit({**raw, "law": law}, law_or_absent))) is None
    with pytest.raises(DeclarationError, match=r"trap\.py:Fixed' is not one of lawful's own"):
        Fit.from_json({**raw, "format": 1, "law": f"{trap}:Fixed"})
    for odd in (
        5,
        None,
        [],
        {},
        {"class": 5, "fields": {}},
        {"class": "power", "fields": {"axis": 5}},
        {"class": "power"},
    ):
        with pytest.raises((DeclarationError, StoreError), match="expected"):
            Fit.from_json({**raw, "law": odd})
    assert not (tmp_path / "sprung").exists()
    laws.named(f"{trap}:Fixed")
    assert (tmp_path / "sprung").exists()


def test_a_stored_fit_of_an_own_law_takes_no_other_law(tmp_path: Path, own: str) -> None:
    raw = fit(RUNS, instance(own, "Fixed", exponent=0.25), draws=0).to_json()
    for other, why in (
        ("power_floor:params", "made with .*:Fixed, got PowerFloor"),
        (f"{own}:Copied", "got Copied"),
        (instance(own, "Fixed"), "'exponent': 0.25.*'exponent': 0.5"),
        (f"{own}:Absent", "nothing of that name"),
    ):
        with pytest.raises(DeclarationError, match=why):
            Fit.from_json(raw, law=other)


def test_a_law_that_was_edited_since_is_not_taken_for_the_one_that_was_fitted(own: str) -> None:
    found = fit(RUNS, f"{own}:Fixed", draws=0)
    raw = found.to_json()
    assert Fit.from_json(raw).model == found.model
    # of the same length, within the same second: what a cached .pyc would not see
    Path(own).write_text(OWN.replace("-self.exponent *", "-self.exponent /"), encoding="utf-8")
    with pytest.raises(DeclarationError, match="is another law than the one that was fitted, or was changed since"):
        Fit.from_json(raw, law=f"{own}:Fixed")
    before = found.predict(params=1e8).value
    assert before == pytest.approx(2 + 900 * 1e8**-0.5, rel=1e-6)  # the fit in memory still has its own
    with pytest.raises(DeclarationError, match="holds no such class, or another one by now"):
        found.to_json()
    Path(own).write_text(OWN, encoding="utf-8")
    assert Fit.from_json(raw, law=f"{own}:Fixed") == found


@pytest.mark.parametrize("spec", ["power:params", "power_floor:tokens"])
def test_an_old_fit_of_our_own_laws_is_read_and_one_of_a_copy_is_refused(spec: str, own: str) -> None:
    found = fit(RUNS, spec, draws=0)
    old = {**found.to_json(), "format": 1, "law": spec}
    assert Fit.from_json(old) == found
    copied = fit(RUNS, instance(own, "Copied", axis="params"), draws=0)
    assert not isinstance(copied.model, PowerFloor)
    old = {**copied.to_json(), "format": 1, "law": "power_floor:params"}
    with pytest.raises(DeclarationError, match="another law than the one that was fitted"):
        Fit.from_json(old)
    assert law_curve(answer(read_fit(old, law_or_absent))) is None


def answer(found: Fit) -> Answer:
    question = Question(name="size", asks="How?", law="power")
    return Answer(question=question, status="answered", sentence="", fit=found)


def test_the_curve_of_a_report_is_that_of_the_fits_own_law(own: str) -> None:
    found = fit(RUNS, instance(own, "Copied"), draws=20)
    curve = law_curve(answer(found))
    assert curve is not None
    assert curve.predict(params=1e8)[0] == pytest.approx(found.predict(params=1e8).value, rel=1e-12)
    assert law_of(laws.to_data(found.model), found) == found.model
    assert 0 < SAME_LOSS < 1e-4


def test_texts_of_own_laws_name_file_class_and_axis(own: str) -> None:
    assert laws.named(f"{own}:Tokens:tokens").inputs == ("tokens",)
    assert laws.named(laws.named(f"{own}:Tokens:tokens").spec) == laws.named(f"{own}:Tokens:tokens")
    assert laws.named(f"{own}:mine").exponent == 0.25  # type: ignore[attr-defined]
    assert laws.named(f"{own}:mine").spec == f"{own}:Fixed(exponent=0.25)"
    for text, why in (
        ("chinchilla:tokens", "reads params and tokens; no other axis"),
        (f"{own}:Fixed:tokens", "no other axis"),
        (f"{own}:Term", "to be a Law, got a type"),
        (f"{own}:Law", "does not define coefficients, inputs, shapes, terms"),
        ("os:getcwd", "to be a Law, got a builtin_function"),
    ):
        with pytest.raises(DeclarationError, match=why):
            laws.named(text)
    with pytest.raises(DeclarationError, match=r"got <class .*; write PowerFloor\(\)\."):
        fit(RUNS, PowerFloor, draws=0)  # type: ignore[arg-type]


def test_a_law_that_needs_a_setting_says_so_and_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "needs.py"
    path.write_text(OWN.replace("exponent: float = 0.5", "exponent: float"), encoding="utf-8")
    with pytest.raises(DeclarationError, match=r"Fixed needs exponent; write mine = Fixed\(\.\.\.\)"):
        laws.named(f"{path}:Fixed")
    raw = fit(RUNS, f"{path}:mine", draws=0).to_json()
    sys.modules.pop(str(path))
    assert Fit.from_json(raw, law=f"{path}:Fixed").model.exponent == 0.25  # type: ignore[attr-defined]


def test_two_files_of_one_name_hold_two_laws(tmp_path: Path, own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, exponent in (("one", "0.5"), ("two", "0.25")):
        (tmp_path / folder).mkdir()
        text = OWN.replace("exponent: float = 0.5", f"exponent: float = {exponent}")
        (tmp_path / folder / "law.py").write_text(text, encoding="utf-8")
    found = {}
    for folder in ("one", "two"):
        monkeypatch.chdir(tmp_path / folder)
        found[folder] = fit(RUNS, "law.py:Fixed", draws=0)
    assert found["one"].model.exponent == 0.5  # type: ignore[attr-defined]
    assert found["two"].model.exponent == 0.25  # type: ignore[attr-defined]
    assert Fit.from_json(found["one"].to_json()) == found["one"]


def test_shapes_with_bounds_are_a_setting_that_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "bounded.py"
    path.write_text(
        "from dataclasses import dataclass\nfrom lawful.laws import Law, Shape, Term\n"
        "@dataclass(frozen=True)\nclass Bounded(Law):\n"
        "    bounds: tuple = (0.01, 5.0)\n"
        "    name, formula, source, inputs, coefficients = 'b', 'E + a N^-alpha', 'a test', ('params',), ('E', 'a')\n"
        "    @property\n    def shapes(self):\n        return (Shape('alpha', *self.bounds),)\n"
        "    def terms(self, shape, x):\n"
        "        return Term(), Term(-shape['alpha'] * x['params'], {'alpha': -x['params']})\n",
        encoding="utf-8",
    )
    law = type(laws.named(f"{path}:Bounded"))(bounds=(0.4, 0.6))  # type: ignore[call-arg]
    found = fit(RUNS, law, draws=0)
    again = Fit.from_json(json.loads(json.dumps(found.to_json())))
    assert again.model.shapes == (Shape("alpha", 0.4, 0.6),)
    assert again.params["alpha"].value == pytest.approx(0.5, rel=1e-4)


HIDDEN = """
from dataclasses import InitVar, dataclass, field
from functools import cached_property
import numpy as np
from lawful.laws import Law, Term

@dataclass(frozen=True)
class Bent(Law):
    name, formula, source = "bent", "E + a N^-1/2, flat beyond the knee", "a test"
    inputs, coefficients, shapes = ("params",), ("E", "a"), ()
    knee = 1e30
    def terms(self, shape, x):
        return Term(), Term(-0.5 * np.minimum(x["params"], np.log(self.knee / x.pivot["params"])))

class OwnInit(Bent):
    def __init__(self, knee=1e30):
        object.__setattr__(self, "knee", knee)

@dataclass(frozen=True)
class Given(Bent):
    at: InitVar[float] = 1e30
    knee: float = field(init=False, default=1e30)
    def __post_init__(self, at):
        object.__setattr__(self, "knee", at)

class Slot(Bent):
    __slots__ = ("place",)
    def __init__(self, place=1e30):
        object.__setattr__(self, "place", place)
    @property
    def knee(self):
        return self.place

@dataclass(frozen=True)
class Follows(Bent):
    at: float = 1e30
    knee: float = field(init=False, default=1e30)
    def __post_init__(self):
        object.__setattr__(self, "knee", self.at)
        object.__setattr__(self, "grid", np.array([self.at, np.nan]))
    @cached_property
    def seen(self):
        return object()
"""


def test_what_a_law_holds_beside_its_fields_is_not_lost(tmp_path: Path) -> None:
    """The knees lie beyond the data, where the losses of the fit say nothing of them."""
    path = tmp_path / "hidden.py"
    path.write_text(HIDDEN, encoding="utf-8")
    by_hand = instance(str(path), "Bent")
    object.__setattr__(by_hand, "knee", 1e10)
    hidden = [
        (name, instance(str(path), name, **{how: 1e10}))
        for name, how in (("OwnInit", "knee"), ("Slot", "place"), ("Given", "at"))
    ]
    for name, law in [("Bent", by_hand), *hidden]:
        found = fit(RUNS, law, draws=0)
        with pytest.raises(
            DeclarationError, match=f"{name} cannot be stored: built from its own fields it has another"
        ):
            found.to_json()
    law = instance(str(path), "Follows", at=1e10)
    assert law.seen is law.seen  # type: ignore[attr-defined]
    found = fit(RUNS, law, draws=0)
    found.to_json(tmp_path / "fit.json")
    again = Fit.from_json(tmp_path / "fit.json", law=f"{path}:Follows")
    assert again.predict(params=1e13).value == found.predict(params=1e13).value


def test_data_that_is_no_fit_is_refused_in_one_line() -> None:
    whole = fit(RUNS, "power_floor:params", draws=0).to_json()
    for spoilt, said in (
        ({"format": 2}, "law: expected a law's class and fields, got None"),
        ({**whole, "data": {}}, "data: expected the field columns, got none"),
        ({**whole, "residuals": "abc"}, "residuals: expected a list, got a text"),
        ({**whole, "more": 1}, "it has the field 'more'; expected"),
    ):
        with pytest.raises(StoreError, match=said):
            Fit.from_json(spoilt)

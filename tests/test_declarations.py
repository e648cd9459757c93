"""What a user declares is checked where it is written, and all that is wrong is said at once, before any training."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from lawful import studies
from lawful.checks import AnyFloat, NaturalInt, PositiveFloat, PositiveInt, Within, checked, conform
from lawful.corpora.python_docs import PythonDocs
from lawful.corpora.tiny_shakespeare import TinyShakespeare
from lawful.errors import DeclarationError, LawfulError, Refusal
from lawful.families import ParamCounts
from lawful.families.decoder import Decoder
from lawful.families.lstm import LSTM
from lawful.families.mlp import WindowMLP
from lawful.planning.plan import make_plan
from lawful.rules.backprop import Backprop
from lawful.run import AdamW, Run, Schedule, from_json, to_json
from lawful.study import Question, Rung, Study, bracket, convert, declare, grid, import_file, scales_of
from lawful.tasks.next_token import NextToken
from lawful.tokenizers.bytes import Bytes
from lawful.tokenizers.trained_bpe import TrainedBPE

CORPUS = PythonDocs()  # 97 symbols
FAMILY = Decoder(vocab_size=97, width=8, depth=1, heads=1, context=16)


@dataclass(frozen=True, kw_only=True)
class Picky(Backprop):
    family_needs: ClassVar[str] = "sing"
    family_kind: ClassVar[str] = "a model that sings"


@dataclass(frozen=True, kw_only=True)
class Marked(NextToken):
    added_symbols: ClassVar[int] = 1


@dataclass(frozen=True, kw_only=True)
class Framed(NextToken):
    reads: ClassVar[str] = "frames"  # type: ignore[misc]


PARTS: dict[str, Any] = {
    "family": FAMILY,
    "corpus": CORPUS,
    "task": NextToken(),
    "rule": Backprop(),
    "optimizer": AdamW(learning_rate=1e-3),
    "schedule": Schedule(warmup_steps=2),
    "steps": 20,
    "batch_size": 4,
    "context": 16,
}


def run(**changes: Any) -> Run:
    return Run(**{**PARTS, **changes})


def rung(width: int = 8, seed: int = 0, arm: str = "gelu", steps: int = 20) -> Run:
    return run(family=replace(FAMILY, width=width, mlp=arm), steps=steps, init_seed=seed, data_seed=seed)


QUESTION = Question(name="size", asks="?", law="power_floor:params")


def declared(**changes: Any) -> Study:
    ladder = grid(rung, width=(8, 16, 24, 32), seed=(0, 1))
    given = {"name": "s", "question": "?", "ladder": ladder, "questions": [QUESTION], "held_out": {"width": 32}}
    return Study(**{**given, **changes})


# --- a Run and what it is made of ---

ODD_RUNS: list[tuple[dict[str, Any], str]] = [
    ({"steps": -3}, "steps: expected a whole number of at least 1, got -3"),
    ({"steps": 0}, "steps: .* got 0"),
    ({"steps": 20.0}, r"steps: .* got 20\.0"),
    ({"steps": True}, "steps: .* got True"),
    ({"steps": "20"}, "steps: .* got '20'"),
    ({"steps": None}, "steps: .* got None"),
    ({"steps": 2**63}, "steps: .* got 9223372036854775808"),
    ({"batch_size": 0}, "batch_size: .* at least 1"),
    ({"batch_size": 4.0}, "batch_size: .* whole number"),
    ({"context": -1}, "context: .* at least 1"),
    ({"eval_every": 0}, "eval_every: .* at least 1"),
    ({"eval_tokens": 0}, "eval_tokens: .* at least 1"),
    ({"init_seed": -1}, "init_seed: .* at least 0"),
    ({"data_seed": 0.5}, r"data_seed: .* got 0\.5"),
    ({"precision": "float32"}, "precision: expected one of auto, fp32, bf16, fp16, got 'float32'"),
    ({"precision": "bfloat16"}, "precision: .* got 'bfloat16'"),
    ({"keep_best": 1}, "keep_best: expected True or False, got 1"),
    ({"family": "decoder"}, "family: expected plain data, .* got 'decoder'"),
    ({"corpus": None}, "corpus: expected plain data"),
    ({"task": Backprop()}, r"task: expected plain data, a frozen dataclass with loss\(\)"),
    ({"optimizer": 1e-3}, r"optimizer: expected an AdamW, got 0\.001"),
    ({"optimizer": AdamW(learning_rate=-1.0)}, r"optimizer\.learning_rate: expected a number of at least 0, got -1\.0"),
    ({"optimizer": AdamW(learning_rate=math.nan)}, r"optimizer\.learning_rate: .* got nan"),
    ({"optimizer": AdamW(learning_rate=math.inf)}, r"optimizer\.learning_rate: .* got inf"),
    ({"optimizer": AdamW(learning_rate=10**400)}, r"optimizer\.learning_rate: .* got 1000"),
    ({"optimizer": AdamW(learning_rate="1e-3")}, r"optimizer\.learning_rate: .* got '1e-3'"),
    ({"optimizer": AdamW(learning_rate=1e-3, weight_decay=-0.1)}, r"optimizer\.weight_decay"),
    ({"optimizer": AdamW(learning_rate=1e-3, weight_decay=math.nan)}, r"optimizer\.weight_decay"),
    ({"optimizer": AdamW(learning_rate=1e-3, beta1=1.0)}, r"optimizer\.beta1: .* at least 0 and below 1, got 1\.0"),
    ({"optimizer": AdamW(learning_rate=1e-3, beta2=-0.1)}, r"optimizer\.beta2"),
    ({"optimizer": AdamW(learning_rate=1e-3, eps=0.0)}, r"optimizer\.eps"),
    ({"optimizer": AdamW(learning_rate=1e-3, clip=0.0)}, r"optimizer\.clip"),
    ({"optimizer": AdamW(learning_rate=1e-3, clip=-1.0)}, r"optimizer\.clip"),
    ({"schedule": "wsd"}, "schedule: expected a Schedule, got 'wsd'"),
    ({"schedule": Schedule(shape="WSD", warmup_steps=2)}, r"schedule\.shape: .* wsd, cosine, constant, got 'WSD'"),
    ({"schedule": Schedule(shape="linear", warmup_steps=2)}, r"schedule\.shape: .* got 'linear'"),
    ({"schedule": Schedule(warmup_steps=-1)}, r"schedule\.warmup_steps: .* at least 0"),
    ({"schedule": Schedule(warmup_steps=2.5)}, r"schedule\.warmup_steps: .* got 2\.5"),
    ({"schedule": Schedule(warmup_steps=2, decay_fraction=20)}, r"schedule\.decay_fraction: .* from 0 to 1, got 20"),
    ({"schedule": Schedule(warmup_steps=2, floor=1.5)}, r"schedule\.floor: .* from 0 to 1"),
    ({"starts_from": "a1b2"}, "starts_from: expected a Run or None"),
    ({"context": 32}, "context: expected at most 16, the context of the family, got 32"),
    ({"family": replace(FAMILY, vocab_size=50)}, "family: expected a vocabulary of at least 97, .* got 50"),
    ({"task": Marked()}, "family: .* at least 98, the 97 symbols of python_docs and 1 of the task; got 97"),
    ({"task": Framed()}, "three that read the same, .* Framed frames"),
    ({"rule": Picky()}, "rule: Picky needs a model that sings; got Decoder"),
]


@pytest.mark.parametrize(("change", "expected"), ODD_RUNS, ids=lambda value: str(value)[:60])
def test_an_odd_field_of_a_run_is_refused_by_name(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(DeclarationError, match=expected):
        run(**change)


def test_all_that_is_wrong_with_a_run_is_said_at_once_and_of_more_than_eight_how_many_more() -> None:
    with pytest.raises(DeclarationError) as few:
        run(steps=-3, precision="float32", optimizer=AdamW(learning_rate=-1.0), schedule=Schedule(warmup_steps=1.5))
    for name in ("steps", "precision", "optimizer.learning_rate", "schedule.warmup_steps"):
        assert f"{name}: expected" in str(few.value)
    with pytest.raises(DeclarationError, match="; and 2 more.$") as many:
        run(
            steps=0,
            batch_size=0,
            context=0,
            eval_every=0,
            eval_tokens=0,
            precision="x",
            optimizer=AdamW(learning_rate=-1, weight_decay=-1, clip=0, eps=0),
        )
    assert str(many.value).count("expected") == 8


def test_numbers_of_numpy_become_plain_and_leave_the_id_as_it_is() -> None:
    plain = run(steps=20, init_seed=3, optimizer=AdamW(learning_rate=0.25, weight_decay=0.5))
    odd = run(
        steps=np.int64(20),
        init_seed=np.arange(4)[3],
        optimizer=AdamW(learning_rate=np.float32(0.25), weight_decay=np.float64(0.5)),
        family=replace(FAMILY, width=np.int32(8), is_tied=np.bool_(True)),
    )
    assert odd == plain and odd.id == plain.id
    assert type(odd.steps) is int and type(odd.optimizer.learning_rate) is float and odd.family.is_tied is True
    assert from_json(to_json(odd)).id == plain.id


def test_a_whole_number_for_a_number_stays_one_since_ids_of_such_runs_are_on_disk() -> None:
    assert to_json(run(optimizer=AdamW(learning_rate=1e-3, weight_decay=0)))["optimizer"]["weight_decay"] == 0
    whole = run(optimizer=AdamW(learning_rate=1e-3, weight_decay=0))
    assert whole.id != run(optimizer=AdamW(learning_rate=1e-3, weight_decay=0.0)).id


ODD_PARTS: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (Decoder, {"vocab_size": 97, "width": "8", "depth": 1, "heads": 1, "context": 8}, "Decoder: width: .* got '8'"),
    (Decoder, {"vocab_size": 97, "width": 8, "depth": 1, "heads": 0, "context": 8}, "heads: .* at least 1, got 0"),
    (Decoder, {"vocab_size": 97, "width": 8.0, "depth": 1, "heads": 1, "context": 8}, r"width: .* got 8\.0"),
    (Decoder, {"vocab_size": 97, "width": 8, "depth": 1, "heads": 1, "context": 8, "mlp": "relu"}, "mlp: .* gelu"),
    (
        Decoder,
        {"vocab_size": 97, "width": 8, "depth": 1, "heads": 1, "context": 8, "dropout": math.nan},
        "dropout: .* got nan",
    ),
    (LSTM, {"vocab_size": 97, "width": 8, "hidden": -1, "depth": 1}, "LSTM: hidden"),
    (WindowMLP, {"vocab_size": 97, "window": 2.5, "embedding_width": 4, "width": 8}, r"WindowMLP: window: .* 2\.5"),
    (TinyShakespeare, {"train_share": "half"}, "TinyShakespeare: train_share: .* got 'half'"),
    (TinyShakespeare, {"tokenizer": "bytes"}, "tokenizer: expected a Tokenizer, got 'bytes'"),
    (PythonDocs, {"part": "all"}, "PythonDocs: part"),
    (TrainedBPE, {"vocab_size": 300.0}, "TrainedBPE: vocab_size"),
]


@pytest.mark.parametrize(("make", "fields", "expected"), ODD_PARTS, ids=lambda value: str(value)[:40])
def test_an_odd_field_of_a_part_is_refused_where_it_is_written(
    make: Callable[..., Any], fields: dict[str, Any], expected: str
) -> None:
    with pytest.raises(LawfulError, match=expected):
        make(**fields)


@dataclass(frozen=True, kw_only=True)
class OwnFamily:
    """As a user may write one: without a check of its own."""

    vocab_size: ClassVar[int] = 97
    width: PositiveInt
    gain: float = 1.0
    kind: Literal["a", "b"] = "a"

    def param_counts(self) -> ParamCounts:
        return ParamCounts(by_group={"all": self.width}, embedding_groups=frozenset())

    def forward_flops_per_token(self, context: int) -> int:
        return 2 * self.width


def test_the_fields_of_a_users_own_class_are_checked_by_the_run_that_holds_it() -> None:
    assert run(family=OwnFamily(width=np.int64(3))).family.width == 3
    with pytest.raises(DeclarationError, match=r"family\.width: .* got -3; family\.gain: .* nan; family\.kind: .* 'c'"):
        run(family=OwnFamily(width=-3, gain=math.nan, kind="c"))  # type: ignore[arg-type]


def test_a_part_that_could_be_changed_later_is_refused() -> None:
    @dataclass
    class Thawed:
        param_counts = OwnFamily.param_counts

    with pytest.raises(DeclarationError, match="family: expected plain data, a frozen dataclass"):
        run(family=Thawed())


# --- values, and functions that check their arguments ---


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (np.float64(2.0), float, 2.0),
        ([1, 2], tuple[int, ...], (1, 2)),
        (np.int64(1), int | None, 1),
        (None, PositiveInt | None, None),
        (0, NaturalInt, 0),
        ("a", Literal["a", "b"], "a"),
        ({"a": [1]}, dict[str, tuple[int, ...]], {"a": (1,)}),
        ((1, "a"), tuple[int, str], (1, "a")),
        ([0, math.inf], tuple[AnyFloat, AnyFloat], (0, math.inf)),
    ],
)
def test_a_value_is_made_plain_by_its_type(value: Any, kind: Any, expected: Any) -> None:
    found = conform(value, kind)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (1, bool, "expected True or False, got 1"),
        (True, float, "expected a number, got True"),
        (1, Literal["a"], "expected a, got 1"),
        ("ab", tuple[str, ...], "expected a tuple"),
        (0, PositiveInt | None, "expected a whole number of at least 1 or None, got 0"),
        ((1,), tuple[int, str], r"expected a tuple \(a whole number, a text\), got \(1,\)"),
        ((0, math.inf), tuple[AnyFloat, float], "expected a number, got inf"),
        ((1, -1), tuple[PositiveInt, ...], "at least 1, got -1"),
        ([], Within, "expected a Within"),
        ("x" * 500, int, r"got 'xxx.*\.\.\.$"),
        ("\x1b]52;c;", int, r"got '\\x1b"),
        (math.inf, PositiveFloat, "above 0, got inf"),
    ],
    ids=repr,
)
def test_a_value_of_another_type_is_refused_and_shown_short(value: Any, kind: Any, expected: str) -> None:
    with pytest.raises(DeclarationError, match=expected) as error:
        conform(value, kind)
    assert len(str(error.value)) < 200


def test_a_checked_function_refuses_odd_arguments_all_at_once() -> None:
    @checked
    def area(width: PositiveInt, height: PositiveFloat = 1.0) -> float:
        return width * height

    assert area(2, height=np.float32(0.5)) == 1.0
    with pytest.raises(DeclarationError, match="area: width: .* got 0; height: .* got nan"):
        area(0, height=math.nan)


# --- a grid and a Study ---


def test_a_grid_says_what_is_wrong_with_every_rung_once_for_each_kind() -> None:
    with pytest.raises(DeclarationError) as error:
        grid(lambda width, steps: rung(width, steps=steps), width=(8, 16, 9), steps=(20, 0))
    text = str(error.value)
    assert "width=8,steps=0 and 1 more: Run: steps" in text  # the third has a width that goes first
    assert "width=9,steps=20 and 1 more: Decoder: rope needs an even head size" in text
    assert len(text.splitlines()) == 3


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ({"width": 8}, "width: expected a sequence of values, got 8"),
        ({"arm": "gelu"}, "arm: expected a sequence of values, got 'gelu'"),
        ({"seed": range(10**9)}, "seed: expected at most 100,000 values"),
        ({"width": range(1000), "seed": range(1000)}, "at most 100,000 rungs, got 1,000,000"),
        ({"width": (8, None)}, "width: expected .* got None"),
        ({"width": (8, (1, 2))}, "width: expected"),
        ({"seed": (0, math.nan)}, "seed: expected"),
    ],
    ids=str,
)
def test_an_axis_that_is_none_is_refused(axes: dict[str, Any], expected: str) -> None:
    with pytest.raises(DeclarationError, match=expected):
        grid(lambda **at: rung(), **axes)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: grid(rung, width=(8,), depth=(1,)), "grid: expected the arguments of rung.* got width, depth"),
        (lambda: grid(lambda width, seed: rung(), width=(8,)), "grid: .*missing a required argument: 'seed'"),
        (lambda: bracket(rung, {"depth": 8}), "bracket: expected the arguments of rung.* got depth"),
        (lambda: bracket(rung, {"width": 8}, times=2.0), "bracket: times: expected a tuple"),
        (lambda: bracket(rung, {"width": 8}, times=(-1.0,)), "bracket: times: expected a number above 0, got -1.0"),
    ],
)
def test_coordinates_that_the_function_of_a_rung_does_not_take_are_refused(
    make: Callable[[], Any], expected: str
) -> None:
    with pytest.raises(DeclarationError, match=expected):
        make()


def test_an_axis_of_numpy_gives_plain_coordinates() -> None:
    made = grid(rung, width=np.array([8, 16]), seed=np.arange(2))
    assert [type(value) for value in made[0].at.values()] == [int, int]
    assert [one.run.id for one in made] == [one.run.id for one in grid(rung, width=(8, 16), seed=(0, 1))]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"at": {"width": None}}, "Rung: at: width: expected .* got None"),
        ({"at": {"width": [8]}}, "Rung: at"),
        ({"at": {8: 8}}, "Rung: at"),
        ({"at": {"width": math.inf}}, "Rung: at"),
        ({"run": None}, "Rung: run: expected a Run or a Command, got None"),
        ({"bracket": 0.0}, "Rung: bracket: expected a number above 0"),
        ({"held_out": "no"}, "Rung: held_out"),
        ({"at": {"seed": "x"}}, "Rung: at: seed: expected a whole number, got 'x'"),
        ({"at": {"seed": 0.5}}, "Rung: at: seed: expected a whole number, got 0.5"),
    ],
    ids=str,
)
def test_an_odd_rung_is_refused(fields: dict[str, Any], expected: str) -> None:
    with pytest.raises(DeclarationError, match=expected):
        Rung(**{"at": {"width": 8}, "run": run(), **fields})


LADDER = grid(rung, width=(8, 16, 24, 32), seed=(0, 1))
ARMS = grid(rung, width=(8, 16, 24), arm=("gelu", "swiglu"))

ODD_STUDIES: list[tuple[dict[str, Any], str]] = [
    ({"name": "a/b"}, "name: expected a name that can be a file's, got 'a/b'"),
    ({"name": ".."}, "name: expected a name"),
    ({"name": ""}, "name: expected a name"),
    ({"name": 3}, "name: expected a text, got 3"),
    ({"scale": "x/y"}, "scale: expected a name"),
    ({"questions": [replace(QUESTION, name="../x")]}, r"question: expected a name .* got '\.\./x'"),
    ({"questions": [replace(QUESTION, name="a--b")]}, "without --"),
    ({"questions": []}, "questions: expected at least one, got none"),
    ({"questions": QUESTION}, "questions: expected a tuple"),
    ({"faults": "one"}, "faults: expected a tuple"),
    ({"ladder": [run()]}, "ladder: expected a Rung, got Run"),
    ({"ladder": [LADDER[0], *LADDER]}, "width=8,seed=0 is listed twice"),
    ({"ladder": [*LADDER, Rung(at=LADDER[0].at, run=run(batch_size=3))]}, "two different runs are called width=8,seed"),
    ({"reported": [{}]}, "reported, number 1: expected a mapping from a text .* got None"),
    ({"reported": [{"at": {"width": 8}}, {"at": 3}]}, "reported, number 2: expected a mapping .* got 3"),
    ({"reported": [{"at": {"depth": 8}}]}, "reported, number 1: no axis is called 'depth'; the axes are width, seed"),
    ({"reported": [{"at": {"width": 8}, "perplexity": "many"}]}, "reported, number 1: perplexity: .* got 'many'"),
    ({"ladder": LADDER, "held_out": {"width": 33}}, "held_out: no rung has width=33"),
    ({"ladder": LADDER[:1], "held_out": {"width": 8}}, "every rung is held out"),
    ({"ladder": bracket(rung, {"width": 8}), "held_out": {}}, "nothing is left to fit"),
    ({"ladder": ARMS, "held_out": {}, "arm": "mlp"}, "no axis is called 'mlp'"),
    ({"ladder": ARMS[::2], "held_out": {}, "arm": "arm"}, "at least two values of 'arm' to compare, got gelu"),
    (
        {"ladder": ARMS, "held_out": {"arm": "swiglu"}, "arm": "arm"},
        "at least two values of 'arm' to compare, got gelu",
    ),
    (
        {"ladder": [*ARMS, *grid(rung, width=(32,))], "held_out": {}, "arm": "arm"},
        "every rung needs the coordinate 'arm'; width=32 has none",
    ),
]


@pytest.mark.parametrize(("change", "expected"), ODD_STUDIES, ids=lambda value: str(value)[:50])
def test_an_odd_study_is_refused(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(DeclarationError, match=expected):
        declared(**change)


# --- questions ---


def asked(**changes: Any) -> Study:
    """Of arms at four sizes and three lengths."""
    ladder = grid(rung, width=(8, 16, 24, 32), arm=("gelu", "swiglu"), steps=(20, 40, 80))
    question = Question(**{"name": "q", "asks": "?", "law": "chinchilla", **changes})
    return Study(name="s", question="?", ladder=ladder, questions=[question], held_out={"width": 32}, arm="arm")


ODD_QUESTIONS: list[tuple[dict[str, Any], str]] = [
    ({"law": "chinchila"}, "no law is called 'chinchila'; there are chinchilla and others"),
    ({"law": "power_floor:size"}, "expected an axis of params, tokens, flops, got 'size'"),
    ({"law": "chinchilla:tokens"}, "chinchilla reads params and tokens; no other axis can be named for it"),
    ({"law": "absent.py:Own"}, r"absent\.py: expected a Python file that defines it, got no such file"),
    ({"law": 3}, "law: expected a text or a LawData, got 3"),
    ({"params": "parms"}, "params: no column of numbers is called 'parms'; there are params_"),
    ({"params": "family"}, "params: no column of numbers is called 'family'"),
    ({"tokens": "tokns"}, "tokens: no column of numbers is called 'tokns'; there are tokens"),
    ({"loss": "los"}, "loss: no column of numbers is called 'los'; there are loss"),
    ({"loss": "redshift"}, "loss: no column of numbers is called 'redshift'"),
    ({"loss": "best_loss"}, "only runs with keep_best have it"),
    ({"law": "power:flops", "flops": "second"}, "flops: no column of numbers is called 'second'; there are seconds"),
    ({"law": "power:tokens", "flops": "seconds"}, "flops='seconds': the law power:tokens does not read flops"),
    ({"law": "power:tokens", "params": "params_total"}, "the law power:tokens does not read params"),
    ({"law": "power:params", "tokens": "unique_tokens"}, "the law power:params does not read tokens"),
    ({"where": {"widht": 8}}, "where: no column is called 'widht'; there are width"),
    ({"where": {"width": 9}}, "where: no rung has width=9; width is 8, 16, 24, 32"),
    ({"where": {"width": (8, 9)}}, "where: no rung has width=9"),
    ({"where": {"arm": "gleu"}}, "where: no rung has arm=gleu; arm is gelu, swiglu"),
    ({"where": {"arm": "max"}}, "where: arm is no number and has no max"),
    ({"where": {"tokens": 5}}, "where: no rung has tokens=5; tokens is"),
    ({"where": {"width": 32}}, "where: no rung that is fitted has width=32"),
    ({"where": {"width": ()}}, "where: no rung that is fitted"),
    ({"where": {"width": None}}, "where: width: expected .* got None"),
    ({"where": {"width": {8}}}, "where: width: expected .* got .8.*"),
    ({"where": 8}, "where: expected a mapping from a text to"),
    ({"along": "width"}, "the law paired needs along, and along the law paired"),
    ({"law": "paired"}, "the law paired needs along"),
    ({"law": "paired", "along": "lenght"}, "along: no coordinate is called 'lenght'; there are width, steps"),
    ({"law": "paired", "along": "arm"}, "along: no coordinate is called 'arm'"),
    ({"law": "paired", "along": "width", "where": {"arm": "gelu"}}, "the law paired compares arms; .* got gelu"),
    ({"law": "paired", "along": "width", "fixed": {"E": 1.0}}, "fixed: the law paired has none"),
    ({"law": "paired", "along": "width", "tokens": "unique_tokens"}, "the law paired does not read tokens"),
    ({"fixed": {"gamma": 1.0}}, "fixed: chinchilla has no parameter 'gamma'; it has E, A_pivot, B_pivot, alpha, beta"),
    ({"fixed": {"alpha": 99.0}}, "fixed: alpha lies from .* got 99"),
    ({"fixed": {"alpha": math.nan}}, "fixed: alpha: expected a number, got nan"),
    ({"law": "power", "fixed": {"a_pivot": 1.0, "alpha": 0.5}}, "every parameter of power is fixed"),
    ({"truth": {"alfa": 0.5}}, "truth: a comparison of arms finds no 'alfa'; it finds E, A_pivot"),
    ({"truth": {"alpha": "big"}}, "truth: alpha: expected a number, got 'big'"),
    ({"truth": {"verdict": 1.0}}, "truth: verdict: expected a text"),
    (
        {"where": {"arm": "gelu"}, "truth": {"verdict": "no difference shown"}},
        "truth: a fit of chinchilla finds no 'verdict'",
    ),
]


@pytest.mark.parametrize(("change", "expected"), ODD_QUESTIONS, ids=lambda value: str(value)[:60])
def test_a_question_that_can_never_be_answered_is_refused_by_name(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(DeclarationError, match=expected) as error:
        asked(**change)
    assert len(str(error.value)) < 2000


@pytest.mark.parametrize(
    "change",
    [
        {"law": "power_floor", "where": {"steps": "max"}},
        {"where": {"tokens": 20 * 4 * 16}},
        {"where": {"held_out": False, "seed": 0}},
        {"where": {"status": "finished"}},  # known when the runs are over
        {"law": "power:flops", "flops": "seconds", "params": "params_total"},
        {"law": "power:tokens", "tokens": "steps"},  # a coordinate
        {"loss": "bits_per_byte"},
        {"loss": "test_accuracy"},
        {
            "where": {"arm": ("gelu", "swiglu")},
            "truth": {"verdict": "no difference shown", "multiplier": 1.0, "alpha": 0.0},
        },
        {"law": "paired", "along": "width"},
        {"law": "saturating:params", "fixed": {"floor": 0.0, "range": 1.0}},
    ],
    ids=str,
)
def test_a_question_that_can_be_answered_is_let_through(change: dict[str, Any]) -> None:
    assert asked(**change).questions[0].law


@pytest.mark.parametrize(
    "column",
    [
        *("best_weights_loss", "best_weights_accuracy", "best_weights_test_loss", "loss_lowest_seen"),
        *("best_loss", "best_accuracy", "best_test_loss", "loss_best"),  # former names of the same columns
    ],
)
def test_a_question_may_be_about_the_best_weights_by_the_names_that_training_writes(column: str) -> None:
    kept = [replace(rung, run=replace(rung.run, keep_best=True)) for rung in LADDER]
    assert declared(ladder=kept, questions=[replace(QUESTION, loss=column)]).questions
    if column not in ("loss_lowest_seen", "loss_best"):
        with pytest.raises(DeclarationError, match="only runs with keep_best have it"):
            declared(questions=[replace(QUESTION, loss=column)])


def test_the_problems_of_ladder_and_questions_are_said_together_at_most_eight() -> None:
    wrong = [Question(name=f"q{number}", asks="?", law="nope") for number in range(9)]
    with pytest.raises(DeclarationError, match=r"listed twice(.|\n)*'nope'(.|\n)*and 2 more$") as error:
        declared(ladder=[LADDER[0], *LADDER], questions=wrong)
    assert len(str(error.value).splitlines()) == 10


def test_questions_are_looked_at_where_the_arm_is_wrong_too() -> None:
    with pytest.raises(DeclarationError, match=r"no axis is called 'arms'(.|\n)*no law is called 'nope'"):
        declared(arm="arms", questions=[replace(QUESTION, law="nope")])


def test_a_task_of_the_users_own_says_which_columns_it_adds() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Surprised(NextToken):
        columns: ClassVar[tuple[str, ...]] = ("surprise",)

    ladder = [replace(one, run=replace(one.run, task=Surprised())) for one in LADDER]
    assert declared(ladder=ladder, questions=[replace(QUESTION, loss="surprise")])
    with pytest.raises(DeclarationError, match="no column of numbers is called 'surprise'"):
        declared(questions=[replace(QUESTION, loss="surprise")])


# --- the plan, where the data is known ---


@pytest.mark.parametrize(("context", "split"), [(100_000, "train"), (10_000, "validation")])
def test_windows_longer_than_a_split_are_refused_by_the_plan(context: int, split: str) -> None:
    corpus = import_file(Path(__file__).parent / "toy_study.py").CORPUS  # some 54,000 characters and 6,000
    long = run(family=replace(FAMILY, context=context), corpus=corpus, context=context)
    study = declared(ladder=[Rung(at={"width": 8}, run=long)], held_out={})
    with pytest.raises(DeclarationError, match=f"width=8: expected at least .* {context + 1} tokens in the {split}"):
        make_plan(study, device_name="cpu", is_timed=False)


def test_every_built_in_study_declares_itself_at_every_scale_it_has() -> None:
    for name in studies.names():
        module, _ = studies.find(name)
        assert set(scales_of(module)) >= {"smoke", "quick"}
        for scale in scales_of(module):
            assert declare(module, scale).scale == scale


# --- settings ---

ODD_SETTINGS = [
    ("quickstart", "seeds", "0"),
    ("quickstart", "seeds", "-1"),
    ("quickstart", "seeds", "1.5"),
    ("quickstart", "seeds", "1e9"),
    ("quickstart", "seeds", ""),
    ("shakespeare", "widths", "16,,16"),
    ("shakespeare", "widths", "0"),
    ("shakespeare", "tokens", "0"),
    ("shakespeare", "tokens", "nan"),
    ("activation", "tokens_per_param", "0"),
    ("activation", "tokens_per_param", "nan"),
    ("activation", "isoflop", "-1e15"),
    ("activation", "corpus", "wikipedia"),
    ("activation", "parametrisation", "mu"),
    ("ground_truth", "a", "0"),
    ("ground_truth", "multiplier", "1"),
    ("ground_truth", "slowing", "1"),
]


@pytest.mark.parametrize(("name", "setting", "text"), ODD_SETTINGS)
def test_a_setting_out_of_its_range_is_refused_by_name(name: str, setting: str, text: str) -> None:
    with pytest.raises(DeclarationError, match=f"^--set {setting}: expected"):
        declare(studies.find(name)[0], None, {setting: text})


def test_from_python_a_setting_is_checked_as_from_the_command_line() -> None:
    from lawful.studies.quickstart import study

    with pytest.raises(DeclarationError, match="study: scale: .* smoke, quick, got 'full'; seeds: .* got 0"):
        study("full", seeds=0)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["1,1", ",", "1,2,01"])
def test_a_list_of_settings_names_each_value_once(text: str) -> None:
    with pytest.raises(DeclarationError, match="each once"):
        convert(text, tuple[int, ...])


# --- a study file ---

HEAD = "from lawful.study import *\nfrom typing import Literal\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "my_study.py"
    path.write_text(HEAD + text)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Rung(at={}, run=None)", r"my_study\.py:3: Rung: run: expected a Run or a Command, got None"),
        ("def study(): return 3", r"my_study\.py: expected study\(\) to return a Study, got 3"),
        ("def study(): pass", r"expected study\(\) to return a Study, got None"),
        ("def study(*, sizes: int): pass", "no default for sizes; give --set sizes=VALUE"),
        ("def study(scale): pass", "no default for scale; give --scale NAME"),
        ("study = 3", "expected a Study or a function that returns one"),
        ("", "expected a Study or a function that returns one"),
    ],
    ids=str,
)
def test_what_a_study_file_does_wrong_is_said_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(DeclarationError, match=expected):
        declare(import_file(written(tmp_path, text)))


@pytest.mark.parametrize(
    ("text", "error", "line"),
    [
        ("\n1 / 0", ZeroDivisionError, 4),
        ("import no_such_module", ModuleNotFoundError, 3),
        ("def study(): return undefined", NameError, 3),
        ("def study():\n    return int('abc')", ValueError, 4),
        ("def study(): return Rung(at={})", TypeError, 3),
    ],
    ids=str,
)
def test_what_a_study_file_itself_raises_keeps_its_traceback(
    tmp_path: Path, text: str, error: type[Exception], line: int
) -> None:
    with pytest.raises(error) as raised:
        declare(import_file(written(tmp_path, text)))
    assert not isinstance(raised.value, LawfulError)
    assert (raised.traceback[-1].path.name, raised.traceback[-1].lineno + 1) == ("my_study.py", line)


def test_a_bug_of_lawful_below_a_study_file_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_file(written(tmp_path, "def study(): return convert('1', int)"))
    monkeypatch.setattr("lawful.study.file.conform", None)
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        declare(module)


def test_a_refusal_inside_a_study_file_keeps_its_code(tmp_path: Path) -> None:
    text = "from lawful.errors import Refusal\ndef study(): raise Refusal('no_rows', 'nothing')"
    with pytest.raises(Refusal) as error:
        declare(import_file(written(tmp_path, text)))
    assert error.value.code == "no_rows"


def test_a_study_file_may_name_its_own_scales(tmp_path: Path) -> None:
    module = import_file(written(tmp_path, "def study(scale: Literal['tiny', 'huge'] = 'tiny'): return scale"))
    assert scales_of(module) == ("tiny", "huge")
    with pytest.raises(DeclarationError, match="--scale: expected one of tiny, huge, got 'quick'"):
        declare(module, "quick")
    with pytest.raises(DeclarationError, match="to return a Study, got 'huge'"):  # so it was asked for huge
        declare(module, "huge")


def test_a_scale_that_is_any_text_may_be_the_default_or_a_usual_one(tmp_path: Path) -> None:
    module = import_file(written(tmp_path, "def study(scale='tiny'): return scale"))
    assert scales_of(module) == ("tiny", "smoke", "quick", "full", "published")
    with pytest.raises(DeclarationError, match="expected one of tiny, smoke, .* got 'huge'"):
        declare(module, "huge")


def test_a_setting_without_an_annotation_has_the_type_of_its_default(tmp_path: Path) -> None:
    module = import_file(written(tmp_path, "def study(seeds=2): return (seeds, type(seeds))"))
    with pytest.raises(DeclarationError, match=re.escape("got (3, <class 'int'>)")):
        declare(module, None, {"seeds": "3"})
    module = import_file(written(tmp_path, "from pathlib import Path\ndef study(at: Path): return at"))
    with pytest.raises(DeclarationError, match="--set at: a setting is a number, a text"):
        declare(module, None, {"at": "x"})


@pytest.mark.parametrize("name", ["notes.md", "folder.py", "absent.py"])
def test_what_is_no_python_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.md").write_text("# notes")
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(DeclarationError, match="expected a study's Python file, got"):
        studies.find(str(tmp_path / name))


def test_bytes_are_a_tokenizer_of_a_corpus_and_need_a_model_of_256_symbols() -> None:
    corpus = replace(CORPUS, tokenizer=Bytes())
    with pytest.raises(DeclarationError, match="at least 256, the 256 symbols of python_docs; got 97"):
        run(corpus=corpus)
    assert run(corpus=corpus, family=replace(FAMILY, vocab_size=300))  # more than enough is right

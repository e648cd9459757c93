"""Tables as other projects publish them, of twenty planted runs each: what is read from them, or asked."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Make = Callable[[int, float, float, float], Any]  # of the number of the run, N, D and y, the loss


def planted() -> list[tuple[float, float, float]]:
    """Params, tokens and loss of 20 runs: L = 1.8 + 400 N^-.34 + 410 D^-.28, noise .003."""
    draw = random.Random(7)
    return [
        (n, d, round((1.8 + 400 * n**-0.34 + 410 * d**-0.28) * draw.gauss(1, 0.003), 6))
        for n in (2e7, 6e7, 1.8e8, 5.4e8, 1.62e9)
        for d in (1e9, 4e9, 1.6e10, 6.4e10)
    ]


RUNS = planted()


def short(number: float) -> str:
    """20M, 1.62B."""
    return f"{number / 1e9:g}B" if number >= 1e9 else f"{number / 1e6:g}M"


def grouped(number: float, sign: str) -> str:
    return f"{number:,.0f}".replace(",", sign)


def indian(number: float) -> str:
    """1,00,00,000."""
    head, tail = f"{number:.0f}"[:-3], f"{number:.0f}"[-3:]
    parts = [head[max(0, end - 2) : end] for end in range(len(head), 0, -2)][::-1]
    return ",".join([*parts, tail])


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """columns  name -> its cell, from (number of the run, params, tokens, loss)
    asks     a part of the question, where one must be asked
    answer   then what read_runs is told
    loss     what the loss must be, from the planted one
    said     what must be said
    rows     a table that is not one row for each run
    left     the numbers of the runs that must be left out
    axes     the roles that must be read
    """

    columns: Mapping[str, Make] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()
    asks: str = ""
    answer: Mapping[str, Any] = field(default_factory=dict)
    loss: Callable[[float], float] = lambda loss: loss
    said: str = ""
    left: frozenset[int] = frozenset()
    axes: tuple[str, ...] = ("params", "tokens", "loss")

    def table(self) -> list[Mapping[str, Any]]:
        if self.rows:
            return list(self.rows)
        return [{name: make(i, *run) for name, make in self.columns.items()} for i, run in enumerate(RUNS)]


def n_(i: int, n: float, d: float, y: float) -> int:
    return int(n)


def d_(i: int, n: float, d: float, y: float) -> int:
    return int(d)


def l_(i: int, n: float, d: float, y: float) -> float:
    return y


def more(by: float) -> Make:
    return lambda i, n, d, y: round(y + by, 6)


def same(cell: Any) -> Make:
    return lambda i, n, d, y: cell


N, D, L = {"params": n_}, {"tokens": d_}, {"val_loss": l_}
EARLY = [{"N": n, "D": d, "val_loss": y} for n, d, y in RUNS[:10]]
LATE = [{"params": n, "tokens": d, "valid_loss": y} for n, d, y in RUNS[10:]]

TABLES: dict[str, Foreign] = {
    "Chinchilla's points, digitised": Foreign(
        columns={"Model Size": n_, "Training FLOP": lambda i, n, d, y: f"{6 * n * d:.9e}", "loss": l_},
        axes=("params", "flops", "loss"),
        said="takes D = C / (6 N)",
    ),
    "Kaplan": Foreign(
        columns={
            "n_layer": same(12),
            "d_model": same(768),
            "N (non-embedding)": n_,
            "Tokens processed": d_,
            "Test Loss (nats)": l_,
        },
        said="in nats",
    ),
    "Pythia": Foreign(
        columns={
            "model": lambda i, n, d, y: f"pythia-{short(n)}",
            "step": lambda i, n, d, y: int(d / 2**21),
            "tokens": lambda i, n, d, y: short(d),
            "non_emb_params": n_,
            "total_params": lambda i, n, d, y: int(1.2 * n),
            "lambada_ppl": lambda i, n, d, y: 2 * math.exp(y),
            "pile_val_loss": l_,
        },
        asks="--loss-column pile_val_loss",
        answer={"loss": "pile_val_loss"},
    ),
    "OLMo": Foreign(
        columns={
            "_step": lambda i, n, d, y: int(d / 4e6),
            "name": lambda i, n, d, y: f"OLMo-{i}",
            "model.num_params": n_,
            "throughput/total_tokens": d_,
            "train/CrossEntropyLoss": more(-0.1),
            "eval/c4_en-validation/CrossEntropyLoss": l_,
            "eval/c4_en-validation/Perplexity": lambda i, n, d, y: math.exp(y),
        }
    ),
    "Cerebras-GPT": Foreign(
        columns={
            "Model": lambda i, n, d, y: f"Cerebras-GPT {i}",
            "Params": lambda i, n, d, y: short(n),
            "Tokens": lambda i, n, d, y: short(d),
            "Pile test xent": l_,
        },
        asks="--loss-column 'Pile test xent'",
        answer={"loss": "Pile test xent"},
    ),
    "open_lm": Foreign(
        columns={
            "name": lambda i, *_: f"m{i}",
            "hyperparameters.params": n_,
            "hyperparameters.tokens": d_,
            "c4_loss": l_,
        },
        asks="--loss-column c4_loss",
        answer={"loss": "c4_loss"},
    ),
    "Step Law": Foreign(
        columns={"N": n_, "D": d_, "lr": same(1e-3), "bs": same(64), "smooth loss": l_},
        asks="--loss-column 'smooth loss'",
        answer={"loss": "smooth loss"},
    ),
    "over-training, by its ratio": Foreign(
        columns={**N, "tokens_per_param": lambda i, n, d, y: d / n, **L}, said="it is for each parameter"
    ),
    "epochs of unique tokens": Foreign(
        columns={**N, "unique_tokens": lambda i, n, d, y: d / 4, "epochs": same(4), **L}, said="for each unique token"
    ),
    "a mixture of experts": Foreign(
        columns={"params": lambda i, n, d, y: int(8 * n), "active_params": n_, **D, **L},
        asks="'params' and 'active_params' could each be the params",
        answer={"params": "active_params"},
    ),
    "vision": Foreign(
        columns={
            "params_m": lambda i, n, d, y: n / 1e6,
            "images_seen": d_,
            "val_acc1": lambda i, n, d, y: 100 - 20 * y,
            "top1_error": lambda i, n, d, y: 20 * y,
        },
        asks="'val_acc1' rises.*--loss-column top1_error",
        answer={"loss": "top1_error", "tokens": "images_seen"},
        loss=lambda loss: 20 * loss,
    ),
    "downstream tasks": Foreign(
        columns={**N, **D, "hellaswag_acc": lambda i, n, d, y: 1 - y / 5},
        asks="'hellaswag_acc' rises",
    ),
    "per cent": Foreign(columns={**N, **D, "accuracy": lambda i, n, d, y: f"{100 - 15 * y:.2f}%"}, asks="rises"),
    "W&B": Foreign(
        columns={
            "Name": lambda i, *_: f"fluffy-cloud-{i}",
            "State": lambda i, *_: "crashed" if i == 0 else "finished",
            "Created": same("2024-01-02T03:04:05.000Z"),
            "config.model.n_params": n_,
            "config.data.train_tokens": d_,
            "train/loss": more(-0.1),
            "val/loss": l_,
        },
        left=frozenset((0,)),
    ),
    "Lightning, which logs each value in a row of its own": Foreign(
        rows=[
            {"model": f"m{i}", "params": n, "tokens": d, "step": 99, name: value}
            for i, (n, d, y) in enumerate(RUNS)
            for name, value in (("train_loss", y - 0.1), ("val_loss", y))
        ],
        said="they have no 'val_loss' at their step",
    ),
    "Optuna": Foreign(
        columns={
            "number": lambda i, *_: i,
            "value": l_,
            "params_n_params": n_,
            "user_attrs_tokens": d_,
            "user_attrs_val_loss": l_,
            "state": lambda i, *_: "PRUNED" if i == 3 else "COMPLETE",
        },
        said="params_n_params",
        left=frozenset((3,)),
    ),
    "MLflow": Foreign(
        columns={
            "run_id": lambda i, *_: f"{i:032x}",
            "status": same("FINISHED"),
            "metrics.train_loss": more(-0.1),
            "metrics.val_loss": l_,
            "params.n_params": lambda i, n, d, y: str(int(n)),
            "params.tokens": lambda i, n, d, y: str(int(d)),
        }
    ),
    "German": Foreign(
        columns={
            "Parameter": lambda i, n, d, y: grouped(n, "."),
            "Tokens": lambda i, n, d, y: grouped(d, "."),
            "Verlust": lambda i, n, d, y: str(y).replace(".", ","),
        },
        asks="--loss-column Verlust",
        answer={"loss": "Verlust", "params": "Parameter"},
    ),
    "French": Foreign(
        columns={
            "Paramètres": lambda i, n, d, y: grouped(n, "\u202f"),
            "Jetons": lambda i, n, d, y: grouped(d, "\u00a0"),
            "Perte": lambda i, n, d, y: str(y).replace(".", ","),
        },
        asks="--loss-column Perte",
        answer={"loss": "Perte", "params": "Paramètres", "tokens": "Jetons"},
    ),
    "Swiss": Foreign(
        columns={"params": lambda i, n, d, y: grouped(n, "'"), "tokens": lambda i, n, d, y: grouped(d, "’"), **L}
    ),
    "Indian": Foreign(columns={"params": lambda i, n, d, y: indian(n), "tokens": lambda i, n, d, y: indian(d), **L}),
    "units in the names": Foreign(
        columns={"Params (M)": lambda i, n, d, y: n / 1e6, "Tokens (B)": lambda i, n, d, y: d / 1e9, "Loss": l_},
        said="times 1e+06; in M, as its name says",
    ),
    "a size in a unit that only its name gives, under no known name": Foreign(
        columns={"Size [M]": lambda i, n, d, y: n / 1e6, **D, "Eval loss [bits/token]": l_},
        asks=r"--params-column 'Size \[M\]'",
        answer={"params": "Size [M]"},
        said="in bits, as its name says",
    ),
    "bits": Foreign(columns={**N, **D, "val_loss_bits": l_}, said="'val_loss_bits' (in bits, as its name says)"),
    "perplexity": Foreign(columns={**N, **D, "val_ppl": lambda i, n, d, y: math.exp(y)}, said="a perplexity"),
    "bits per byte": Foreign(columns={**N, **D, "val_bpb": l_}, said="in bits per byte"),
    "several data sets": Foreign(
        columns={**N, **D, "c4_loss": l_, "wiki_loss": more(0.2), "code_loss": more(-1)},
        asks="--loss-column c4_loss, or --loss-column wiki_loss, or --loss-column code_loss",
        answer={"loss": "c4_loss"},
    ),
    "seeds side by side": Foreign(
        columns={**N, **D, "loss_seed0": l_, "loss_seed1": more(0.01)},
        asks="several seeds or steps side by side",
        answer={"loss": "loss_seed0"},
    ),
    "losses at several steps": Foreign(
        columns={**N, **D, "loss@1000": more(0.5), "loss@2000": l_},
        asks="several seeds or steps side by side",
        answer={"loss": "loss@2000"},
    ),
    "error bars": Foreign(columns={**N, **D, **L, "val_loss_se": same(0.004)}, said="error bars of 'val_loss'"),
    "optima": Foreign(
        columns={"N_opt": n_, "D_opt": d_},
        said="a table of optima: 'N_opt' read as 'N', 'D_opt' read as 'D'",
        axes=("params", "tokens"),
    ),
    "two exports of the same runs": Foreign(
        rows=[
            {"run": f"r{i}", "params": n, "tokens": d, "val_loss": y, "exported_at": f"2024-01-0{day} 10:00:00"}
            for day in (1, 2)
            for i, (n, d, y) in enumerate(RUNS)
        ]
    ),
    "two exports with other names": Foreign(rows=[*EARLY, *LATE], said="and 'N' where it is empty"),
    "words": Foreign(
        columns={
            "params": lambda i, n, d, y: f"{n / 1e6:g} million params",
            "tokens": lambda i, n, d, y: f"{d / 1e9:g} billion tokens",
            **L,
        }
    ),
    "sizes as names": Foreign(
        columns={"size": lambda i, n, d, y: short(n), "tokens": lambda i, n, d, y: short(d), **L},
        asks="--params-column size",
        answer={"params": "size"},
    ),
    "log-likelihoods": Foreign(columns={**N, **D, "val_loss": lambda i, n, d, y: -y}, asks="without the sign"),
    "999 for a run without a loss": Foreign(
        columns={**N, **D, "val_loss": lambda i, n, d, y: 999 if i == 4 else y},
        asks="got 999, as written for a run without one",
        answer={"skip_bad_rows": True},
        left=frozenset((4,)),
    ),
    "a mean below": Foreign(
        rows=[
            *({"model": f"m{i}", "params": n, "tokens": d, "val_loss": y} for i, (n, d, y) in enumerate(RUNS)),
            {"model": "mean", "params": 4e8, "tokens": 2e10, "val_loss": 3.0},
        ],
        asks="got 'mean': a summary of the rows above",
        answer={"skip_bad_rows": True},
    ),
    "logarithms": Foreign(
        columns={
            "log10_params": lambda i, n, d, y: math.log10(n),
            "ln(tokens)": lambda i, n, d, y: math.log(d),
            **L,
        },
        said="a logarithm to base 10",
    ),
    "logarithms of an unknown base": Foreign(
        columns={"log N": lambda i, n, d, y: math.log(n), **D, **L}, asks="its name does not say of which base"
    ),
    "steps without tokens": Foreign(
        columns={**N, "batch_size": same(512), "seq_len": same(2048), "steps": lambda i, n, d, y: d / 2**20, **L},
        asks="--tokens-column steps --unit steps=1048576",
        answer={"tokens": "steps", "units": {"steps": "1048576"}},
    ),
    "a multiple of Chinchilla's tokens": Foreign(
        columns={**N, "chinchilla_multiple": lambda i, n, d, y: d / n / 20, **L},
        asks="Write the tokens into a column",
    ),
    "FLOPs of one forward pass": Foreign(
        columns={**N, "FLOPs (G)": lambda i, n, d, y: 2 * n * 1024 / 1e9, **L}, asks="FLOPs of the whole training"
    ),
    "a unit said twice": Foreign(
        columns={"Params (M)": lambda i, n, d, y: short(n), **D, **L},
        asks=r"--unit 'Params \(M\)'=1",
        answer={"units": {"Params (M)": "1"}},
    ),
    "a unit that is none": Foreign(
        columns={"Params (M)": n_, **D, **L},
        asks=r"--unit 'Params \(M\)'=1",
        answer={"units": {"Params (M)": "1"}},
    ),
    "numbers that are none": Foreign(
        columns={"params": lambda i, n, d, y: f"~{short(n)}", **D, **L}, asks="none of its cells is a number"
    ),
    "parts of a loss": Foreign(columns={**N, **D, "router/loss": l_}, asks="No column is recognised as the loss"),
    "a speed in brackets": Foreign(
        columns={**N, "tokens (per second)": lambda i, n, d, y: 1e12 / n, **L}, axes=("params", "loss")
    ),
    "a table on its side": Foreign(
        rows=[
            {"metric": name, **{f"run{i}": run[place] for i, run in enumerate(RUNS)}}
            for place, name in enumerate(("params", "tokens", "val_loss"))
        ],
        asks="the table lies on its side",
    ),
}

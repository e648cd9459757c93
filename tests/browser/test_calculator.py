"""The calculator of a page says what `lawful predict` says, to four digits, for every kind of interval."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lawful
from lawful.fitting.uncertainty import BOOTSTRAP
from lawful.report import parts
from lawful.report.calculator import calculation
from lawful.report.markup import Html, data, tag
from lawful.storage.atomic import write_text

pytestmark = pytest.mark.browser
POINTS = ((3e7, 1e9), (1e8, 2e9), (4e6, 3e9), (2e9, 4e10), (3e10, 6e11))


def rows(loss: Callable[[float, float], float], sizes: int = 6, seeds: int = 2) -> list[dict[str, float]]:
    dice = random.Random(7)
    return [
        {"params": n, "tokens": d, "seed": seed, "loss": loss(n, d) * math.exp(dice.gauss(0, 0.003))}
        for n in [10 ** (7 + 0.4 * k) for k in range(sizes)]
        for d in (2e8, 8e8, 3.2e9, 1.28e10)
        for seed in range(seeds)
    ]


def chinchilla(n: float, d: float) -> float:
    return 1.7 + 400 * n**-0.34 + 410 * d**-0.28


def kaplan(n: float, d: float) -> float:
    return ((8.8e13 / n) ** (0.076 / 0.095) + 5.4e13 / d) ** 0.095


def fits() -> dict[str, Any]:
    alone = lawful.fit(rows(chinchilla, sizes=8, seeds=3), law="chinchilla", draws=300)
    floorless = lawful.fit(rows(lambda n, d: chinchilla(n, d) - 1.7, sizes=4, seeds=1), law="chinchilla", draws=100)
    for fit in (alone, floorless):
        vars(fit)["alternatives"] = None  # forecasts of the law alone
    assert floorless.floorless is not None
    return {
        "no floor is shown": floorless,
        "bootstrap": alone,
        "another law is true": lawful.fit(rows(kaplan), law="chinchilla", draws=100),
        "few runs": lawful.fit(rows(chinchilla, sizes=4, seeds=1), law="chinchilla", draws=100),
        "formula": lawful.fit(rows(chinchilla), law="E + A/N^alpha + B/D^beta", draws=100),
    }


def test_the_page_predicts_what_predict_says(tmp_path: Path, open_page: Callable[..., Any]) -> None:
    found = fits()
    kinds = {(fit.interval_method == BOOTSTRAP, fit.alternatives is None) for fit in found.values()}
    assert (True, True) in kinds and (False, True) in kinds and any(not alone for _, alone in kinds), kinds
    for name, fit in found.items():
        held = calculation(fit)
        assert held is not None, name
        script = tag("script", Html(parts.asset("calculator.js")))
        path = tmp_path / f"{name.replace(' ', '-')}.html"
        write_text(path, "<!doctype html>" + data("calculation", held) + script)
        page = open_page(path)
        for params, tokens in POINTS:
            at = {"params": params, "tokens": tokens}
            said = page.evaluate("(at) => window.lawfulPredict(at)", at)
            for interval in ("mean", "new_run"):
                wanted = fit.predict(**at, interval=interval)
                assert said["value"] == pytest.approx(wanted.value, rel=5e-5), (name, at)
                assert said[interval] == pytest.approx([wanted.low, wanted.high], rel=5e-5), (name, at, interval)

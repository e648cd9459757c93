"""lawful sample: let a trained model write."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lawful.checks import NaturalInt, NonNegativeFloat, PositiveInt, Within
from lawful.cli import options
from lawful.cli.study_options import Device, Trust, allow


def register(app: typer.Typer) -> None:
    app.command()(sample)


def sample(
    folder: Annotated[Path, typer.Argument(help="A study's folder.")],
    run_id: Annotated[
        str,
        typer.Argument(metavar="RUN", help="A run's id or label, or the start of either; without it, they are listed."),
    ] = "",
    prompt: Annotated[str, typer.Option(help="Text to go on from; with --out, a file.")] = "",
    temperature: Annotated[
        float, typer.Option(help="0: always the most likely.", callback=options.of(NonNegativeFloat))
    ] = 0.8,
    top_k: Annotated[
        int | None, typer.Option(help="Draw among the k most likely only.", callback=options.of(PositiveInt))
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            help="Draw among the fewest that are this likely together only.",
            callback=options.of(Annotated[float, Within(above=0, at_most=1)]),
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(help="Seed of the draws: the same seed gives the same text.", callback=options.of(NaturalInt)),
    ] = 0,
    length: Annotated[int, typer.Option(help="Tokens to write.", callback=options.of(PositiveInt))] = 300,
    out: Annotated[Path | None, typer.Option(help="The file to write, where samples of the study are files.")] = None,
    device: Device = "cpu",
    trust: Trust = None,
) -> None:
    """Let a trained model write: text to the terminal, or a file where that is what the study models."""
    from lawful.storage.layout import Store
    from lawful.train.sample import Draw, sample_file, sample_text

    allow(trust, Store(folder).read_study(), folder)
    draw = Draw(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, length=length)
    if out is None:
        print(sample_text(folder, run_id, draw, prompt=prompt, device=device))
        return
    written = sample_file(folder, run_id, out, draw, prompt=Path(prompt) if prompt else None, device=device)
    print(f"{out}: {written}")

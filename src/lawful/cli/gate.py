"""lawful gate: runs of a variant against a frozen reference law, as a check that CI can run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lawful.checks import PositiveFloat
from lawful.cli import options
from lawful.cli.asked import Source, with_options
from lawful.cli.results import ByArm, caution_lines, print_json, print_read

if TYPE_CHECKING:
    from lawful.fitting.gate import Gate

STATUS = {"yes": 0, "no": 5, "not decided": 6}  # exit statuses; 1 and 2 are errors, 3 and 4 other commands' answers


def register(app: typer.Typer) -> None:
    app.command("gate")(with_options(gate_command))


def gate_command(
    asked: Source,
    reference: Annotated[
        Path, typer.Option(help="The reference law: what `lawful fit --json` printed, or Fit.save wrote.")
    ],
    at_least: Annotated[
        float,
        typer.Option(
            help="The speed-up that is asked: 1.05 is the same loss with 5 % less compute.",
            callback=options.of(PositiveFloat),
        ),
    ] = 1.0,
    baseline: Annotated[
        str | None,
        typer.Option(help="An arm of the table with the reference's recipe: runs are held against its, pair by pair."),
    ] = None,
    by: ByArm = "arm",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a comment in CI.")] = False,
) -> None:
    """Whether a variant saves enough compute against a frozen law. Exits 0: yes, 5: no, 6: not decided."""
    import dataclasses

    from lawful.errors import DeclarationError
    from lawful.fitting.gate import gate
    from lawful.fitting.result import load

    if as_json and as_markdown:
        raise DeclarationError("--markdown: expected it or --json, got both.")
    known = load(reference)
    told = {role: asked.columns[role] for role in ("params", "tokens", "loss", "flops")}
    table = asked.table()
    found = gate(table, known, at_least=at_least, baseline=baseline, by=by, **told)
    if as_json:
        print_json({**dataclasses.asdict(found), "sentence": found.sentence})
    elif as_markdown:
        typer.echo(_markdown(found))
    else:
        print_read(table)
        typer.echo(_text(found))
    if status := STATUS[found.verdict]:
        raise typer.Exit(status)


def _facts(found: Gate) -> dict[str, str]:
    low, high = found.ci95
    of_law, of_runs = found.stderr_log
    against = "the law alone" if found.baseline is None else f"the law, run by run beside {found.baseline}"
    weighed = f"; they weigh by {found.error_bars!r}" if found.error_bars else ""
    within = f" in {found.clusters} clusters" if found.clusters < found.n else ""
    return {
        f"speed-up in {found.of}": f"{found.speed_up:.4g} [{low:.4g}, {high:.4g}] (95 %)",
        "asked": f"at least {found.at_least:g}; p = {found.p:.2g} of as much, were it exactly that",
        "standard error": f"{100 * of_law:.2g} % by the reference law, {100 * of_runs:.2g} % by the runs",
        "runs": f"{found.n}{within}, against {against}{weighed}",
        "reference": found.reference,
    }


def _text(found: Gate) -> str:
    lines = [found.sentence, ""]
    lines += [f"{name:24}{value}" for name, value in _facts(found).items()]
    lines += ["", "run by run:"]
    lines += [
        f"  {one.run}: {', '.join(f'{axis} {value:.4g}' for axis, value in one.at.items())}: loss {one.loss:.4f}, "
        f"reference {one.reference:.4f}, speed-up {one.speed_up:.3g}"
        for one in found.runs
    ]
    lines += caution_lines(found.warnings)
    return "\n".join(lines)


def _markdown(found: Gate) -> str:
    from lawful.report.tables import markdown_text

    rows = [f"| {markdown_text(name)} | {markdown_text(value)} |" for name, value in _facts(found).items()]
    said = [f"- {one.severity}: `{one.code}`: {markdown_text(one.sentence)}" for one in found.warnings]
    lines = [
        f"### {markdown_text(found.sentence)}",
        "",
        "| | |",
        "|---|---|",
        *rows,
        "",
        "<details><summary>run by run</summary>",
    ]
    lines += ["", "| run | at | loss | reference | speed-up |", "|---|---|---:|---:|---:|"]
    for one in found.runs:
        at = ", ".join(f"{axis} {value:.4g}" for axis, value in one.at.items())
        lines.append(f"| {markdown_text(one.run)} | {at} | {one.loss:.4f} | {one.reference:.4f} | {one.speed_up:.3g} |")
    return "\n".join([*lines, "", "</details>", *([""] if said else []), *said])

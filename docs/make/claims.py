"""Print docs/claims.md: the five originals' claims, put to the test by `lawful replay`. `make claims` writes it.

Reads the published tables from the folder scaling_tables under LAWFUL_DATA, and our own runs from docs/claims.
"""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from lawful.cli import app

ROOT = Path(__file__).parents[2]
OURS = ROOT / "docs" / "claims"


@dataclass(frozen=True)
class Claim:
    """commands are `lawful replay` on TABLE, as a reader would type them."""

    title: str
    said: str
    wrong: str
    table: str
    commands: tuple[str, ...]

    @property
    def is_ours(self) -> bool:
        return (OURS / self.table).exists()


SIZE_STUDY = '--where seq_len=64 --where "n_params!=345401" --where "n_params!=179897"'
CLAIMS = (
    Claim(
        "Symbolic music: exponents of .142 and .118",
        "Transformers improve with N^-.142 and LSTMs with N^-.118.",
        "Five and four sizes, one seed each; the largest transformer skipped 19 of its 20 batches for lack of memory; "
        "one learning rate for all. Laws of nearly any exponent go through the points, with a floor or without, with "
        "that run or without.",
        "symbolic_music_runs.csv",
        tuple(
            f"lawful replay symbolic_music_runs.csv --where arch={arm} {law}"
            f'--params-column params_total --loss-column val_loss --claim "alpha={exponent}"'
            for arm, exponent, law in (
                ("transformer", "0.142", ""),
                ("transformer", "0.142", "--law power "),
                ("transformer", "0.142", '--where "params_total<1e8" --law power '),
                ("lstm", "0.118", ""),
                ("lstm", "0.118", "--law power "),
            )
        ),
    ),
    Claim(
        "Equilibrium propagation wins above 20,000 characters",
        "Trained on more than 20,000 characters, networks of equilibrium propagation beat a transformer trained by "
        "backprop.",
        "What was called equilibrium propagation was backprop through unrolled steps. Runs of the study of data sizes "
        "are taken here: those of the study of lengths are other models. The crossing is there, the other way round.",
        "unrolled_equilibrium_vs_backprop.csv",
        tuple(
            f"lawful replay unrolled_equilibrium_vs_backprop.csv {SIZE_STUDY} --by model_type --law power_floor "
            f'--x tokens --tokens-column dataset_size --loss-column loss --claim "eqprop_{variant} beats backprop '
            'above 20000"'
            for variant in ("looped_mlp", "recurrent_core", "full")
        ),
    ),
    Claim(
        "tiny_shakespeare: a power law through three sizes",
        "The loss of three small transformers falls as a power of their size.",
        "Three points and three parameters: the curve passes through any three points. The original trained each model "
        "for 88 steps on 90,000 tokens; these are our own runs of what it describes (`lawful run shakespeare --scale "
        "published`).",
        "shakespeare_published.csv",
        (
            'lawful replay shakespeare_published.csv --claim "alpha=0.09"',
            'lawful replay shakespeare_published.csv --law power --claim "alpha=0.09"',
        ),
    ),
    Claim(
        "EMG: a power law through collapsed models",
        "Error falls as a power of compute: the fitted curve says 93 to 101 % errors at every compute.",
        "Models that write blanks only have 100 % errors at every size. lawful marks such a run as collapsed, and no "
        "fit takes it. These are our own runs, stopped after 12 steps to make them collapse (`lawful run emg --scale "
        "smoke --set steps=12`).",
        "emg_collapsed.csv",
        ('lawful replay emg_collapsed.csv --claim "alpha=0.05"',),
    ),
)


def table_of(claim: Claim) -> Path:
    return OURS / claim.table if claim.is_ours else Path(os.environ["LAWFUL_DATA"]) / "scaling_tables" / claim.table


def replayed(claim: Claim, *, runner: CliRunner | None = None) -> dict[str, str]:
    """What each command of the claim prints."""
    out = {}
    for command in claim.commands:
        words = [str(table_of(claim)) if word == claim.table else word for word in shlex.split(command)[1:]]
        result = (runner or CliRunner()).invoke(app, words, catch_exceptions=False)
        out[command] = result.output.replace(str(table_of(claim)), claim.table)
    return out


def verdicts(said: Mapping[str, str]) -> list[tuple[str, str]]:
    """(claim, verdict) from the first line of each output after those that say how the table was read."""
    firsts = [next(line for line in text.splitlines() if not line.startswith("read: ")) for text in said.values()]
    return [tuple(line.rsplit(": ", 1)) for line in firsts]  # type: ignore[misc]


def page() -> str:
    said = {claim.title: replayed(claim) for claim in CLAIMS}
    lines = [
        "# Five old claims, put to the test",
        "",
        "<!-- Made by docs/make/claims.py: `make claims`. The verdicts are the tool's own output. -->",
        "",
        "lawful grew out of five studies. Their claims are replayed here on the points they were drawn from: `lawful "
        "replay` fits the law again, with an interval, and says *supported*, *contradicted* or *not decided*. Not "
        "decided is an answer: these points cannot carry the claim, whether it is true or not.",
        "",
        "| claim | verdict |",
        "|---|---|",
    ]
    for title, outputs in said.items():
        refused = " (refused: no law can be fitted)" if all("No law" in text for text in outputs.values()) else ""
        found = [f"`{claim}`: {verdict}{refused}" for claim, verdict in dict(verdicts(outputs)).items()]
        lines.append(f"| {title} | {'; '.join(found)} |")
    lines += [
        "| SwiGLU: a verdict from exponents five per cent apart | the rule errs: "
        "[a simulation](#swiglu-a-verdict-from-exponents-five-per-cent-apart) |",
        "",
    ]
    for claim in CLAIMS:
        where = (
            f"The table is [{claim.table}](claims/{claim.table})."
            if claim.is_ours
            else "The table was published by the study's author and is not part of this project."
        )
        lines += [f"## {claim.title}", "", f"**The claim.** {claim.said}", ""]
        lines += [f"**What is wrong.** {claim.wrong} {where}", ""]
        for command, output in said[claim.title].items():
            lines += ["```text", f"$ {command}", output.rstrip(), "```", ""]
    lines += [
        "## SwiGLU: a verdict from exponents five per cent apart",
        "",
        "**The claim.** Where the exponents of two arms differ by more than 5 % the exponent has moved, else only an "
        "offset.",
        "",
        "**What is wrong.** The rule does not know the noise, and its law has no floor. In this simulation two arms "
        "differ by a constant gain and nothing else, or, in the last row of each block, by an exponent. "
        "`examples/five_percent_rule.py` draws the runs. lawful's own test is "
        "made to err in one of twenty draws, and refuses three anchors. Where the rule errs depends on the gain and "
        "the noise, which it does "
        "not look at.",
        "",
        "```text",
        "$ python examples/five_percent_rule.py",
        simulation().rstrip(),
        "```",
        "",
    ]
    return "\n".join(lines)


def simulation() -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        runpy.run_path(str(ROOT / "examples" / "five_percent_rule.py"), run_name="__main__")
    return out.getvalue()


if __name__ == "__main__":
    print(page(), end="")

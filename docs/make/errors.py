"""Print docs/errors.md: every code of a refusal or a warning, from lawful.codes. `make pages` writes it."""

from lawful.codes import CAUTIONS, CONFOUNDS, REFUSALS

TABLES = {
    "A fit is refused": (
        REFUSALS,
        "No number is better than one that means nothing. Python raises `lawful.errors.Refusal` (a `LawfulError`) "
        "with this `code`; a question of a study keeps the refusal as its answer.",
    ),
    "A fit comes with a warning": (
        CAUTIONS,
        "In `fit.warnings`, under `lawful fit`, and among the doubts of the report. `severe` ones come first: with "
        "one of those, do not quote the numbers they name.",
    ),
    "A plan, or what its runs show, comes with a warning": (
        CONFOUNDS,
        "From `lawful plan` before anything is trained, and again in the report: what else changes along the ladder "
        "and could be mistaken for its law.",
    ),
}


def page() -> str:
    lines = [
        "# Errors and warnings",
        "",
        "<!-- Made from src/lawful/codes/ by docs/make/errors.py: `make pages`. -->",
        "",
        "Every refusal and every warning has a code that stays the same. `lawful explain CODE` says what stands here, "
        "without a network.",
        "",
        "An error in what you typed or declared has no code: it says what was expected, what came and the next step, "
        "and the command ends with status 2. So does a refusal, with its code.",
        "",
    ]
    for title, (codes, sentence) in TABLES.items():
        lines += [f"## {title}", "", sentence, "", "| code | means | what to do |", "|---|---|---|"]
        lines += [f"| `{name}` | {code.means} | {code.do} |" for name, code in codes.items()]
        lines.append("")
    lines += [
        "## A run is not in the fit",
        "",
        "| status of a run | means | what to do |",
        "|---|---|---|",
        "| finished | it ended and its loss is evidence | nothing |",
        "| diverged | its loss was not finite; or, after its warmup, three evaluations in a row (or the last one) were "
        "above both its own start and guessing, or above counting single tokens after it had been below; or its family "
        "or its task says that it has learned nothing; the reason stands beside it | a lower learning rate, a "
        "longer warmup; it stays out of fits |",
        "| failed | an error, memory or disk among them; the reason stands beside it | `lawful resume DIR` tries it "
        "again |",
        "| held out | predicted before it was trained, never fitted | nothing: it is the test |",
        "| bracket | another learning rate at a rung, never fitted | nothing: it shows whether the rate was right |",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(), end="")

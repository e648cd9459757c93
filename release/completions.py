"""Writes the completion files that a package of a system installs: `python release/completions.py`.

Who installed lawful with pip needs none of them: `lawful --install-completion`.
"""

from __future__ import annotations

from pathlib import Path

from typer._completion_shared import get_completion_script  # typer's --show-completion asks the shell that runs it

FILES = {"lawful.bash": "bash", "_lawful": "zsh", "lawful.fish": "fish"}
PLACE = Path(__file__).parent / "completions"


def script(shell: str) -> str:
    return get_completion_script(prog_name="lawful", complete_var="_LAWFUL_COMPLETE", shell=shell) + "\n"


if __name__ == "__main__":
    PLACE.mkdir(exist_ok=True)
    for name, shell in FILES.items():
        (PLACE / name).write_text(script(shell), encoding="utf-8")

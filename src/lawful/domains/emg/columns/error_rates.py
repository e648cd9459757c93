"""The columns of typing: what is wrong with the decoded texts, and what an encoder emits."""

from __future__ import annotations

from lawful.plugins import Column


def _share(about: str, title: str = "") -> Column:
    return Column(unit="share", about=about, title=title)


COLUMNS = {
    "cer": _share(
        "character error rate: edits over characters of the true texts, decoded session by session",
        title="Character error rate",
    ),
    "cer_deletions": _share("characters missed (emg2qwerty's own code calls these insertions), over characters"),
    "cer_insertions": _share("characters made up (emg2qwerty's own code calls these deletions), over characters"),
    "cer_substitutions": _share("characters mistaken for another, over characters"),
    "cer_users": _share("mean over people of each one's own error rate"),
    "cer_users_sd": _share("standard deviation of the same"),
    "blank_share": _share("of emissions whose most likely symbol is the blank"),
    "symbols_used": Column(unit="count", about="distinct symbols in the decoded texts"),
    "infeasible": Column(unit="count", about="windows with more keys than emissions can spell; they are in no loss"),
}

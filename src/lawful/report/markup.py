"""HTML built so that text from data can never become markup: a str is escaped, only Html passes as it is."""

from __future__ import annotations

import html
import json
from typing import Any

from lawful.report.tables import printable
from lawful.storage.json_files import plain

_VOID = {"meta", "input", "img", "br", "hr", "col", "link"}


class Html(str):
    """Markup that this package built itself."""

    __slots__ = ()


def tag(element: str, /, *children: Any, **attributes: Any) -> Html:
    """An element. Children: Html, text (escaped), None (nothing), or lists of these.

    Attributes: True is a bare attribute, None and False are left out; `class_` is class, `aria_label` aria-label.
    """
    marks = "".join(
        f" {_attribute(key)}" if value is True else f' {_attribute(key)}="{html.escape(str(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if element in _VOID:
        return Html(f"<{element}{marks}>")
    return Html(f"<{element}{marks}>{join(*children)}</{element}>")


def join(*children: Any) -> Html:
    """The children one after another, escaped where they are not Html."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Html):
            parts.append(child)
        elif isinstance(child, (list, tuple)):
            parts.append(join(*child))
        else:
            parts.append(html.escape(printable(str(child)), quote=False))
    return Html("".join(parts))


def data(name: str, value: Any) -> Html:
    """Plain data for the page's script; nothing in it can close the element or open a comment."""
    text = json.dumps(plain(value), separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for mark, escape in (
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u2028", "\\u2028"),
        ("\u2029", "\\u2029"),
    ):
        text = text.replace(mark, escape)
    return Html(f'<script type="application/json" id="{html.escape(name)}">{text}</script>')


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")

"""forecasts.json: what was forecast before the held-out runs began, with a hash that tells whether it was changed."""

from __future__ import annotations

from dataclasses import dataclass

from lawful.checks import AnyFloat
from lawful.errors import StoreError
from lawful.storage.atomic import write_json
from lawful.storage.codec import decode, digest, to_plain
from lawful.storage.json_files import Json, read_json
from lawful.storage.layout import Store


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The forecast of one run by one question's law.

    interval       95 %, for the loss of a new run
    runs_fitted    runs that the law was fitted to
    created        of a forecast that was added later; "" for those of the file's own date
    """

    question: str
    run: str
    rung: str = ""
    predicted: AnyFloat
    interval: tuple[AnyFloat, AnyFloat]
    runs_fitted: int = 0
    created: str = ""


@dataclass(frozen=True, kw_only=True)
class NoForecast:
    """A question without a forecast, and why."""

    question: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Forecasts:
    """What forecasts.json holds.

    sha256    of the canonical JSON of `forecasts`, so that a later reader can see that they were not changed
    """

    created: str
    sha256: str
    forecasts: tuple[Forecast, ...]
    refused: tuple[NoForecast, ...] = ()


NOTHING = Forecasts(created="", sha256="", forecasts=())


def read_forecasts(home: Store) -> Forecasts:
    """Empty where there is no file. Raises StoreError where it is damaged, or its forecasts are not those of the
    SHA-256 beside them: they were changed after they were written."""
    path = home.forecasts
    if not path.exists():
        return NOTHING
    raw = read_json(path)
    named, own = raw.get("sha256"), digest(raw.get("forecasts"))
    if isinstance(named, str) and named != own:
        raise StoreError(
            f"{path}: expected the forecasts as they were registered (SHA-256 {named[:16]}), got changed "
            f"ones ({own[:16]}); take the file from a copy, or move it away: then these runs count as not "
            "forecast before they began."
        )
    return decode(raw, Forecasts, path)


def write_forecasts(
    home: Store, created: str, forecasts: tuple[Forecast, ...], refused: tuple[NoForecast, ...]
) -> Forecasts:
    plain: list[dict[str, Json]] = [_plain(one) for one in forecasts]
    written = Forecasts(created=created, sha256=digest(plain), forecasts=forecasts, refused=refused)
    write_json(home.forecasts, {**to_plain(written), "forecasts": plain})
    return written


def _plain(one: Forecast) -> dict[str, Json]:
    """Without an empty date: what stands in the file keeps its hash."""
    return {name: value for name, value in to_plain(one).items() if name != "created" or value}

"""What a trained encoder costs where it is used: the time to read one window on one thread here, and its bytes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lawful.domains.emg.records import EncoderCost, EncoderCosts, read_costs
from lawful.errors import LawfulError
from lawful.plugins import Analysis
from lawful.storage.atomic import write_json
from lawful.storage.codec import to_plain
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store

if TYPE_CHECKING:
    from lawful.run import Run

# Forward passes of which the median is taken: so many at least, and more while they take less than a second in all
LEAST_PASSES, MOST_PASSES, SECONDS = 3, 25, 1.0


class Latency(Analysis):
    def before_fit(self, folder: Path, say: Callable[[str], None], own: Callable[[], str | None]) -> None:
        """Measure each size of a study of typing, once. Without torch, say so and measure nothing."""
        if not any(planned.family == "CtcEncoder" for planned in Store(folder).read_study().runs):
            return
        try:
            measure(folder, own())
        except (ImportError, LawfulError) as error:
            say(f"no latencies ({error})")


def measure(folder: Path, own: str | None = None) -> None:
    """Write fits/latency.json. Nothing is measured again for the same sizes."""
    from lawful.run import from_json

    home = Store(folder)
    study = home.read_study()
    arm = study.runs[0].arm if study.runs else ""
    by_size = {one.params_non_embedding: one for one in study.runs if one.is_of_ladder and one.arm == arm}
    known = read_costs(home)
    if known and {one.params for one in known.encoders} == set(by_size):
        return
    if not all(home.run(one.run).exists() for one in by_size.values()):
        return  # a copy of a study without its runs
    made = {params: from_json(read_json(home.run(one.run)), also_from=own) for params, one in sorted(by_size.items())}
    found = [_cost(params, run) for params, run in made.items()]
    write_json(home.fit("latency"), to_plain(EncoderCosts(encoders=tuple(found))))


def _cost(params: int, run: Run) -> EncoderCost:
    """Weights do not change what a pass takes: fresh ones do."""
    import torch

    from lawful.domains.emg.families.ctc_encoder import BANDS, BINS, ELECTRODES, CtcEncoder

    family = run.family
    assert isinstance(family, CtcEncoder)
    model = family.build(torch.Generator().manual_seed(0)).eval()
    frames = family.past + run.context + family.future
    window = torch.zeros(1, frames, BANDS, ELECTRODES, BINS)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            model(window)
            taken: list[float] = []
            while len(taken) < LEAST_PASSES or (len(taken) < MOST_PASSES and sum(taken) < SECONDS):
                before = time.perf_counter()
                model(window)
                taken.append(time.perf_counter() - before)
    finally:
        torch.set_num_threads(threads)
    held = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    return EncoderCost(params=params, seconds=statistics.median(taken), bytes=held)

"""What Ray adds to a study of many short runs: 200 of them under the local executor and under Ray, on the same cores.

OMP_NUM_THREADS=1 python benchmarks/ray_overhead.py [RUNS [ROUNDS]]

The wall time of each study, from its submission to the end of its last run, the start of its workers included. Ray is
started before, as a cluster is; that time is told apart. In turn, so the machine must be idle.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from results import paired, record, told

from lawful.corpora.python_docs import PythonDocs
from lawful.executors import Executor
from lawful.executors.local import Local
from lawful.executors.ray import Ray
from lawful.families.decoder import Decoder
from lawful.planning.plan import make_plan
from lawful.rules.backprop import Backprop
from lawful.run import AdamW, Run, Schedule
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from lawful.study import Question, Study, grid
from lawful.tasks.next_token import NextToken

CORES = 2
PLACES: dict[str, Executor] = {
    "local": Local(workers=CORES, device="cpu"),
    "ray": Ray(address="local", cores=CORES, device="cpu"),
}


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    spent: dict[str, list[float]] = {name: [] for name in PLACES}
    with tempfile.TemporaryDirectory() as place:
        start = time.perf_counter()
        PLACES["ray"].submit(planned(Path(place) / "none", 1), [])
        print(f"a Ray of {CORES} cores started in {time.perf_counter() - start:.1f} s")
        for number in range(rounds):
            for name in PLACES if number % 2 else reversed(PLACES):
                spent[name].append(seconds_of(name, planned(Path(place) / f"{name}-{number}", runs)))
    row = paired(
        f"{runs} runs of quickstart's smoke scale under Ray, beside the local executor",
        "seconds by the clock",
        spent["ray"],
        spent["local"],
        goal="< 1.1",
        note=f"{CORES} cores each",
    )
    record("ray", "What does Ray add to a study of many short runs?", told([row]))


def seconds_of(name: str, folder: Path) -> float:
    """Wall seconds of all runs, each a trunk of its own."""
    ids = [rung.run for rung in Store(folder).read_study().runs]
    start = time.perf_counter()
    job = PLACES[name].submit(folder, [[run_id] for run_id in ids])
    while not job.is_over():
        time.sleep(0.02)
    spent = time.perf_counter() - start
    assert all(read_json(Store(folder).result(run_id))["status"] == "finished" for run_id in ids)
    return spent


def planned(folder: Path, runs: int) -> Path:
    """Runs of the size of quickstart's smoke scale: 100B FLOPs over 12 runs."""
    corpus = PythonDocs()

    def rung(seed: int) -> Run:
        return Run(
            family=Decoder(vocab_size=corpus.vocab_size, width=24, depth=2, heads=2, context=64),
            corpus=corpus,
            task=NextToken(),
            rule=Backprop(),
            optimizer=AdamW(learning_rate=0.01),
            schedule=Schedule(shape="wsd", warmup_steps=5),
            steps=64,
            batch_size=16,
            context=64,
            eval_every=32,
            eval_tokens=4096,
            init_seed=seed,
            data_seed=seed,
        )

    study = Study(
        name="short",
        question="?",
        ladder=grid(rung, seed=range(runs)),
        questions=[Question(name="size", asks="?", law="power_floor:params")],
    )
    make_plan(study, device_name="cpu", is_timed=False).write(folder)
    return folder


if __name__ == "__main__":
    main()

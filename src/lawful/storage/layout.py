"""Every path of a study's folder, and the check that what lies there is a file or folder of its own."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from lawful.errors import StoreError
from lawful.schema import RunRecord, StudyPlan
from lawful.storage import codec
from lawful.storage.own_paths import allow_link, expect_own


@dataclass(frozen=True)
class Store:
    """A study's folder: where each thing lies. Makes nothing until something is written.

    The folder may have come from somebody else. It may be a link itself, but below it every path must be a file or
    folder of its own: a path that is a link, a pipe or a device, or a name that leads elsewhere, is refused
    (StoreError), so that nothing outside the folder is read, written or removed. The check is made when the path is
    asked for; it does not protect against someone who changes the folder in the same moment.

    FOLDER/study.json                     the declaration, its rungs and questions (written by the plan)
    FOLDER/planning/                      who writes the plan now
    FOLDER/campaign.json                  of a campaign: its rule, and every choice before its runs begin
    FOLDER/campaigning/                   who runs the campaign now
    FOLDER/runs/ID/run.json               the Run, complete
    FOLDER/runs/ID/claims/TOKEN/          who is at it now (TOKEN.over: who was last), and what it has not committed yet
    FOLDER/runs/ID/metrics.jsonl          the record of training, a line per logged step
    FOLDER/runs/ID/checkpoints/STEP/      model, optimiser, state; MANIFEST.json last
    FOLDER/runs/ID/details.json           what a task keeps of single sequences for the report, by split
    FOLDER/runs/ID/worker.log             the traceback of a run that failed
    FOLDER/runs/ID/work/                  {folder} of a run that is a command: what its program writes
    FOLDER/runs/ID/output.log             what that program wrote to its output; output.log.1: before that
    FOLDER/runs/ID/result.json            written last: the run is over, and how it ended
    FOLDER/trunks/KEY/STEP/               checkpoints shared by runs that differ only in their length
    FOLDER/samples/                       what trained models wrote: files, and samples.json, which describes them
    FOLDER/forecasts.json                 the held-out runs' losses, written before any of them began
    FOLDER/fits/QUESTION.json             one answer each
    FOLDER/slurm/JOB.json                 which runs each task of a Slurm job holds; beside it the logs of those tasks
    FOLDER/workers.log                    what worker processes of this machine and of Ray wrote to standard error
    FOLDER/tensorboard/LABEL/             event files, with --log tensorboard
    FOLDER/observations.csv               one row per run that has ended: the seam
    FOLDER/report.html, report.md, figures/
    """

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))

    @property
    def study(self) -> Path:
        return self._at("study.json")

    @property
    def planning(self) -> Path:
        """The claim of the process that writes the plan."""
        return self._at("planning")

    @property
    def campaign(self) -> Path:
        return self._at("campaign.json")

    @property
    def campaigning(self) -> Path:
        """The claim of the process that runs the campaign."""
        return self._at("campaigning")

    @property
    def observations(self) -> Path:
        return self._at("observations.csv")

    @property
    def report(self) -> Path:
        return self._at("report.html")

    @property
    def report_markdown(self) -> Path:
        return self._at("report.md")

    @property
    def figures(self) -> Path:
        return self._at("figures")

    @property
    def baselines(self) -> Path:
        return self._at("baselines.json")

    @property
    def forecasts(self) -> Path:
        return self._at("forecasts.json")

    @property
    def samples(self) -> Path:
        return self._at("samples", "samples.json")

    def sample(self, name: str) -> Path:
        """A file that samples.json names."""
        return self._at("samples", name)

    @property
    def slurm(self) -> Path:
        return self._at("slurm")

    @property
    def workers_log(self) -> Path:
        return self._at("workers.log")

    @property
    def trunks(self) -> Path:
        return self._at("trunks")

    def tensorboard(self, label: str) -> Path:
        """A label may hold any text; here it is one name."""
        return self._at("tensorboard", re.sub(r"^\.|[/\\\0]", "_", label) or "_")

    def fit(self, question: str) -> Path:
        return self._at("fits", f"{question}.json")

    def fits(self, prefix: str = "") -> list[Path]:
        """The answers that are there and whose names begin so, in the order of their names."""
        names = sorted(path.stem for path in self._at("fits").glob("*.json") if path.name[0] != ".")
        return [self.fit(name) for name in names if name.startswith(prefix)]

    def run_folder(self, run_id: str) -> Path:
        return self._at("runs", run_id)

    def run(self, run_id: str) -> Path:
        return self._at("runs", run_id, "run.json")

    def metrics(self, run_id: str) -> Path:
        return self._at("runs", run_id, "metrics.jsonl")

    def result(self, run_id: str) -> Path:
        return self._at("runs", run_id, "result.json")

    def weights(self, run_id: str) -> Path:
        return self._at("runs", run_id, "model.safetensors")

    def best_weights(self, run_id: str) -> Path:
        return self._at("runs", run_id, "best.safetensors")

    def details(self, run_id: str) -> Path:
        return self._at("runs", run_id, "details.json")

    def claim(self, run_id: str) -> Path:
        return self._at("runs", run_id, "claims")

    def log(self, run_id: str) -> Path:
        return self._at("runs", run_id, "worker.log")

    def work(self, run_id: str) -> Path:
        return self._at("runs", run_id, "work")

    def output(self, run_id: str) -> Path:
        return self._at("runs", run_id, "output.log")

    def checkpoints(self, run_id: str) -> Path:
        return self._at("runs", run_id, "checkpoints")

    def trunk(self, trunk_id: str) -> Path:
        return self._at("trunks", trunk_id)

    def _at(self, *names: str) -> Path:
        path = self.folder
        for name in names:
            if not name or name.startswith(".") or set("/\\\0") & set(name):
                raise StoreError(f"{self.folder}: expected the name of a file in this folder, got {name[:80]!r}.")
            path = path / name
            expect_own(path)
        return path

    def read_study(self) -> StudyPlan:
        """Raises StoreError where the folder holds no study, a damaged one, or one of another version."""
        if not self.study.exists():
            raise StoreError(
                f"{self.folder}: expected a study's folder (one that holds study.json), got "
                f"{'a folder without it' if self.folder.is_dir() else 'no such folder'}; "
                "`lawful run STUDY --out DIR` makes one."
            )
        return codec.read_study(self.study)

    def read_result(self, run_id: str) -> RunRecord | None:
        """How the run ended; None where it has not."""
        path = self.result(run_id)
        return codec.read_result(path) if path.exists() else None


def mirror(folder: Path, into: Path) -> Store:
    """A folder of links to a study's plan and runs, with a copy of its table, in which table, fits and report can be
    written anew; the study's own are not touched. What the study has not written yet is there as soon as it has."""
    into.mkdir(parents=True)
    if Store(folder).observations.exists():  # it may hold rows that no run explains any more
        shutil.copyfile(Store(folder).observations, Store(into).observations)
    for name in ("study.json", "runs", "forecasts.json", "baselines.json", "campaign.json", "samples"):
        expect_own(folder / name)
        (into / name).symlink_to((folder / name).absolute())
        allow_link(into / name)
    return Store(into)

"""Fuzz every reader of foreign files under coverage (Atheris, libFuzzer), as `make fuzz` does.

    python tests/fuzz/coverage_guided.py [READER ...] --seconds 60 --keep build/fuzz

It needs the package atheris. A reader's inputs grow from its honest examples and from what earlier runs kept; the seed
is fixed. What breaks a reader is kept, and named.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path


def main() -> int:
    options = parse()
    if options.one:
        fuzz(options.one, options.seconds, options.keep)
        return 0
    readers = importlib.import_module("readers").READERS
    if unknown := sorted(set(options.readers) - set(readers)):
        raise SystemExit(f"expected readers among {', '.join(readers)}, got {', '.join(unknown)}.")
    broken = []
    for name in options.readers or readers:
        seeds = options.keep / name
        seeds.mkdir(parents=True, exist_ok=True)
        for number, example in enumerate(readers[name].examples()):
            (seeds / f"honest-{number}").write_bytes(example)
        command = [
            sys.executable,
            __file__,
            "--one",
            name,
            "--seconds",
            str(options.seconds),
            "--keep",
            str(options.keep),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        last = next((line for line in reversed(done.stderr.splitlines()) if line.startswith("Done ")), "did not end")
        print(f"{name}: {last if done.returncode == 0 else 'BROKEN'}", flush=True)
        if done.returncode != 0:
            print(done.stderr[-3000:], flush=True)
            broken.append(name)
    if broken:
        print(f"broken: {', '.join(broken)}; the inputs lie in {options.keep}")
    return 1 if broken else 0


def fuzz(name: str, seconds: float, keep: Path) -> None:
    """Does not return: libFuzzer ends the process."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["lawful"]):
        readers = importlib.import_module("readers")
        reader = readers.READERS[name]
        with tempfile.TemporaryDirectory() as folder:
            for example in reader.examples():  # imports what the reader needs, so that it is instrumented
                readers.judge(reader, example, Path(folder))
    warnings.simplefilter("ignore")
    place = Path(tempfile.mkdtemp())

    def one(data: bytes) -> None:
        readers.judge(reader, data, place)

    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={seconds:.0f}",
            "-seed=1",
            "-max_len=65536",
            "-rss_limit_mb=4096",
            "-timeout=30",
            f"-artifact_prefix={keep / name}-",
            str(keep / name),
        ],
        one,
    )
    atheris.Fuzz()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("readers", nargs="*", help="names of readers (default: all)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each reader")
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

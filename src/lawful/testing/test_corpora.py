"""What every corpus must do; most of it is about corpora of tokens."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from lawful import corpora
from lawful.corpora import Corpus, TokenCorpus
from lawful.corpora.python_docs import PythonDocs
from lawful.errors import LawfulError
from lawful.plugins import PreparedData
from lawful.run import from_json, to_json
from lawful.storage.codec import to_plain
from lawful.testing import loaded
from lawful.token_data import TokenData

EVERY: dict[str, Corpus] = {name: cls.example() for name, cls in loaded("corpora").items()}
TEXTS = [name for name, corpus in EVERY.items() if isinstance(corpus, TokenCorpus)]
every = pytest.mark.parametrize("name", EVERY)
names = pytest.mark.parametrize("name", TEXTS)


def prepared(name: str) -> TokenData:
    return cast("TokenData", available(name).prepare())


def available(name: str) -> Corpus:
    corpus = EVERY[name]
    if not corpus.is_available():
        pytest.skip(f"{name} is not on this machine; LAWFUL_DATA may point to a folder that holds it")
    return corpus


def folder_of(name: str, data: PreparedData, cache: Path) -> Path:
    return cache / "corpora" / name / data.fingerprint


@every
def test_it_is_plain_data_and_tells_where_it_comes_from(name: str) -> None:
    corpus = EVERY[name]
    assert from_json(json.loads(json.dumps(to_json(corpus)))) == corpus
    assert corpus.name == name
    assert corpus.licence and corpus.source
    assert hash(corpus) == hash(EVERY[name])


@names
def test_its_vocabulary_is_known_without_the_data_and_right(name: str) -> None:
    vocab_size = EVERY[name].vocab_size
    data = prepared(name)
    assert data.vocab_size == vocab_size
    assert max(int(data.train.max()), int(data.validation.max())) < vocab_size


@names
def test_preparing_again_changes_nothing(name: str, cache: Path) -> None:
    first = prepared(name)
    files = sorted(folder_of(name, first, cache).iterdir())
    times = [file.stat().st_mtime_ns for file in files]
    assert prepared(name).fingerprint == first.fingerprint
    assert [file.stat().st_mtime_ns for file in files] == times
    assert [file.name for file in files] == sorted(["meta.json", *(f"{split}.bin" for split in first.splits)])


@names
def test_its_fingerprint_is_the_same_in_another_process_and_cache(name: str, tmp_path: Path) -> None:
    expected = prepared(name).fingerprint
    code = f"from lawful.run import from_json; print(from_json({to_json(EVERY[name])!r}).prepare().fingerprint)"
    environment = {**os.environ, "LAWFUL_CACHE": str(tmp_path), "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == expected


@names
def test_a_pinned_fingerprint_is_the_one_that_preparing_gives(name: str) -> None:
    pinned = EVERY[name].pinned_fingerprint
    if pinned is None:
        pytest.skip(f"{name} is not pinned")
    assert prepared(name).fingerprint == pinned


@names
def test_opened_tokens_cannot_be_written_to_and_are_on_disk(name: str, cache: Path) -> None:
    data = prepared(name)
    on_disk = np.frombuffer((folder_of(name, data, cache) / "validation.bin").read_bytes(), dtype="<u2")
    assert (on_disk == data.validation).all()
    with pytest.raises(ValueError, match="read-only"):
        data.train[0] = 0


@names
def test_the_bytes_of_the_validation_targets_are_counted(name: str) -> None:
    """An end mark is a target, but stands for no text; what is given and not predicted is no target."""
    if prepared(name).bits_per_byte(1.0) is None:
        pytest.skip(f"{name} has no bytes")
    data = prepared(name)
    targets = data.validation[1:]
    targets = targets[targets >= data.counted_from]
    assert data.targets("validation") == len(targets)
    texts = targets[targets != data.tokenizer.end] if data.tokenizer.end is not None else targets
    assert data.num_bytes["validation"] == len(data.decode(texts).encode())


@names
def test_a_batch_is_a_pure_function_of_seed_and_step(name: str) -> None:
    data = prepared(name)
    context = 8 * data.block
    first, again, other = (data.batch(seed=seed, step=3, batch_size=2, context=context) for seed in (0, 0, 1))
    assert np.array_equal(first.inputs, again.inputs) and np.array_equal(first.targets, again.targets)
    assert not np.array_equal(first.inputs, other.inputs)
    assert first.inputs.shape == first.targets.shape == (2, context)


@names
def test_facts_hold_what_the_record_of_a_study_needs(name: str) -> None:
    facts = prepared(name).facts()
    needed = "fingerprint train_tokens validation_tokens vocabulary licence source".split()
    assert set(needed) <= set(facts)
    assert json.loads(json.dumps(to_plain(facts))) == to_plain(facts)


@names
def test_long_passages_of_the_validation_text_do_not_occur_in_training(name: str) -> None:
    """Less than 1 % of the passages of 64 characters: phrases are shared, texts are not."""
    data = prepared(name)
    if data.bits_per_byte(1.0) is None:
        pytest.skip(f"the tokens of {name} are no text")
    train, validation = data.decode(data.train), data.decode(data.validation)
    known = {hash(train[start : start + 64]) for start in range(len(train) - 63)}
    places = range(0, len(validation) - 63, 16)
    assert sum(hash(validation[start : start + 64]) in known for start in places) < 0.01 * len(places)


def how_to_prepare(name: str) -> str:
    """`lawful data` knows a corpus by its name alone, as it is by default."""
    return f"lawful data prepare {name}" if EVERY[name] == corpora.known()[name] else "lawful plan STUDY"


@names
def test_data_that_was_never_prepared_is_refused_with_what_to_run(
    name: str, empty_cache: Path, small_library: None
) -> None:
    with pytest.raises(LawfulError, match=f"expected prepared data abcdef.*got none; `{how_to_prepare(name)}`"):
        EVERY[name].open("abcdef")


@names
def test_damaged_files_are_noticed_and_made_again(name: str, empty_cache: Path, small_library: None) -> None:
    corpus = available(name)
    data = corpus.prepare()
    file = folder_of(name, data, empty_cache) / "validation.bin"
    good = file.read_bytes()
    for bad, complaint in ((good[:-2], "bytes"), (bytes([good[0] ^ 1]) + good[1:], "SHA-256"), (None, "no file")):
        file.unlink()
        if bad is not None:
            file.write_bytes(bad)
        with pytest.raises(LawfulError, match=f"(?s)damaged: .*{complaint}.*`{how_to_prepare(name)}`"):
            corpus.open(data.fingerprint)
        assert corpus.verify(data.fingerprint) != []
    again = corpus.prepare()
    assert file.read_bytes() == good and again.fingerprint == data.fingerprint


@names
def test_a_preparation_cut_short_is_not_taken_for_a_whole_one(
    name: str, empty_cache: Path, small_library: None
) -> None:
    corpus = available(name)
    data = corpus.prepare()
    (folder_of(name, data, empty_cache) / "meta.json").unlink()  # it is written last
    with pytest.raises(LawfulError, match="got none"):
        corpus.open(data.fingerprint)
    assert corpus.prepare().fingerprint == data.fingerprint


@names
def test_verifying_reads_the_text_again(name: str, empty_cache: Path, small_library: None) -> None:
    corpus = available(name)
    data = corpus.prepare()
    assert corpus.verify(data.fingerprint) == []
    meta_file = folder_of(name, data, empty_cache) / "meta.json"
    meta = json.loads(meta_file.read_text())
    tokens = meta_file.with_name("train.bin")
    swapped = tokens.read_bytes()[2:] + tokens.read_bytes()[:2]
    tokens.write_bytes(swapped)
    meta["splits"]["train"]["sha256"] = hashlib.sha256(swapped).hexdigest()  # consistent, but not what the text gives
    meta_file.write_text(json.dumps(meta))
    assert "another version of lawful" in " ".join(corpus.verify(data.fingerprint))


def test_a_folder_prepared_from_another_corpus_is_refused(empty_cache: Path, small_library: None) -> None:
    prose = PythonDocs().prepare()
    with pytest.raises(LawfulError, match="python_docs: expected data"):
        PythonDocs(part="source").open(prose.fingerprint)

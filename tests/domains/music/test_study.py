"""The study music: arms of one size, the original's shapes, and its settings."""

from __future__ import annotations

import pytest

from lawful.domains.music.studies import music
from lawful.errors import LawfulError
from lawful.study import declare


@pytest.mark.parametrize("scale", ["smoke", "quick", "full"])
def test_the_arms_of_a_rung_have_the_same_size_and_see_the_same_data(scale: str) -> None:
    study = declare(music, scale)
    by_place: dict[tuple[object, ...], list[object]] = {}
    ladder = [rung for rung in study.ladder if rung.bracket is None]
    for rung in ladder:
        by_place.setdefault((rung.at["width"], rung.at["seed"]), []).append(rung)
    for transformer, lstm in by_place.values():
        first, second = transformer.run, lstm.run
        sizes = [run.family.param_counts() for run in (first, second)]
        assert sizes[1].non_embedding == pytest.approx(sizes[0].non_embedding, rel=0.05)
        assert sizes[1].embedding == sizes[0].embedding
        assert (first.corpus, first.data_seed, first.tokens) == (second.corpus, second.data_seed, second.tokens)
    pulls = [rung.run.optimizer.learning_rate * rung.run.optimizer.weight_decay for rung in ladder]
    assert max(pulls) == pytest.approx(min(pulls))  # decay acts as strongly on every rung
    assert {rung.at["width"] for rung in study.ladder if rung.held_out} == {max(study.held_out.values())}


def test_the_full_ladder_has_the_sizes_that_were_asked_for() -> None:
    ladder = [rung for rung in declare(music, "full").ladder if rung.bracket is None]
    runs = [rung for rung in ladder if rung.at["architecture"] == "transformer"]
    millions = [rung.run.family.param_counts().non_embedding / 1e6 for rung in runs]
    assert millions == pytest.approx([0.8, 4.7, 14, 31, 85], rel=0.03)
    assert all(rung.run.tokens > 100e6 for rung in runs)


def test_the_published_ladder_has_the_authors_shapes_steps_and_optimiser() -> None:
    study = declare(music, "published")
    runs = [rung.run for rung in study.ladder if rung.at["architecture"] == "transformer"]
    # of the blocks; the author's had biases, .3 % more (symbolic_music_runs.csv)
    theirs = [396_800, 3_159_552, 18_915_328, 56_704_512, 151_156_736]
    assert [run.family.param_counts().non_embedding for run in runs] == pytest.approx(theirs, rel=0.01)
    # all other parameters of theirs are 5,137 vectors of the width: 1,024 positions and, where the head is tied, a
    # vocabulary of 4,113; with a head of its own no whole vocabulary fits
    for run, width in zip(runs, (128, 256, 512, 768, 1024), strict=True):
        others = run.family.param_counts().total - run.family.param_counts().non_embedding
        assert others == pytest.approx((1024 + run.family.vocab_size) * width)
    assert {run.batch_size * run.context for run in runs} == {2**19}
    assert {(run.optimizer.learning_rate, run.optimizer.weight_decay, run.optimizer.clip) for run in runs} == {
        (3e-4, 0.01, 1.0)
    }
    told = " ".join(study.faults)
    assert all(words in told for words in ("12 heads do not divide", "dropout is left out", "match no transformer"))
    assert "46" in told


def test_the_published_lstms_have_the_layers_of_the_authors_four() -> None:
    rungs = [rung for rung in declare(music, "published").ladder if rung.at["architecture"] == "lstm"]
    theirs = {"tiny": 299_401, "small": 1_649_289, "medium": 8_545_417, "large": 23_834_249}  # symbolic_music_runs.csv
    assert [rung.at["size"] for rung in rungs] == list(theirs)
    for rung in rungs:
        family, vocabulary = rung.run.family, 137
        layers = sum(family.param_counts().by_group[group] for group in ("input", "recurrent", "biases"))
        # an embedding, and a head of its own with a bias
        assert layers + vocabulary * (2 * family.width + 1) == theirs[str(rung.at["size"])]
    alone = declare(music, "published", {"arms": "lstm"})
    assert alone.arm is None and len(alone.ladder) == 4 and "Four LSTMs, 1 seed" in alone.faults[-1]
    assert "match no transformer" in " ".join(alone.faults) and "xl" not in " ".join(alone.faults)
    both = declare(music, "published").faults
    assert set(alone.faults[:-1]) < set(both) and "match no" not in " ".join(
        declare(music, "published", {"arms": "transformer"}).faults
    )


def test_batches_vocabularies_and_shares_can_be_set() -> None:
    study = declare(
        music, "quick", {"batch_tokens": "4k", "vocabulary": "1000", "layout": "padded", "test_share": ".1"}
    )
    run = study.ladder[0].run
    assert run.batch_size * run.context == 3840  # whole windows of 256
    assert run.corpus.vocab_size == run.family.vocab_size == 1001
    assert run.corpus.layout == "padded" and run.corpus.test_share == 0.1
    assert declare(music, "quick", {"learned": "200"}).ladder[0].run.family.vocab_size == 643
    with pytest.raises(LawfulError, match="published scale is fixed"):
        declare(music, "published", {"widths": "24"})

"""CTC against torch's own and against every alignment by hand; decoding and error rates against second accounts."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lawful.domains.emg.edits import aligned, commonest_cer, edits
from lawful.domains.emg.families.ctc_encoder import CtcEncoder, Emissions
from lawful.domains.emg.records import Decoded
from lawful.domains.emg.tasks.ctc import IGNORED, Batch, Ctc, Spelling, ctc_loss, greedy, is_feasible
from lawful.domains.emg.tokenizers.keys import Keys
from lawful.errors import LawfulError
from lawful.rules.backprop import Backprop
from lawful.run import from_json, to_json
from lawful.storage.cache import sha256_of

CLASSES = 5  # four labels and the blank


def collapsed(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    return tuple(label for label, _ in itertools.groupby(path) if label != blank)


def summed_over_alignments(log_probs: np.ndarray, target: tuple[int, ...]) -> float:
    """-log of the probability of every path that collapses to the target: by enumeration."""
    emissions, classes = log_probs.shape
    total = -math.inf
    for path in itertools.product(range(classes), repeat=emissions):
        if collapsed(path, classes - 1) == target:
            total = float(np.logaddexp(total, sum(log_probs[t, label] for t, label in enumerate(path))))
    return -total


def padded(rows: list[list[int]]) -> Tensor:
    most = max(1, *(len(row) for row in rows))
    return torch.tensor([row + [IGNORED] * (most - len(row)) for row in rows])


def test_the_loss_is_the_sum_over_all_alignments() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(4, 5, CLASSES, generator=generator)
    rows, lengths = [[0, 1], [2, 2], [], [3]], torch.tensor([5, 4, 3, 2])
    found = ctc_loss(scores, lengths, padded(rows))
    for number, row in enumerate(rows):
        log_probs = scores[number, : lengths[number]].log_softmax(-1).numpy().astype(float)
        assert found[number].item() == pytest.approx(summed_over_alignments(log_probs, tuple(row)), rel=1e-5)


def test_on_random_cases_it_is_torchs_own() -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        scores = torch.randn(6, 30, 99, generator=generator)
        lengths = torch.randint(20, 31, (6,), generator=generator)
        sizes = torch.randint(1, 9, (6,), generator=generator).tolist()
        rows = [torch.randint(98, (size,), generator=generator).tolist() for size in sizes]
        expected = torch.nn.CTCLoss(blank=98, reduction="none")(
            scores.log_softmax(-1).transpose(0, 1),
            torch.tensor([label for row in rows for label in row]),
            lengths,
            torch.tensor(sizes),
        )
        torch.testing.assert_close(ctc_loss(scores, lengths, padded(rows)), expected)


def test_too_few_emissions_are_noticed_and_add_nothing() -> None:
    rows = [[0, 0, 0], [0, 1, 0], [0, 0], []]
    lengths = torch.tensor([4, 3, 3, 0])  # three equal labels need two blanks between: five emissions
    assert is_feasible(lengths, padded(rows)).tolist() == [False, True, True, True]
    scores = torch.randn(4, 4, CLASSES, generator=torch.Generator().manual_seed(2), requires_grad=True)
    losses = ctc_loss(scores, lengths, padded(rows))
    assert losses[0] == 0 and losses[1] > 0
    losses.sum().backward()
    assert torch.isfinite(scores.grad).all() and not scores.grad[0].any()


@given(path=st.lists(st.integers(0, 4), max_size=40))
@settings(max_examples=200, deadline=None)
def test_greedy_decoding_collapses_then_drops_blanks(path: list[int]) -> None:
    found = greedy(np.array(path, dtype=np.int64), blank=4)
    assert tuple(found) == collapsed(tuple(path), 4)
    assert len(found) <= len(path)
    again = [label for one in found for label in (one, 4)]  # spelled out with blanks, it decodes to itself
    assert tuple(greedy(np.array(again, dtype=np.int64), blank=4)) == tuple(found)


def slow_edits(reference: str, decoded: str) -> int:
    """A second account: Wagner and Fischer's table, written out."""
    row = list(range(len(decoded) + 1))
    for i, true in enumerate(reference, start=1):
        before, row[0] = row[0], i
        for j, seen in enumerate(decoded, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (true != seen))
    return row[-1]


def test_edits_are_as_few_as_a_second_account_finds() -> None:
    draw = random.Random(7)
    for _ in range(200):
        reference, decoded = ("".join(draw.choices("abc d", k=draw.randint(0, 14))) for _ in range(2))
        made = edits(reference, decoded)
        assert made.total == slow_edits(reference, decoded)
        assert made.insertions - made.deletions == len(decoded) - len(reference)
        pairs = aligned(reference, decoded)
        assert "".join(true for true, _ in pairs) == reference and "".join(seen for _, seen in pairs) == decoded
        assert sum(true != seen for true, seen in pairs) == made.total


def test_a_missed_character_is_a_deletion_or_by_the_public_code_an_insertion() -> None:
    made = edits("the cat", "the at")
    assert made.counted("reference") == {"insertions": 0, "deletions": 1, "substitutions": 0}
    assert made.counted("emg2qwerty") == {"insertions": 1, "deletions": 0, "substitutions": 0}


def test_typing_the_commonest_key_over_and_over_is_right_as_often_as_it_comes() -> None:
    assert commonest_cer(["aaab"], most=1) == pytest.approx(0.25)
    assert commonest_cer(["abababab"], most=2) == 0.0


class Spells(nn.Module):
    """Emits given labels, one an emission, each followed by a blank; a bias that learns makes it a model."""

    def __init__(self, rows: list[list[int]], emissions: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(99))
        scores = torch.zeros(len(rows), emissions, 99)
        scores[:, :, 98] = 5
        for number, row in enumerate(rows):
            for place, label in enumerate(row):
                scores[number, 2 * place, label] = 10
        self.register_buffer("scores", scores)

    def forward(self, inputs: Tensor, begin: Tensor, end: Tensor) -> Emissions:
        rows = inputs[:, 0, 0, 0, 0].long()  # which row this is
        return Emissions(self.scores[rows] + self.bias, (end - begin).clamp(max=self.scores.shape[1]))


def spelled(texts: list[str], sessions: list[int], users: list[int], emissions: int = 24) -> Any:
    rows = [Keys().encode(text).astype(int).tolist() for text in texts]
    inputs = torch.zeros(len(rows), emissions, 2, 16, 33)
    inputs[:, 0, 0, 0, 0] = torch.arange(len(rows))
    return Batch(
        inputs=inputs,
        targets=padded(rows),
        begin=torch.zeros(len(rows), dtype=torch.long),
        end=torch.full((len(rows),), emissions),
        session=torch.tensor(sessions),
        user=torch.tensor(users),
    )


def test_windows_of_a_session_are_decoded_end_to_end_and_errors_are_told_apart() -> None:
    true = spelled(["the cat", " sat on", "abc"], sessions=[0, 0, 1], users=[4, 4, 7])
    read = spelled(["the cut", " sat o", "xabc"], sessions=[0, 0, 1], users=[4, 4, 7])
    model = Spells([row[row >= 0].tolist() for row in read.targets], 24)
    task = Ctc()
    sums = task.measure(model, true)
    found = task.summary(sums)
    assert sums["targets"] == sums["characters"] == 17 and sums["infeasible"] == 0
    assert (sums["substitutions"], sums["deletions"], sums["insertions"]) == (1, 1, 1)
    assert found["cer"] == pytest.approx(3 / 17)
    assert found["cer_users"] == pytest.approx((2 / 14 + 1 / 3) / 2)
    assert found["cer_users_sd"] == pytest.approx(np.std([2 / 14, 1 / 3], ddof=1))
    assert task.no_evidence(found) is None
    by_torch = ctc_loss(*model(true.inputs, true.begin, true.end), true.targets).sum().item()
    assert found["loss"] == pytest.approx(by_torch / 17)
    details = task.details(model, [true], lambda number: {"session": f"s{number}", "user": "u"})
    assert [row.decoded for row in details.sessions] == ["the cut sat o", "xabc"]
    assert ("a", "u", 1) in details.confusions and ("n", "", 1) in details.confusions
    assert sum(number for _, _, number in details.confusions) == 18  # 17 characters and one made up


def test_final_models_are_decoded_by_beam_search_too_where_asked(tmp_path: Path) -> None:
    batch = spelled(["the cut", "x"], sessions=[0, 1], users=[0, 0])
    model = Spells([Keys().encode(text).astype(int).tolist() for text in ("the cut", "y")], 24)
    model.scores[0, 10] = 0  # in place of "u": a little better than "a"
    model.scores[0, 10, [int(key) for key in Keys().encode("ua")]] = torch.tensor([6.0, 5.9])
    words = "\n".join(f"-1\t{letter}" for letter in "thecaxy") + "\n-3\tu\n-1\t<space>\n-9\t<s>"
    path = tmp_path / "letters.arpa"
    path.write_text(f"\\data\\\nngram 1=10\n\n\\1-grams:\n{words}\n\n\\end\\\n")
    told = Spelling(path=str(path), sha256=sha256_of(path))
    for task, expected in ((Ctc(), None), (Ctc(beam=8), "the cut"), (Ctc(beam=8, spelling=told), "the cat")):
        found = task.details(model, [batch], lambda number: {}).sessions
        assert [row.decoded for row in found] == ["the cut", "y"]
        assert (found[0].beam and found[0].beam.decoded) == expected
        if expected:
            assert found[1].beam == Decoded(insertions=0, deletions=0, substitutions=1, decoded="y")
    path.write_text(path.read_text().replace("-3", "-1"))
    with pytest.raises(LawfulError, match="expected the language model of SHA-256"):
        Ctc(beam=8, spelling=told).details(model, [batch], lambda number: {})
    with pytest.raises(LawfulError, match="beam: expected at least 1 with a spelling, got 0"):
        Ctc(spelling=told)
    assert from_json(to_json(Ctc(beam=8, spelling=told))) == Ctc(beam=8, spelling=told)
    assert "spelling" not in to_json(Ctc())  # ids from before there were any still stand


def test_a_key_that_two_windows_share_is_not_typed_twice() -> None:
    """The label's spike continues over the seam; decoded apart it would be two keys."""
    batch = spelled(["ab", "c"], sessions=[0, 0], users=[0, 0], emissions=4)
    model = Spells([Keys().encode("ab").astype(int).tolist(), Keys().encode("c").astype(int).tolist()], 4)
    model.scores[0, 3, :] = model.scores[0, 2, :]  # "b" lasts to the end of the first window
    model.scores[1, 0, :] = model.scores[0, 2, :]  # and into the second
    model.scores[1, 2, int(Keys().encode("c")[0])] = 10
    (read,) = Ctc().read(model, batch)
    assert read.decoded == "abc"


def test_a_collapsed_model_is_no_evidence() -> None:
    batch = spelled(["the cat sat on", "the mat"], sessions=[0, 1], users=[0, 1], emissions=30)
    blanks = Spells([[], []], 30)
    task = Ctc()
    said = task.no_evidence(task.summary(task.measure(blanks, batch)))
    assert said is not None and "CER 100.0%" in said and "0 distinct symbols" in said and "blanks" in said


def test_pieces_of_a_batch_add_up_to_the_gradient_of_the_whole() -> None:
    task = Ctc()
    batch = spelled(["the cat", "a", "", "on it"], sessions=[0, 1, 2, 3], users=[0, 0, 0, 0])
    gradients = []
    for size in (4, 3, 1):
        model = Spells([[], [3], [], [7]], 24)
        for start in range(0, 4, size):
            piece = Batch(**{name: value[start : start + size] for name, value in vars(batch).items()})
            Backprop().gradients(model, task, piece, scale=1 / task.count(batch))
        gradients.append(model.bias.grad)
    torch.testing.assert_close(gradients[1], gradients[0])
    torch.testing.assert_close(gradients[2], gradients[0])


def test_a_probe_is_shaped_as_a_training_batch() -> None:
    family = CtcEncoder(width=16, depth=1, heads=2, mlp_width=16, band_width=8, past=8, future=2)
    task, model = Ctc(), family.build(torch.Generator().manual_seed(0))
    batch = task.probe(SimpleNamespace(family=family, context=50), 3)
    assert batch.inputs.shape == (3, 60, 2, 16, 33) and task.count(batch) > 0
    assert torch.isfinite(task.loss(model, batch))

"""tiny_stories: stories are packed whole, split without overlap, found where they may lie, fetched in part or whole."""

from __future__ import annotations

import hashlib
import math
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from lawful import unpack
from lawful.corpora import tiny_stories
from lawful.corpora.tiny_stories import TinyStories
from lawful.errors import LawfulError
from lawful.token_data import IGNORED
from lawful.tokenizers import Tokenizer
from lawful.tokenizers.bytes import Bytes
from lawful.tokenizers.characters import Characters
from lawful.tokenizers.gpt2_bpe import GPT2
from lawful.tokenizers.trained_bpe import TrainedBPE

ASCII = Characters(alphabet="\n\x1a\x03" + "".join(map(chr, range(32, 127))), unknown="\x1a")
TOKENIZERS = [Bytes(), ASCII, GPT2(), TrainedBPE(vocab_size=400)]


def story(number: int) -> str:
    return f"Once there was a cat number {number}. It sat.\n\nThen it ran {number * number} steps."


def marked(first: int, last: int) -> str:
    return "".join(f"{story(number)}\n<|endoftext|>\n" for number in range(first, last))


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def stories_of(tokens: np.ndarray) -> list[str]:
    """Of byte tokens."""
    texts = tokens.astype(np.uint8).tobytes().split(b"\xff")
    assert texts.pop() == b""  # the last story ends as all do
    return [text.decode() for text in texts]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> None:
    """No sample on this machine, and nobody listens where the stories would come from."""
    monkeypatch.delenv("LAWFUL_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(tiny_stories, "HOME", "http://127.0.0.1:1")


@pytest.fixture
def sample(data_file: Callable[[str], Path]) -> Path:
    return data_file("tinystories/sample.txt")


def test_every_story_is_packed_once_in_order_with_an_end(tmp_path: Path) -> None:
    path = written(tmp_path / "stories.txt", marked(0, 100))
    data = TinyStories(tokenizer=Bytes()).prepare(path)
    train, validation = stories_of(data.train), stories_of(data.validation)
    assert train + validation == [story(number) for number in range(100)]
    assert 88 <= len(train) <= 91
    assert data.facts()["stories"] == 100
    assert data.facts()["text_bytes"] == sum(len(story(number)) for number in range(100))


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda tokenizer: tokenizer.name)
def test_every_tokenizer_packs_the_same_stories(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = written(tmp_path / "stories.txt", marked(0, 100))
    data = TinyStories(tokenizer=tokenizer).prepare(path)
    ends = np.flatnonzero(data.train == data.tokenizer.end)
    assert ends[-1] == len(data.train) - 1
    texts = [data.decode(piece) for piece in np.split(data.train, ends + 1)[:-1]]
    assert [text.rstrip("\x03").removesuffix("<|endoftext|>").rstrip("\ufffd") for text in texts] == [
        story(number) for number in range(len(ends))
    ]
    assert int(data.train.max()) < data.vocab_size == tokenizer.vocab_size


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda tokenizer: tokenizer.name)
def test_bits_per_byte_are_comparable_between_tokenizers(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """A model that gives every byte of the text one chance in 256, and the ends away, has 8 bits per byte."""
    path = written(tmp_path / "stories.txt", marked(0, 100))
    data = TinyStories(tokenizer=tokenizer).prepare(path)
    targets = data.validation[1:]
    bytes_of = [0 if token == data.tokenizer.end else len(data.tokenizer.decode_bytes([token])) for token in targets]
    loss = sum(bytes_of) * math.log(256) / len(targets)
    assert data.bits_per_byte(loss) == pytest.approx(8.0)
    uniform = len(targets) * math.log2(data.vocab_size) / sum(bytes_of)  # by hand: bits over bytes
    assert data.bits_per_byte(math.log(data.vocab_size)) == pytest.approx(uniform)
    lost = len(data.tokenizer.decode_bytes(data.validation[:1]))  # the first token is no target
    text = [story(number) for number in range(100)][-int((data.validation == data.tokenizer.end).sum()) :]
    assert data.num_bytes["validation"] == sum(len(text.encode()) for text in text) - lost


def test_no_target_is_padding_and_windows_span_stories(tmp_path: Path) -> None:
    data = TinyStories(tokenizer=Bytes()).prepare(written(tmp_path / "stories.txt", marked(0, 100)))
    batch = data.batch("train", seed=0, step=0, batch_size=4, context=256)
    assert (batch.targets != IGNORED).all() and (batch.targets == 0xFF).any()
    assert data.targets("validation") == len(data.validation) - 1


def test_a_trained_tokenizer_learns_from_training_stories_only_and_is_kept(tmp_path: Path) -> None:
    text = marked(0, 90) + "".join("Quiz zebu.\n<|endoftext|>\n" for _ in range(60))
    path = written(tmp_path / "stories.txt", text)
    corpus = TinyStories(tokenizer=TrainedBPE(vocab_size=400), train_share=0.85)
    data = corpus.prepare(path)
    assert isinstance(data.tokenizer, TrainedBPE) and data.tokenizer.pieces
    assert not any("zebu".startswith(bytes.fromhex(piece).decode()) for piece in data.tokenizer.pieces)
    assert corpus.open(data.fingerprint).tokenizer == data.tokenizer
    assert corpus.prepare(path).tokenizer == data.tokenizer
    assert data.decode(data.encode("A cat: ünïcode.")) == "A cat: ünïcode."
    assert corpus.verify(data.fingerprint, path) == []


def test_without_marks_a_line_break_ends_a_story_and_a_blank_line_does_not(tmp_path: Path) -> None:
    path = written(tmp_path / "stories.txt", "".join(f"{story(number)}\n" for number in range(40)))
    data = TinyStories(tokenizer=Bytes()).prepare(path)
    assert stories_of(data.train) + stories_of(data.validation) == [story(number) for number in range(40)]


def test_the_sample_is_used_where_there_is_no_more(
    sample: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAWFUL_DATA", str(data_folder))
    data = TinyStories(tokenizer=Bytes()).prepare()
    assert data.facts()["files"] == ("sample.txt",)
    assert TinyStories(tokenizer=Bytes()).prepare(sample).fingerprint == data.fingerprint
    text = sample.read_text(encoding="utf-8")
    packed = "".join(stories_of(data.train) + stories_of(data.validation))
    assert "".join(packed.split()) == "".join(text.split())  # nothing but blanks between stories is gone


def test_the_data_sets_own_validation_file_is_the_validation_split(tmp_path: Path) -> None:
    written(tmp_path / "TinyStories-train.txt", marked(0, 50))
    written(tmp_path / "TinyStories-valid.txt", marked(50, 60))
    written(tmp_path / "TinyStoriesV2-GPT4-train.txt", marked(900, 950))
    data = TinyStories(tokenizer=Bytes()).prepare(tmp_path)
    assert stories_of(data.train) == [story(number) for number in range(50)]
    assert stories_of(data.validation) == [story(number) for number in range(50, 60)]


def test_other_files_of_a_folder_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for number, name in enumerate(("b.txt", "c.txt", "a.txt")):
        written(tmp_path / name, marked(10 * number, 10 * number + 10))
    data = TinyStories(tokenizer=Bytes(), train_share=0.7).prepare(tmp_path)
    numbers = [*range(20, 30), *range(10), *range(10, 20)]
    assert stories_of(data.train) + stories_of(data.validation) == [story(number) for number in numbers]
    assert 20 <= len(stories_of(data.train)) <= 22


def test_a_parquet_file_gives_its_column_text(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    texts = [story(number) for number in range(2500)]
    parquet.write_table(pyarrow.table({"text": texts[:2000]}), tmp_path / "train-00000-of-00001.parquet")
    parquet.write_table(pyarrow.table({"text": texts[2000:]}), tmp_path / "validation-00000-of-00001.parquet")
    data = TinyStories(tokenizer=Bytes()).prepare(tmp_path)
    assert (stories_of(data.train), stories_of(data.validation)) == (texts[:2000], texts[2000:])
    parquet.write_table(pyarrow.table({"story": texts}), tmp_path / "other.parquet")
    with pytest.raises(LawfulError, match=r"other\.parquet: expected a column `text`, got story"):
        TinyStories(tokenizer=Bytes()).prepare(tmp_path / "other.parquet")
    parquet.write_table(pyarrow.table({"text": [1, 2]}), tmp_path / "numbers.parquet")
    with pytest.raises(LawfulError, match=r"numbers\.parquet, row 1: expected text in the column `text`, got 1"):
        TinyStories(tokenizer=Bytes()).prepare(tmp_path / "numbers.parquet")
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "other.parquet").read_bytes()[:-50])
    with pytest.raises(
        LawfulError, match=r"torn\.parquet: expected a parquet file of stories, got a file that does not parse"
    ):
        TinyStories(tokenizer=Bytes()).prepare(tmp_path / "torn.parquet")


def test_without_pyarrow_a_parquet_file_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        LawfulError,
        match=r"stories\.parquet: reading parquet files needs the package pyarrow.*pip install 'lawful\[table\]'",
    ):
        TinyStories(tokenizer=Bytes()).prepare(written(tmp_path / "stories.parquet", "PAR1"))


def test_damage_is_named_with_the_file_and_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "stories.txt"
    good = marked(0, 40).encode()
    path.write_bytes(good[:1234] + b"\xe9" + good[1235:])
    with pytest.raises(LawfulError, match=r"stories\.txt: expected UTF-8, got byte 0xe9 at byte 1,234"):
        TinyStories(tokenizer=Bytes()).prepare(path)
    assert not list(path.parent.glob("cache/corpora/tiny_stories/*/*.bin"))


@pytest.mark.parametrize("text", ["", "\n\n", "<|endoftext|>\n<|endoftext|>\n"])
def test_a_file_without_stories_is_named(text: str, tmp_path: Path) -> None:
    written(tmp_path / "a.txt", marked(0, 10))
    written(tmp_path / "b.txt", text)
    with pytest.raises(LawfulError, match=rf"b\.txt: expected stories, got {len(text)} bytes without any"):
        TinyStories(tokenizer=Bytes()).prepare(tmp_path)


def test_a_place_without_stories_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LawfulError, match=r"--data .*got a folder without any; the data set is TinyStories-train\.txt"):
        TinyStories().prepare(tmp_path)
    with pytest.raises(LawfulError, match="got no such file"):
        TinyStories().prepare(tmp_path / "nothing.txt")


def test_a_story_that_the_tokenizer_cannot_write_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "stories.txt", marked(0, 20) + "A naïve cat.\n<|endoftext|>\n" + marked(20, 30))
    tokenizer = Characters(alphabet="\n\x03" + "".join(map(chr, range(32, 127))))
    with pytest.raises(LawfulError, match=r"story number 21 \('A naïve cat\.'\.\.\.\): characters: .*got 'ï'"):
        TinyStories(tokenizer=tokenizer).prepare(path)


def test_declarations_that_cannot_be_are_refused() -> None:
    with pytest.raises(LawfulError, match="expected one with an end mark"):
        TinyStories(tokenizer=Characters(alphabet="ab"))
    with pytest.raises(LawfulError, match="train_share"):
        TinyStories(train_share=0.0)
    with pytest.raises(LawfulError, match="first_bytes"):
        TinyStories(first_bytes=0)


def test_the_end_mark_of_characters_cannot_be_smuggled_in(tmp_path: Path) -> None:
    text = "".join(f"A\x03B{number}\n<|endoftext|>\n" for number in range(20))
    data = TinyStories(tokenizer=ASCII).prepare(written(tmp_path / "stories.txt", text))
    assert (data.train == ASCII.end).sum() + (data.validation == ASCII.end).sum() == 20


def test_a_large_text_is_never_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "stories.txt"
    with path.open("w") as file:
        for _ in range(5):
            file.write(marked(0, 5000))
    assert path.stat().st_size > 1.5e6
    tracemalloc.start()
    try:
        data = TinyStories(tokenizer=ASCII, train_share=0.99).prepare(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(data.train) > 1.5e6  # 3 MB, and as much again for the text
    assert peak < 3e6, f"{peak:,} bytes"


@dataclass
class Server:
    """A public home on this machine."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: int | None = None  # closes the connection after so many bytes
    honours_range: bool = True
    num_sent: int = 0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    told = Server(
        files={"TinyStories-train.txt": marked(0, 3000).encode(), "TinyStories-valid.txt": marked(3000, 3100).encode()}
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = told.files[self.path.removeprefix("/")]
            asked = self.headers.get("Range") if told.honours_range else None
            first, _, last = (asked or "bytes=0-").removeprefix("bytes=").partition("-")
            body = content[int(first) : int(last) + 1 if last else None]
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {first}-{int(first) + len(body) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            body = body if told.cut_after is None else body[: told.cut_after]
            try:
                self.wfile.write(body)
                told.num_sent += len(body)
            except ConnectionError:
                pass  # a client that has had enough closes

        def log_message(self, *_: object) -> None:
            pass

    for kind, name in (("TRAIN", "TinyStories-train.txt"), ("VALID", "TinyStories-valid.txt")):
        monkeypatch.setattr(tiny_stories, f"{kind}_BYTES", len(told.files[name]))
        monkeypatch.setattr(tiny_stories, f"{kind}_SHA256", hashlib.sha256(told.files[name]).hexdigest())
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        told.url = f"http://127.0.0.1:{http.server_address[1]}"
        monkeypatch.setattr(tiny_stories, "HOME", told.url)
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield told
        http.shutdown()
        thread.join()


def test_both_files_are_fetched_once_and_used(server: Server) -> None:
    corpus = TinyStories(tokenizer=Bytes())
    assert not corpus.is_available()
    data = corpus.prepare()
    assert stories_of(data.train) == [story(number) for number in range(3000)]
    assert stories_of(data.validation) == [story(number) for number in range(3000, 3100)]
    sent = server.num_sent
    assert sent == sum(map(len, server.files.values()))
    assert corpus.is_available()
    TinyStories(tokenizer=GPT2(), first_bytes=1000).prepare()
    assert server.num_sent == sent


def test_a_cut_download_goes_on_where_it_was(server: Server) -> None:
    server.cut_after = 100_000
    with pytest.raises(LawfulError, match=r"TinyStories-train\.txt .*what has arrived is kept.*--data PATH"):
        TinyStories(tokenizer=Bytes()).prepare()
    server.cut_after = None
    TinyStories(tokenizer=Bytes()).prepare()
    assert server.num_sent == sum(map(len, server.files.values()))


@pytest.mark.parametrize("honours_range", [True, False])
def test_a_beginning_is_all_that_is_fetched_and_a_longer_one_goes_on(server: Server, honours_range: bool) -> None:
    server.honours_range = honours_range
    valid = len(server.files["TinyStories-valid.txt"])
    short = TinyStories(tokenizer=Bytes(), first_bytes=50_000)
    first = short.prepare()
    if honours_range:
        assert server.num_sent == 50_000 + valid
    assert first.facts()["files"] == ("TinyStories-train.txt", "TinyStories-valid.txt")
    longer = TinyStories(tokenizer=Bytes(), first_bytes=70_000).prepare()
    if honours_range:
        assert server.num_sent == 70_000 + valid
    assert len(stories_of(first.train)) < len(stories_of(longer.train)) < 3000
    assert stories_of(longer.train)[: len(stories_of(first.train))] == stories_of(first.train)
    assert 49_900 < len(marked(0, len(stories_of(first.train)))) <= 50_001  # the last line break may come after
    assert stories_of(first.validation) == stories_of(longer.validation)
    assert short.is_available()


@pytest.mark.parametrize("first_bytes", [49_990, 50_000, 50_010, 50_020, 50_040, 50_080])
def test_a_beginning_gives_the_stories_that_the_whole_file_gives(
    server: Server, first_bytes: int, tmp_path: Path
) -> None:
    corpus = TinyStories(tokenizer=Bytes(), first_bytes=first_bytes)
    from_beginning = corpus.prepare()
    for name, content in server.files.items():
        (tmp_path / name).write_bytes(content)
    assert corpus.prepare(tmp_path).fingerprint == from_beginning.fingerprint
    TinyStories(tokenizer=Bytes(), first_bytes=first_bytes + 999).prepare()  # a longer .part gives the same, too
    assert corpus.verify(from_beginning.fingerprint) == []


def test_without_data_and_network_the_error_names_file_place_and_flag() -> None:
    corpus = TinyStories()
    assert not corpus.is_available() and corpus.vocab_size == 512
    with pytest.raises(
        LawfulError, match=r"TinyStories-valid\.txt \(19,447,282 bytes, SHA-256 94e4.*\) from http://127"
    ):
        corpus.prepare()
    with pytest.raises(LawfulError, match="pass it with --data PATH"):
        TinyStories(first_bytes=1000).prepare()


def test_a_parquet_file_that_holds_far_more_than_it_weighs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(unpack, "LEAST_ROOM", 2**20)
    story = pyarrow.array(["once upon a time " * 1000])
    many = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 10_000, pyarrow.int32()), story)
    parquet.write_table(pyarrow.table({"text": many}), tmp_path / "bomb.parquet")
    assert (tmp_path / "bomb.parquet").stat().st_size < 100_000  # for 170 MB
    with pytest.raises(
        LawfulError, match=r"bomb\.parquet: expected at most [\d,]+ bytes of text in a file of its size"
    ):
        TinyStories(tokenizer=Bytes()).prepare(tmp_path / "bomb.parquet")


def test_a_text_without_an_end_is_not_taken_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_stories, "MOST_STORY_BYTES", 2**16)
    for name, content in {"line.txt": b"a" * 2**17, "lines.txt": b"<|endoftext|>\n" + b"a\n" * 2**16}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LawfulError, match=f"{name}: expected stories of less than 65,536 bytes"):
            TinyStories(tokenizer=Bytes()).prepare(tmp_path / name)


def test_a_validation_file_is_known_in_capitals_too(tmp_path: Path) -> None:
    written(tmp_path / "a-train.txt", marked(0, 50))
    written(tmp_path / "b-VALID.txt", marked(50, 60))
    data = TinyStories(tokenizer=Bytes()).prepare(tmp_path)
    assert stories_of(data.validation) == [story(number) for number in range(50, 60)]

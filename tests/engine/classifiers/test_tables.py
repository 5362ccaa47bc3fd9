"""Tables of collapsed models: they change no score, and none is believed that is not the model's."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pytest

from mashbill.artifacts.manifest import MANIFEST
from mashbill.classifiers import FastTextScorer, tables
from mashbill.classifiers.fasttext_model import FastTextModel
from mashbill.classifiers.tables import KEPT, Table, file_identity
from mashbill.errors import ConfigError

WORDS = ["the", "of", "law", "import", "class", "naïve", "日本語", "sugar", "oven", "</s>", "x", "y", "z"]
KINDS: dict[str, dict[str, Any]] = {
    "bigrams": {"wordNgrams": 2, "bucket": 40_000, "dim": 20},
    "unigrams": {"wordNgrams": 1, "dim": 100},
    "trigrams": {"wordNgrams": 3, "bucket": 20_000, "dim": 24},
    "subwords": {"wordNgrams": 2, "bucket": 30_000, "dim": 16, "minn": 2, "maxn": 4},
    "three labels": {"wordNgrams": 2, "bucket": 20_000, "dim": 20, "labels": 3},
}
TEXTS = [
    "the law of import",
    "sugar oven x y z",
    "",
    "unknown words",
    "the the __label__1 of </s> class",
    "日本",
]


def train(path: Path, *, seed: int = 0, labels: int = 2, **options: Any) -> Path:
    """A model of few words; models of one kind have files of one size, whatever the seed."""
    random = np.random.default_rng(seed)
    lines = [
        f"__label__{i % labels} " + " ".join(random.choice(WORDS[(i % labels) * 3 :], 12)) for i in range(300)
    ]
    examples = path.with_suffix(".txt")
    examples.write_text("\n".join([f"__label__0 {' '.join(WORDS)}", *lines]) + "\n")
    made = fasttext.train_supervised(
        str(examples), thread=1, verbose=0, epoch=5, lr=0.5, minCount=1, **options
    )
    made.save_model(str(path))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    made = {kind: train(folder / f"{kind}.bin", **options) for kind, options in KINDS.items()}
    return made | {"another": train(folder / "another.bin", seed=1, **KINDS["bigrams"])}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mashbill"


@pytest.fixture
def model(trained: dict[str, Path], tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return Path(shutil.copyfile(trained["bigrams"], tmp_path / "folder" / "model.bin"))


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as written long ago at once."""
    monkeypatch.setattr(tables, "SETTLED_SECONDS", -1.0)


def table_of(model: Path) -> Path:
    return model.with_name(model.name + ".collapsed")


def numbers(scorer: FastTextScorer) -> list[str]:
    """Every number that a classifier gives, to the bit."""
    rows = [scorer.score(TEXTS, label=label).tolist() for label in scorer.labels]
    rows += [scorer.margins(TEXTS, label=label).tolist() for label in scorer.labels]
    words, weights = scorer.word_weights(scorer.labels[0])
    return [repr(value) for row in [*rows, words, weights.tolist()] for value in row]


def scores(path: Path) -> list[str]:
    return numbers(FastTextScorer.load(path))


def fresh(path: Path) -> list[str]:
    return numbers(FastTextScorer.load(path, keep_table=False))


def doctored(model: Path) -> list[str]:
    """Double every scalar of words in the model's table, and give the scores that come of it."""
    table = Table.read(table_of(model))
    assert table is not None
    changed = replace(table.model, values=table.model.values * 2, scalars=table.model.scalars * 2)
    replace(table, model=changed).write([table_of(model)])
    return numbers(FastTextScorer(changed))


@contextmanager
def unprivileged() -> Iterator[None]:
    """As a user whom permissions bind."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users reach, as pytest's own is its user's alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_of_a_file_is_what_the_library_reads(trained: dict[str, Path], kind: str) -> None:
    found, library = FastTextModel.read(trained[kind]), fasttext.load_model(str(trained[kind]))
    assert found is not None
    settings = library.f.getArgs()
    assert (found.word_ngrams, found.shortest, found.longest) == (
        settings.wordNgrams,
        settings.minn,
        settings.maxn,
    )
    np.testing.assert_array_equal(found.rows, library.get_input_matrix())
    np.testing.assert_array_equal(found.output, library.get_output_matrix())
    assert list(found.labels) == library.labels
    assert found.entries.tobytes().decode() == "".join(library.words + library.labels)
    assert np.diff(found.offsets).tolist() == [len(w.encode()) for w in library.words + library.labels]


def test_subwords_of_a_file_of_version_11_are_none_as_the_library_has_it(
    trained: dict[str, Path], tmp_path: Path
) -> None:
    content = trained["subwords"].read_bytes()
    model = tmp_path / "model.bin"
    model.write_bytes(content[:4] + (11).to_bytes(4, "little") + content[8:])
    found, library = FastTextModel.read(model), fasttext.load_model(str(model))
    assert found is not None
    assert found.longest == library.f.getArgs().maxn == 0


@pytest.mark.parametrize("kind", KINDS)
def test_scores_from_a_table_are_those_of_a_fresh_collapse_to_the_bit(
    trained: dict[str, Path], kind: str
) -> None:
    table_of(trained[kind]).unlink(missing_ok=True)
    first, second = scores(trained[kind]), scores(trained[kind])
    assert Table.read(table_of(trained[kind])) is not None
    assert first == second == fresh(trained[kind])


def test_a_table_is_read_instead_of_the_model(model: Path, settled: None) -> None:
    plain = scores(model)
    other = doctored(model)
    assert scores(model) == other != plain
    assert fresh(model) == plain


@pytest.mark.skipif(os.geteuid() != 0, reason="reads a file that nobody else may read")
def test_a_model_that_is_unchanged_is_not_opened(
    trained: dict[str, Path], open_folder: Path, settled: None
) -> None:
    model = Path(shutil.copyfile(trained["bigrams"], open_folder / "model.bin"))
    model.chmod(0o000)
    expected = scores(model)
    with unprivileged():
        assert scores(model) == expected


def test_a_table_goes_with_its_model_to_another_folder(model: Path, settled: None, tmp_path: Path) -> None:
    scores(model)
    other = doctored(model)
    (tmp_path / "elsewhere").mkdir()
    moved = Path(shutil.copy(model, tmp_path / "elsewhere" / "renamed.bin"))
    shutil.copy(table_of(model), table_of(moved))
    assert scores(moved) == other  # by the checksum, as the file is another
    table = Table.read(table_of(moved))
    assert table is not None
    assert table.identity == file_identity(moved)


@pytest.mark.parametrize("times", ["its own times", "the times of the first"])
def test_another_model_under_the_name_has_its_own_scores(
    model: Path, trained: dict[str, Path], settled: None, times: str
) -> None:
    before = scores(model)
    old = model.stat()
    model.write_bytes(trained["another"].read_bytes())
    if times != "its own times":
        os.utime(model, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert model.stat().st_size == old.st_size
    assert scores(model) == scores(model) == fresh(trained["another"]) != before
    assert [p.name for p in model.parent.glob("*collapsed*")] == ["model.bin.collapsed"]


def test_a_model_that_was_just_written_is_not_known_by_its_times(
    model: Path, trained: dict[str, Path]
) -> None:
    """A file may be written twice within one tick of its clock, so that no time of it changes."""
    scores(model)
    table = Table.read(table_of(model))
    assert table is not None
    assert table.identity == ""
    model.write_bytes(trained["another"].read_bytes())
    assert scores(model) == fresh(trained["another"])


def test_a_table_that_is_cut_short_or_altered_is_made_anew(model: Path, settled: None) -> None:
    expected = scores(model)
    good = table_of(model).read_bytes()
    lengths = [0, 1, 7, 8, 9, 100, len(good) // 2, len(good) - 8, len(good) - 1]
    spoilt = [good[:length] for length in lengths]
    for place in [*range(0, 1_200, 37), *range(1_200, len(good), len(good) // 40), len(good) - 1]:
        spoilt.append(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
    spoilt += [b"\xff" * len(good), b"[" * 100_000, (200_000).to_bytes(8, "little") + b"[" * 200_000]
    for content in spoilt:
        table_of(model).write_bytes(content)
        assert scores(model) == expected
        assert table_of(model).read_bytes() == good


@pytest.mark.parametrize("kind", ["bigrams", "trigrams"])
def test_a_table_whose_arrays_do_not_fit_is_refused_though_its_sum_is_right(
    trained: dict[str, Path], kind: str, settled: None
) -> None:
    """A kernel would read past their ends, or look for a free slot without an end."""
    path = trained[kind]
    expected = scores(path)
    good = Table.read(table_of(path))
    assert good is not None
    model = good.model
    lookup = "fingerprints" if kind == "bigrams" else "slots"
    array = getattr(model, lookup)
    wrong = [
        replace(model, offsets=model.offsets + 1),
        replace(model, offsets=model.offsets[[0, 3, 2, 1, *range(4, len(model.offsets))]]),
        replace(model, words=model.words[:-1]),
        replace(model, counts=model.counts[:-1]),
        replace(model, buckets=model.buckets[:0]),
        replace(model, scalars=model.scalars[:-1]),
        replace(model, features=model.features.model_copy(update={"end_row": len(model.scalars)})),
        replace(model, **{lookup: np.ones_like(array)}),
        replace(model, **{lookup: np.concatenate([array, array[:1]])}),
        replace(model, values=np.zeros(3)),
    ]
    if kind == "trigrams":
        wrong.append(replace(model, slots=np.where(array == 1, len(model.offsets), array).astype(np.int32)))
    for collapsed in wrong:
        replace(good, model=collapsed).write([table_of(path)])
        assert Table.read(table_of(path)) is None
        assert scores(path) == expected


def test_a_table_of_another_version_is_made_anew(
    model: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = scores(model)
    doctored(model)
    monkeypatch.setattr(tables, "VERSION", tables.VERSION + 1)
    assert scores(model) == expected


def test_where_the_folder_cannot_be_written_the_table_is_in_the_cache(
    trained: dict[str, Path], open_folder: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (open_folder / "models").mkdir()
    (open_folder / "caches").mkdir()
    (open_folder / "caches").chmod(0o777)
    model = Path(shutil.copyfile(trained["bigrams"], open_folder / "models" / "model.bin"))
    model.parent.chmod(0o555)
    monkeypatch.setenv("XDG_CACHE_HOME", str(open_folder / "caches"))
    expected = fresh(model)
    with unprivileged():
        assert scores(model) == expected
        assert list(model.parent.iterdir()) == [model]
        kept = list((open_folder / "caches" / "mashbill").iterdir())
        assert [Table.read(place) is not None for place in kept] == [True]
        assert kept[0].name.startswith("model.bin-")
        assert scores(model) == expected
        monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
        assert scores(model) == expected  # kept nowhere


def test_nothing_is_added_to_an_artifact(model: Path, cache: Path) -> None:
    (model.parent / MANIFEST).write_text("{}")
    assert scores(model) == fresh(model)
    assert sorted(p.name for p in model.parent.iterdir()) == [MANIFEST, "model.bin"]
    assert len(list(cache.iterdir())) == 1


def test_the_cache_holds_a_few_tables_and_the_newest(
    trained: dict[str, Path], tmp_path: Path, cache: Path
) -> None:
    cache.mkdir(parents=True)
    for age in range(KEPT + 3):
        old = cache / f"old{age}.bin-0.collapsed"
        old.write_bytes(b"")
        os.utime(old, (1_000_000 - age, 1_000_000 - age))
    (tmp_path / "artifact").mkdir()
    (tmp_path / "artifact" / MANIFEST).write_text("{}")
    scores(Path(shutil.copyfile(trained["bigrams"], tmp_path / "artifact" / "new.bin")))
    names = {p.name.split("-")[0] for p in cache.iterdir()}
    assert names == {"new.bin", *(f"old{age}.bin" for age in range(KEPT - 1))}


def test_what_a_kill_left_half_written_goes_with_the_next_table(model: Path) -> None:
    left, young = (table_of(model).with_name(f"model.bin.collapsed.{name}.part") for name in ("aa", "bb"))
    for part in (left, young):
        part.write_bytes(b"half")
    os.utime(left, (1_000_000, 1_000_000))
    scores(model)
    assert not left.exists()
    assert young.exists()


def test_a_table_that_is_no_smaller_than_its_model_is_not_kept(tmp_path: Path) -> None:
    model = train(tmp_path / "wide.bin", labels=4, wordNgrams=2, bucket=997, dim=3)
    assert scores(model) == fresh(model)
    assert not table_of(model).exists()


@pytest.mark.slow
def test_two_processes_at_once_leave_one_good_table(model: Path) -> None:
    code = (
        "import pathlib, sys; from mashbill.classifiers import FastTextScorer; sys.stdin.read(1)\n"
        "for _ in range(50):\n"
        "    pathlib.Path(f'{sys.argv[1]}.collapsed').unlink(missing_ok=True)\n"
        "    print(FastTextScorer.load(sys.argv[1]).margins(['the law of import'])[0])"
    )
    command = [sys.executable, "-c", code, str(model)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    lines = [line for process in running for line in process.communicate()[0].split()]
    assert set(lines) == {str(FastTextScorer.load(model, keep_table=False).margins(TEXTS[:1])[0])}
    assert len(lines) == 100
    assert sorted(p.name for p in model.parent.iterdir()) == ["model.bin", "model.bin.collapsed"]
    assert Table.read(table_of(model)) is not None


@pytest.mark.parametrize("share", [0.002, 0.5, 0.99999])
def test_a_model_that_is_cut_short_is_refused(model: Path, share: float) -> None:
    content = model.read_bytes()
    model.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ConfigError, match=r"model\.bin.*ends before the model does; copy it again"):
        FastTextScorer.load(model)

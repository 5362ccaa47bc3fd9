"""fastText files that are cut, altered or of another kind are refused in one line, and never come to the
library, which would hang or end the process on them."""

import re
import subprocess
import sys
from pathlib import Path

import fasttext
import numpy as np
import pytest

from mashbill.classifiers import FastTextScorer
from mashbill.classifiers.fasttext_file import FastTextFile
from mashbill.errors import ConfigError

KINDS = {
    "softmax": {"wordNgrams": 2},
    "subwords": {"minn": 2, "maxn": 3},
    "hierarchical": {"loss": "hs"},
    "one-vs-all": {"loss": "ova"},
    "negative sampling": {"loss": "ns"},
    "quantised": {"wordNgrams": 2, "bucket": 1_000},
    "quantised with lengths": {"wordNgrams": 2, "bucket": 1_000},
    "quantised output": {"wordNgrams": 2, "bucket": 1_000},
    "pruned": {"wordNgrams": 2, "bucket": 1_000},
}
QUANTISED = {
    "quantised": {},
    "quantised with lengths": {"qnorm": True},
    "quantised output": {"qout": True, "qnorm": True},
    "pruned": {"cutoff": 300, "retrain": False},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of each kind."""
    folder = tmp_path_factory.mktemp("models")
    made = {}
    for kind, options in KINDS.items():
        labels = 300 if kind == "quantised output" else 2
        lines = [f"__label__{i % labels} word{i % 97} river{i % 31} mill" for i in range(1_200)]
        (folder / "train.txt").write_text("\n".join(lines) + "\n")
        settings = {"dim": 6, "bucket": 300, "epoch": 1, "thread": 1, "verbose": 0, "minCount": 1}
        model = fasttext.train_supervised(str(folder / "train.txt"), **{**settings, **options})
        if kind in QUANTISED:
            model.quantize(str(folder / "train.txt"), verbose=False, dsub=2, **QUANTISED[kind])
        made[kind] = folder / f"{kind.replace(' ', '_')}{'.ftz' if kind in QUANTISED else '.bin'}"
        model.save_model(str(made[kind]))
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_is_walked_to_its_last_byte_and_its_labels_are_the_librarys(
    kind: str, trained: dict[str, Path]
) -> None:
    file = FastTextFile.read(trained[kind])
    assert file.output.end == len(file.content)
    assert list(file.labels) == fasttext.load_model(str(trained[kind])).labels
    assert sorted(FastTextScorer.load(trained[kind], keep_table=False).labels) == sorted(file.labels)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_cut_anywhere_is_refused(kind: str, trained: dict[str, Path], tmp_path: Path) -> None:
    content, cut = trained[kind].read_bytes(), tmp_path / "cut.bin"
    lengths = {*np.linspace(4, len(content) - 1, 60).astype(int).tolist(), 63, 64, 91, 92, 93}
    for length in sorted(lengths):
        cut.write_bytes(content[:length])
        with pytest.raises(ConfigError, match=r"cut\.bin: ends before the model does; copy it again"):
            FastTextScorer.load(cut, keep_table=False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_says_other_amounts_is_refused(
    kind: str, trained: dict[str, Path], tmp_path: Path
) -> None:
    content, odd = trained[kind].read_bytes(), tmp_path / "odd.bin"
    for place in [8, 64, 68, 72]:  # the width; entries, words and labels of the dictionary
        odd.write_bytes(content[:place] + b"\x7f\x00\x00\x00" + content[place + 4 :])
        with pytest.raises(ConfigError, match=r"odd\.bin: (ends before|holds other amounts)"):
            FastTextScorer.load(odd, keep_table=False)


def test_a_model_with_one_label_and_models_without_any_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "train.txt"
    text.write_text("__label__good a river and a mill\n" * 50)
    options = {"dim": 4, "bucket": 100, "thread": 1, "verbose": 0, "minCount": 1}
    for loss in ("softmax", "hs", "ova"):
        model = tmp_path / f"{loss}.bin"
        fasttext.train_supervised(str(text), loss=loss, **options).save_model(str(model))
        with pytest.raises(ConfigError, match=rf"{loss}\.bin: knows 1 label, and nothing to tell it from"):
            FastTextScorer.load(model, keep_table=False)
    fasttext.train_unsupervised(str(text), **options).save_model(str(tmp_path / "vectors.bin"))
    with pytest.raises(ConfigError, match=r"vectors\.bin: is an unsupervised fastText model"):
        FastTextScorer.load(tmp_path / "vectors.bin", keep_table=False)


@pytest.mark.parametrize("content", [b"", b"\x00", b"a text\n" * 100, bytes(range(256)) * 40])
def test_what_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "it.bin").write_bytes(content)
    with pytest.raises(ConfigError, match=r"it\.bin: is not a fastText model; give a \.bin file"):
        FastTextScorer.load(tmp_path / "it.bin", keep_table=False)


def test_a_folder_and_a_file_that_is_not_there_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.bin"):
        with pytest.raises(ConfigError, match=f"{re.escape(str(path))}: cannot be read"):
            FastTextScorer.load(path, keep_table=False)


def test_half_a_model_ends_the_shell_with_one_line(trained: dict[str, Path], tmp_path: Path) -> None:
    for kind in ("quantised", "hierarchical"):  # which the library would read
        half = tmp_path / "half.bin"
        half.write_bytes(trained[kind].read_bytes()[: trained[kind].stat().st_size // 2])
        (tmp_path / "a.jsonl").write_text('{"text": "a river"}\n')
        command = [sys.executable, "-m", "mashbill.cli.main", "score", str(tmp_path / "a.jsonl")]
        command += ["--classifier", str(half), "--output", str(tmp_path / "scores")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1, done.stderr
        assert "half.bin: ends before the model does" in done.stderr

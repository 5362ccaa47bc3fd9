"""Shards by partition: the tokens and the split are the same however documents are cut into partitions, and a
run of tokens over shards is read as one array."""

import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from mashbill.config import TokensConfig
from mashbill.documents import DOCUMENT_SCHEMA, REFERENCES, DocumentStore
from mashbill.errors import DataError
from mashbill.tokens import TokenStore, write_token_store
from mashbill.tokens.shards import shard_name
from mashbill.tokens.token_run import TokenRun

TEXTS = [f"{i} " * (1 + i * 7 % 23) + "é☕" * (i % 3) for i in range(300)]
SETS = {"domain": TEXTS, "reference": [f"A reference, the {i}th." for i in range(40)]}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    found = Tokenizer(models.BPE({token: i for i, token in enumerate([*alphabet, "<|endoftext|>"])}, []))
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    found.save(str(path))
    return path


def written(folder: Path, tokenizer: Path, cuts: list[int], **config: object) -> TokenStore:
    """The tokens of the texts, cut into partitions before these documents."""
    store = DocumentStore.into(folder / "documents")
    for (name, texts), kind in zip(SETS.items(), (None, REFERENCES), strict=True):
        ends = sorted({0, *(cut for cut in cuts if cut < len(texts)), len(texts)})
        for number, (first, last) in enumerate(itertools.pairwise(ends)):
            rows = {
                "id": [f"{name}{i}" for i in range(first, last)],
                "domain": [name] * (last - first),
                "source": [""] * (last - first),
                "text": texts[first:last],
                "metadata": ["{}"] * (last - first),
            }
            table = pa.table(rows, schema=DOCUMENT_SCHEMA)
            store.write(table, name, 2 * number, **({"kind": kind} if kind else {}))  # numbers may leave gaps
    (folder / "tokens").mkdir()
    write_token_store(
        store.by_set(["domain"]),
        store.by_set(["reference"], REFERENCES),
        TokensConfig(validation_share=0.2, **config),
        seed=3,
        output=folder / "tokens",
        progress=lambda *_: None,
        tokenizer_path=tokenizer,
    )
    return TokenStore(folder / "tokens")


def contents(store: TokenStore) -> dict[str, list[int]]:
    held = {name: store.validation(name).tokens.tolist() for name in SETS}
    counts = [
        store.counts(n, s)[k] for n in SETS for s in ("train", "validation") for k in ("documents", "bytes")
    ]
    return {**held, "train": store.train_tokens("domain")[:].tolist(), "counts": counts}


@pytest.mark.parametrize("most", [1_000, 1_500, 200_000])
@pytest.mark.parametrize("cuts", [[1], [150], [17, 18, 299], list(range(1, 300, 9))])
def test_tokens_and_split_are_the_same_however_documents_are_cut(
    tmp_path: Path, tokenizer: Path, cuts: list[int], most: int
) -> None:
    whole = contents(written(tmp_path / "whole", tokenizer, [], max_validation_bytes=most))
    parted = written(tmp_path / "parted", tokenizer, cuts, max_validation_bytes=most)
    assert contents(parted) == whole
    assert len(whole["train"]) > len(whole["domain"]) > 1_000
    shards = list((tmp_path / "parted" / "tokens" / "shards" / "domain").glob("train-*.bin"))
    assert len(shards) > 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=6), st.integers(-25, 25), st.integers(-25, 25))
def test_a_run_over_shards_reads_as_one_array(sizes: list[int], start: int, stop: int) -> None:
    import tempfile

    tokens = np.arange(sum(sizes), dtype=np.uint16)
    with tempfile.TemporaryDirectory() as folder:
        ends = np.cumsum([0, *sizes])
        shards = []
        for number, (first, last) in enumerate(itertools.pairwise(ends)):
            if first == last:
                continue
            name = shard_name("d", "train", number)
            Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
            tokens[first:last].tofile(Path(folder, name))
            shards.append((name, int(last - first)))
        run = TokenRun(Path(folder), np.dtype(np.uint16), shards)
        assert len(run) == len(tokens)
        assert run[start:stop].tolist() == tokens[start:stop].tolist()
        assert run[:].tolist() == tokens.tolist()
        assert run[start:].tolist() == tokens[start:].tolist()


def test_of_a_run_only_the_shards_that_are_asked_for_are_opened(tmp_path: Path) -> None:
    (tmp_path / "one.bin").write_bytes(np.arange(10, dtype=np.uint16).tobytes())
    run = TokenRun(tmp_path, np.dtype(np.uint16), [("one.bin", 10), ("not-there.bin", 10)])
    assert run[3:10].tolist() == list(range(3, 10))
    with pytest.raises(DataError, match=r"not-there\.bin: is not there, and the index names it; rerun"):
        run[9:11]
    with pytest.raises(ValueError, match="in order"):
        run[::2]


@pytest.mark.parametrize("size", [0, 2, 18, 19, 22, 4_000])
def test_a_shard_of_another_length_than_the_index_says_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "one.bin").write_bytes(bytes(size))
    run = TokenRun(tmp_path, np.dtype(np.uint16), [("one.bin", 10)])
    told = rf"one\.bin: holds {size:,} bytes where the index says 10 tokens of uint16; rerun tokenize"
    with pytest.raises(DataError, match=told):
        run[0:3]


@pytest.mark.parametrize(
    "dtype, vocabulary, told",
    [
        ("uint16", 65_537, "is uint16, which has no room for a vocabulary of 65,537; rerun tokenize"),
        ("uint8", 257, "is uint8, which has no room for a vocabulary of 257; rerun tokenize"),
        ("int16", 100, "is int16, which is no type of token ids; rerun tokenize"),
        ("float32", 100, "is float32, which is no type of token ids; rerun tokenize"),
    ],
)
def test_a_type_that_has_no_room_for_the_vocabulary_is_refused(
    tmp_path: Path, dtype: str, vocabulary: int, told: str
) -> None:
    index = {"vocabulary": vocabulary, "dtype": dtype, "end_of_text": 0, "sets": {}}
    (tmp_path / "tokens.json").write_text(json.dumps(index))
    with pytest.raises(DataError) as refused:
        TokenStore(tmp_path)
    assert str(refused.value) == f"{tmp_path / 'tokens.json'}: dtype: {told}"


@pytest.mark.parametrize("dtype, vocabulary", [("uint16", 65_536), ("uint8", 256), ("uint32", 1_000_000)])
def test_a_vocabulary_that_just_fits_its_type_is_taken(tmp_path: Path, dtype: str, vocabulary: int) -> None:
    index = {"vocabulary": vocabulary, "dtype": dtype, "end_of_text": 0, "sets": {}}
    (tmp_path / "tokens.json").write_text(json.dumps(index))
    assert TokenStore(tmp_path).vocabulary == vocabulary

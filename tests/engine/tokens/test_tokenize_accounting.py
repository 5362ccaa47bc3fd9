"""What tokenize counts is what it wrote, counted again from text and shards; its limits hold, its sample is
even, and the split is the same in every version."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from builders.corpus import corpus_config, run_stages, write_jsonl
from mashbill.config import PipelineConfig
from mashbill.documents import REFERENCES, DocumentStore
from mashbill.errors import DataError
from mashbill.tokens import TokenStore, write_token_store
from mashbill.tokens.splits import smallest_share, validation_mask

DOMAINS = {
    "prose": [f"Déjà vu number {i}: it rained ☕ all day, {i * i} drops. " * (1 + i % 4) for i in range(150)],
    "sums": [f"{i} + {i} = {2 * i}\n" * 3 for i in range(90)],
}
REFERENCE = [f"A reference of its own, the {i}th, ☕." for i in range(60)]
END = "<|endoftext|>"


def tokenized(
    folder: Path,
    domains: dict[str, list[str]],
    references: list[str],
    *,
    output: str = "tokens",
    seed: int = 0,
    tokenizer: Path | None = None,
    max_domain_bytes: int | None = None,
    **settings: object,
) -> TokenStore:
    """The store that is written of these texts."""
    for name, texts in {**domains, "reference": references}.items():
        write_jsonl(folder / f"{name}.jsonl", texts)
    sources = {name: f'{name}.jsonl, id_field = "id"' for name in domains}
    config: PipelineConfig = corpus_config(folder, sources, {"reference": 'reference.jsonl, id_field = "id"'})
    ingested = run_stages(config, "ingest")["ingest"]
    update = {"vocabulary": 400, "training_bytes": 100_000, "validation_share": 0.2, **settings}
    (folder / output).mkdir()
    write_token_store(
        DocumentStore.of(ingested).by_set(tuple(domains)),
        DocumentStore.of(ingested).by_set(("reference",), REFERENCES),
        config.tokens.model_copy(update=update),
        seed=seed,
        output=folder / output,
        progress=lambda *_: None,
        tokenizer_path=tokenizer,
        max_domain_bytes=max_domain_bytes,
    )
    return TokenStore(folder / output)


def texts_in(store: TokenStore, name: str, split: str) -> list[str]:
    """Documents of a shard, decoded."""
    tokenizer = Tokenizer.from_file(str(store.tokenizer_path))
    path = store.folder / "shards" / name / f"{split}-00000.bin"
    tokens = np.fromfile(path, store.dtype).tolist()
    assert not tokens or tokens[-1] == tokenizer.token_to_id(END)
    documents: list[list[int]] = [[]]
    for token in tokens:
        if token == tokenizer.token_to_id(END):
            documents.append([])
        else:
            documents[-1].append(token)
    return [tokenizer.decode(ids) for ids in documents[:-1]]


def size(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def test_counts_are_those_of_the_text_and_every_document_is_in_one_split(tmp_path: Path) -> None:
    store = tokenized(tmp_path, DOMAINS, REFERENCE)
    for name, texts in DOMAINS.items():
        found = {split: texts_in(store, name, split) for split in ("train", "validation")}
        assert sorted(found["train"] + found["validation"]) == sorted(texts)
        assert 0.08 < len(found["validation"]) / len(texts) < 0.35
        for split, documents in found.items():
            tokens = np.fromfile(store.folder / "shards" / name / f"{split}-00000.bin", store.dtype)
            assert store.counts(name, split) == {
                "documents": len(documents),
                "tokens": len(tokens),
                "bytes": size(documents),
            }
        held = store.validation(name)
        assert (held.bytes, held.documents) == (size(found["validation"]), len(found["validation"]))
        assert len(held.tokens) < held.bytes
        assert len(store.train_tokens(name)) == store.counts(name, "train")["tokens"]
    assert store.vocabulary == 400
    trained = [store.counts(name, "train")["tokens"] for name in DOMAINS]
    assert store.train_amounts().tolist() == trained
    assert store.train_amounts(("sums",)).tolist() == trained[1:]
    assert list(store.natural().values()) == [count / sum(trained) for count in trained]


def test_references_validate_whole_and_never_train(tmp_path: Path) -> None:
    store = tokenized(tmp_path, DOMAINS, REFERENCE)
    assert store.domains == ("prose", "sums")
    assert store.references == ("reference",)
    assert texts_in(store, "reference", "validation") == REFERENCE
    assert store.counts("reference", "train") == {"documents": 0, "tokens": 0, "bytes": 0}
    assert not (store.folder / "shards" / "reference" / "train-00000.bin").exists()


def test_validation_stops_at_its_cap_and_what_is_past_it_trains(tmp_path: Path) -> None:
    many = {"prose": DOMAINS["prose"] * 8, "sums": DOMAINS["sums"]}  # several batches
    free = tokenized(tmp_path, many, REFERENCE * 30, output="free")
    capped = tokenized(tmp_path, many, REFERENCE * 30, output="capped", max_validation_bytes=2_000)
    before, after = (texts_in(store, "prose", "validation") for store in (free, capped))
    assert size(before) > 10_000
    assert 2_000 <= size(after) < 2_000 + max(size([text]) for text in many["prose"])
    assert after == before[: len(after)]
    assert sorted(after + texts_in(capped, "prose", "train")) == sorted(many["prose"])
    kept = texts_in(capped, "reference", "validation")
    assert 2_000 <= size(kept) < 2_000 + size(REFERENCE[-1:])
    assert kept == (REFERENCE * 30)[: len(kept)]


def test_a_cap_that_is_met_exactly_is_met(tmp_path: Path) -> None:
    even = [f"{i:>100}" for i in range(30)]
    store = tokenized(tmp_path, DOMAINS, even, max_validation_bytes=1_000)
    assert texts_in(store, "reference", "validation") == even[:10]


def test_no_more_of_a_domain_is_read_than_is_asked_for(tmp_path: Path) -> None:
    many = {"prose": DOMAINS["prose"] * 20, "sums": DOMAINS["sums"]}
    store = tokenized(tmp_path, many, REFERENCE, max_domain_bytes=10_000)
    read = [text for split in ("train", "validation") for text in texts_in(store, "prose", split)]
    assert len(read) == 512  # the batch in which the limit was passed
    assert sorted(read) == sorted(many["prose"][:512])


def test_seeds_split_differently_and_a_pair_of_documents_is_split_in_one_each(tmp_path: Path) -> None:
    one = tokenized(tmp_path, DOMAINS, REFERENCE, output="one", seed=1)
    two = tokenized(tmp_path, DOMAINS, REFERENCE, output="two", seed=2)
    assert texts_in(one, "prose", "validation") != texts_in(two, "prose", "validation")
    few = {"pair": ["one", "two"], "sums": DOMAINS["sums"]}
    pair = tokenized(tmp_path, few, REFERENCE, output="pair", validation_share=0.001)
    assert [pair.counts("pair", split)["documents"] for split in ("train", "validation")] == [1, 1]
    alone = {"single": ["one"], "sums": DOMAINS["sums"]}
    with pytest.raises(DataError, match="domain single: has no validation document"):
        tokenized(tmp_path, alone, REFERENCE, output="single", validation_share=0.001)


def test_the_split_of_a_document_is_the_same_in_every_version() -> None:
    """A corpus that goes on under another version must not train on what it validated on."""
    mask = validation_mask(pa.array([f"doc-{i}" for i in range(40)]), 0.2, seed=3)
    assert np.flatnonzero(mask).tolist() == [1, 4, 13, 20, 22, 24, 25, 33, 38]
    ids = pa.array(["doc-0", "doc-1", "doc-2"])
    least = smallest_share(ids, 3)
    assert validation_mask(ids, least, 3).sum() == 1
    assert validation_mask(ids, least * (1 - 1e-6), 3).sum() == 0


def test_the_tokenizer_learns_from_every_domain_as_much_and_no_more_than_it_is_given(tmp_path: Path) -> None:
    early, late, other = "wonderful zebras", "quarrelsome oxen", "jovial lynxes"
    domains = {
        "large": [f"{early} " * 4] * 256 + [f"{late} " * 4] * 1_000,
        "small": [f"{other} " * 4] * 256,
    }
    store = tokenized(tmp_path, domains, REFERENCE, training_bytes=20_000)
    known = json.loads(store.tokenizer_path.read_text())["model"]["vocab"]
    assert {"Ġzebras", "Ġlynxes", "Ġjovial", "Ġwonderful"} <= set(known)
    assert not [word for word in known if "oxen" in word or "quarrel" in word]
    found = texts_in(store, "large", "train") + texts_in(store, "large", "validation")
    assert sorted(found) == sorted(domains["large"])  # of letters that it has never seen, too


def test_a_given_tokenizer_adds_nothing_and_large_vocabularies_fit(tmp_path: Path) -> None:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [*letters, END, *(f"unused-{i}" for i in range(70_000)), "<start>"]
    tokenizer = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([END, "<start>"])
    start = tokenizer.token_to_id("<start>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A", special_tokens=[("<start>", start)]
    )
    tokenizer.save(str(tmp_path / "given.json"))
    store = tokenized(tmp_path, DOMAINS, REFERENCE, tokenizer=tmp_path / "given.json")
    assert store.dtype == np.uint32
    tokens = store.train_tokens("sums")[:]
    assert start not in tokens
    assert len(tokens) == store.counts("sums", "train")["bytes"] + store.counts("sums", "train")["documents"]
    assert store.validation("reference").tokens.max() == store.end_of_text == len(letters)
    assert (tokens == store.end_of_text).sum() == store.counts("sums", "train")["documents"]


def test_a_text_that_spells_the_end_of_text_does_not_end(tmp_path: Path) -> None:
    odd = {"odd": [f"before {END} after {i}" for i in range(40)], "sums": DOMAINS["sums"]}
    store = tokenized(tmp_path, odd, REFERENCE)
    tokens = store.train_tokens("odd")[:]
    assert (tokens == store.end_of_text).sum() == store.counts("odd", "train")["documents"]

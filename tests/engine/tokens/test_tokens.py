"""Token shards: the same files every time, a split that depends on the document alone, text that comes back
whole."""

import hashlib
import itertools
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tokenizers import Tokenizer, models

from builders.corpus import corpus_config, documents, run_stage, run_stages, write_jsonl
from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig
from mashbill.documents import REFERENCES, DocumentStore
from mashbill.errors import ConfigError, DataError
from mashbill.storage import open_storage
from mashbill.tokens import TokenStore, write_token_store
from mashbill.tokens.splits import validation_mask

TOKENS = (
    "[tokens]\nvocabulary = 400\ntraining_bytes = 100_000\nvalidation_share = "
    "0.2\nmax_validation_bytes = 1_000_000\n"
)


def select_everything(folder: Path, config: PipelineConfig) -> dict[str, Artifact]:
    """Ingest and deduplicate; the deduplicated documents stand in for selected ones, which have the same
    layout."""
    done = run_stages(config, "deduplicate")
    return {"ingest": done["ingest"], "select": done["deduplicate"]}


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[PipelineConfig, dict[str, Artifact]]:
    write_jsonl(
        tmp_path / "a.jsonl",
        [f"Document {i} says naïve ☕ and <|endoftext|> as plain text, {i * i}." for i in range(120)],
    )
    write_jsonl(tmp_path / "b.jsonl", [f"{i} times {i} is {i * i}\n" * 3 for i in range(80)])
    write_jsonl(tmp_path / "r.jsonl", ["A reference document.", "Another one."])
    sources = {name: f'{name}.jsonl, id_field = "id"' for name in "ab"}
    config = corpus_config(tmp_path, sources, {"r": "r.jsonl"}, f"[deduplication]\nnear = false\n{TOKENS}")
    return config, select_everything(tmp_path, config)


def digest(artifact: Artifact) -> dict[str, str]:
    return {
        str(p.relative_to(artifact.path)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(artifact.path.rglob("*.bin"))
    }


def test_same_text_gives_the_same_files(
    corpus: tuple[PipelineConfig, dict[str, Artifact]], tmp_path: Path
) -> None:
    config, inputs = corpus
    first = run_stage(config, "tokenize", inputs)
    moved = config.model_copy(update={"artifacts": str(tmp_path / "elsewhere")})
    again = run_stage(moved, "tokenize", select_everything(tmp_path, moved))
    assert first.path != again.path
    assert digest(first) == digest(again)
    other = config.model_copy(update={"seed": 1})
    assert digest(run_stage(other, "tokenize", inputs)) != digest(first)


def test_text_comes_back_from_tokens_document_by_document(
    corpus: tuple[PipelineConfig, dict[str, Artifact]],
) -> None:
    config, inputs = corpus
    artifact = run_stage(config, "tokenize", inputs)
    store, tokenizer = TokenStore(artifact.path), Tokenizer.from_file(str(artifact.path / "tokenizer.json"))
    found = []
    for split in ("train", "validation"):
        folder = artifact.path / "shards" / "a"
        tokens, offsets = (
            np.fromfile(folder / f"{split}-00000.bin", store.dtype),
            np.load(folder / f"{split}-00000.index.npy"),
        )
        assert (tokens[offsets[1:] - 1] == store.end_of_text).all()
        assert (tokens == store.end_of_text).sum() == len(offsets) - 1
        found += [tokenizer.decode(tokens[s : e - 1].tolist()) for s, e in itertools.pairwise(offsets)]
    assert sorted(found) == sorted(d["text"] for d in documents(inputs["select"], "a"))


def test_the_stage_counts_domains_and_leaves_references_out(
    corpus: tuple[PipelineConfig, dict[str, Artifact]],
) -> None:
    config, inputs = corpus
    artifact = run_stage(config, "tokenize", inputs)
    store, counts = TokenStore(artifact.path), artifact.manifest.counts
    texts = {name: [d["text"] for d in documents(inputs["select"], name)] for name in "ab"}
    size = {name: sum(len(text.encode()) for text in texts[name]) for name in "ab"}
    assert counts["documents_in"] == counts["documents_out"] == 200
    assert counts["bytes_in"] == counts["bytes_out"] == sum(size.values())
    assert counts["tokens"] == sum(len(store.train_tokens(name)) for name in "ab")
    for name in "ab":
        assert counts["by_domain"][name] == {
            "tokens_train": len(store.train_tokens(name)),
            "tokens_validation": len(store.validation(name).tokens),
            "documents_out": len(texts[name]),
            "bytes_out": size[name],
        }
    assert counts["vocabulary"] == 400


def test_split_is_by_document_and_close_to_its_share(
    corpus: tuple[PipelineConfig, dict[str, Artifact]],
) -> None:
    ids = pa.array([f"doc-{i}" for i in range(20_000)])
    mask = validation_mask(ids, 0.1, seed=3)
    assert mask.mean() == pytest.approx(0.1, abs=0.01)
    assert (validation_mask(ids[::-1], 0.1, seed=3)[::-1] == mask).all()
    assert (validation_mask(ids, 0.1, seed=4) != mask).any()


def test_given_tokenizer_is_used_and_its_change_makes_tokens_stale(
    corpus: tuple[PipelineConfig, dict[str, Artifact]], tmp_path: Path
) -> None:
    config, inputs = corpus
    trained = run_stage(config, "tokenize", inputs)
    path = tmp_path / "given.json"
    path.write_bytes((trained.path / "tokenizer.json").read_bytes())
    given = config.model_copy(update={"tokens": config.tokens.model_copy(update={"tokenizer": str(path)})})
    first = run_stage(given, "tokenize", inputs)
    assert digest(first) == digest(trained)
    path.write_text(path.read_text() + "\n")
    assert run_stage(given, "tokenize", inputs).fingerprint != first.fingerprint
    path.write_text("{}")
    with pytest.raises(ConfigError, match=r"given\.json is not a tokenizer\.json|is not a tokenizer"):
        run_stage(given, "tokenize", inputs)


def test_tokenizer_of_another_vocabulary_is_refused(
    corpus: tuple[PipelineConfig, dict[str, Artifact]], tmp_path: Path
) -> None:
    config, inputs = corpus
    folder = tmp_path / "moved"
    shutil.copytree(run_stage(config, "tokenize", inputs).path, folder)
    Tokenizer(models.BPE({"<|endoftext|>": 0, "a": 1}, [])).save(str(folder / "tokenizer.json"))
    with pytest.raises(DataError, match=r"tokenizer\.json: holds 486 bytes where its manifest says"):
        TokenStore(folder)
    (folder / "manifest.json").unlink()  # shards that are no artifact
    with pytest.raises(
        DataError, match=r"tokenizer\.json: has 2 tokens, the shards were made with 400; rerun tokenize"
    ):
        TokenStore(folder)


def test_finished_sets_of_a_killed_attempt_are_not_tokenized_again(
    corpus: tuple[PipelineConfig, dict[str, Artifact]], tmp_path: Path
) -> None:
    config, inputs = corpus
    documents = DocumentStore.of(inputs["select"]).by_set("ab")
    scratch, first, second = (tmp_path / name for name in ("scratch", "first", "second"))
    for folder in (scratch, first, second):
        folder.mkdir()

    def stop_after_two(share: float, words: str) -> None:
        if words.startswith("tokenized b"):
            raise KeyboardInterrupt

    references = DocumentStore.of(inputs["ingest"]).by_set("r", REFERENCES)
    with pytest.raises(KeyboardInterrupt):
        write_token_store(
            documents,
            references,
            config.tokens,
            seed=config.seed,
            output=first,
            progress=stop_after_two,
            shared=open_storage(str(scratch), scratch),
        )
    before = {p: p.stat().st_mtime_ns for p in sorted((scratch / "shards" / "a").iterdir())}
    assert before
    write_token_store(
        documents,
        references,
        config.tokens,
        seed=config.seed,
        output=second,
        progress=lambda *_: None,
        shared=open_storage(str(scratch), scratch),
    )
    assert {p.name: p.stat().st_mtime_ns for p in (second / "shards" / "a").iterdir()} == {
        p.name: t for p, t in before.items()
    }
    whole = run_stage(config, "tokenize", inputs)
    assert {p.name: p.read_bytes() for p in (second / "shards" / "a").iterdir()} == {
        p.name: p.read_bytes() for p in (whole.path / "shards" / "a").iterdir()
    }

"""The tokenize stage: documents to token shards, the same files every time."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mashbill.artifacts import Counts, Progress, StageRun, write_json
from mashbill.artifacts.record import Part
from mashbill.config import EngineConfig, TokensConfig
from mashbill.documents import REFERENCES, DocumentStore, Flow, Partition, Tally
from mashbill.errors import DataError
from mashbill.partitions import spread
from mashbill.storage import local_path
from mashbill.tokens.encoder import Encoder, encoded_in_order
from mashbill.tokens.shards import INDEX, TOKENIZER, ShardWriter, write_index
from mashbill.tokens.splits import smallest_share, validation_mask
from mashbill.tokens.tokenizer import end_of_text_id, load_tokenizer, train_tokenizer
from mashbill.tokens.unknown import Unknown, drops_unknown, unknown_id
from mashbill.tokens.vocabulary import vocabulary_size

log = logging.getLogger(__name__)
BATCH_DOCUMENTS = 512
log = logging.getLogger(__name__)
OUTPUTS = {
    TOKENIZER: "the tokenizer",
    "shards/": "tokens of each domain and reference, by split",
    INDEX: "counts",
}


def tokenize(run: StageRun) -> Counts:
    """Tokenize the selected documents and the reference sets."""
    given = run.config.tokens.tokenizer
    return write_token_store(
        DocumentStore.of(run.inputs["select"]).by_set(run.config.mixture_names),
        DocumentStore.of(run.inputs["ingest"]).by_set(run.config.reference_names, REFERENCES),
        run.config.tokens,
        seed=run.config.seed,
        output=run.output,
        progress=run.progress,
        tokenizer_path=local_path(run.config, "tokens.tokenizer", given) if given else None,
        engine=run.config.engine,
        scratch=run.scratch,
    )


def write_token_store(
    documents: Mapping[str, Sequence[Partition]],
    references: Mapping[str, Sequence[Partition]],
    config: TokensConfig,
    *,
    seed: int,
    output: Path,
    progress: Progress,
    tokenizer_path: Path | None = None,
    max_domain_bytes: int | None = None,
    engine: EngineConfig | None = None,
    scratch: Path | None = None,
) -> Counts:
    """Write a folder that TokenStore reads.

    Args:
        documents: partitions of each domain.
        references: partitions of each reference set: validation only.
        config: the tokenizer and the split.
        seed: seed of the split.
        output: folder to write into.
        progress: called after each set.
        tokenizer_path: a tokenizer.json to load in place of training one.
        max_domain_bytes: text tokenized of each domain, in bytes; None means all.
        engine: where sets are tokenized, side by side; None means on this machine.
        scratch: folder where finished sets and the tokenizer outlive a killed attempt; None means none do.
    Returns:
        Tokens, documents and bytes, by set.
    Raises:
        DataError: a set has no document to train or validate on.
    """
    progress(0.0, "training the tokenizer" if tokenizer_path is None else "loading the tokenizer")
    making = scratch or output
    made = making / TOKENIZER
    if not made.exists():
        tokenizer = (
            train_tokenizer(documents, config) if tokenizer_path is None else load_tokenizer(tokenizer_path)
        )
        end_of_text_id(tokenizer, tokenizer_path, config.end_of_text)
        tokenizer.save(str(made.with_suffix(".part")))
        made.with_suffix(".part").rename(made)
    tokenizer = load_tokenizer(made)
    vocabulary = vocabulary_size(tokenizer)
    end_of_text = end_of_text_id(tokenizer, tokenizer_path, config.end_of_text)
    if drops_unknown(tokenizer):
        what = "%s drops characters that it does not know, and bits per byte don't count them"
        log.warning(what, tokenizer_path)
    dtype = np.dtype(np.uint16 if vocabulary <= 2**16 else np.uint32)
    sets: dict[str, Any] = {}
    everything = [(name, "domain", parts) for name, parts in documents.items()]
    everything += [(name, "reference", parts) for name, parts in references.items()]
    unknown = Unknown(unknown_id(tokenizer))
    job = TokenJob(making, made, dtype, end_of_text, unknown.token, config, seed, max_domain_bytes)
    _tell_who_encodes(tokenizer)
    results = spread(engine or EngineConfig(), partial(_tokenize_set, job), everything)
    for i, ((name, kind, _), found) in enumerate(zip(everything, results, strict=True)):
        progress(0.1 + 0.9 * (i + 1) / len(everything), f"tokenized {name}")
        for split, count in found.splits.items():
            if count["documents"] == 0:
                raise DataError(
                    f"{kind} {name}", f"has no {split} document", "add text or change tokens.validation_share"
                )
        sets[name] = {"kind": kind, "train": {"documents": 0, "tokens": 0, "bytes": 0}, **found.splits}
        unknown.add(found.unknown, f"{kind} {name}")
    for mark in making.glob("*.done.json"):
        mark.unlink()
    if making != output:
        for finished in (TOKENIZER, "shards"):
            shutil.move(making / finished, output / finished)
    write_index(output, vocabulary, dtype, end_of_text=end_of_text, sets=sets)
    return {**_summary(sets, vocabulary), **unknown.counts()}


def _tell_who_encodes(tokenizer: Any) -> None:
    reason = Encoder(tokenizer).reason
    if reason:
        log.info("texts are encoded by the tokenizers library alone, which is slower: %s", reason)


@dataclass(frozen=True)
class TokenJob:
    """What tokenizing a set needs, wherever it runs."""

    output: Path
    tokenizer: Path
    dtype: np.dtype[Any]
    end_of_text: int
    unknown: int | None
    config: TokensConfig
    seed: int
    max_domain_bytes: int | None


class TokenizedSet(Part):
    """What became of one domain or reference: counts by split, and what of it the tokenizer did not know."""

    splits: dict[str, dict[str, int]]
    unknown: Unknown


def _tokenize_set(job: TokenJob, named: tuple[str, str, Sequence[Partition]]) -> TokenizedSet:
    """Write the shards of one domain or reference, unless a killed attempt has."""
    name, kind, partitions = named
    done = job.output / f"{name}.done.json"
    if done.exists():
        return TokenizedSet.model_validate_json(done.read_text(encoding="utf-8"))
    tokenizer = load_tokenizer(job.tokenizer)
    tokenizer.encode_special_tokens = True  # text that spells a special token is text
    splits = ("train", "validation") if kind == "domain" else ("validation",)
    writers = {
        split: ShardWriter(job.output, name, split, dtype=job.dtype, end_of_text=job.end_of_text)
        for split in splits
    }
    with ExitStack() as opened:  # what cannot be read ends it half-way
        for writer in writers.values():
            opened.callback(writer.file.close)
        unknown = _write_set(job, partitions, tokenizer=tokenizer, writers=writers)
    counts = {split: writer.close() for split, writer in writers.items()}
    found = TokenizedSet(splits=counts, unknown=unknown)
    write_json(done, found.model_dump())
    return found


def _write_set(
    job: TokenJob, partitions: Sequence[Partition], *, tokenizer: Any, writers: Mapping[str, ShardWriter]
) -> Unknown:
    """Send each document to its split; validation documents past the cap train, or are left out of a
    reference."""
    import pyarrow.compute as pc

    config, seed = job.config, job.seed
    share = _share(partitions, config.validation_share, seed) if "train" in writers else 1.0
    read, unknown = 0, Unknown(job.unknown)
    batches = (b for partition in partitions for b in partition.batches(["id", "text"], BATCH_DOCUMENTS))
    for batch, encoded in encoded_in_order(tokenizer, batches):
        if job.max_domain_bytes is not None and read >= job.max_domain_bytes:
            break
        sizes = pc.binary_length(batch["text"]).to_numpy(zero_copy_only=False).astype(np.int64)
        read += int(sizes.sum())
        chosen = np.ones(len(sizes), bool)
        if "train" in writers:
            chosen = validation_mask(batch["id"], share, seed)
        before = writers["validation"].bytes + np.concatenate(
            [[0], np.cumsum(np.where(chosen, sizes, 0))[:-1]]
        )
        chosen &= before < config.max_validation_bytes
        unknown.look(tokenizer, batch["text"], encoded)
        for split, mask in (("validation", chosen), ("train", ~chosen)):
            if split in writers:
                writers[split].write(encoded, int(sizes[mask].sum()), np.flatnonzero(mask))
    return unknown


def _share(partitions: Sequence[Partition], share: float, seed: int) -> float:
    """The config's share, or more where it would leave a domain of several documents without one to validate
    on."""
    smallest, documents = 1.0, 0
    for partition in partitions:
        ids = partition.read(["id"])["id"]
        smallest, documents = min(smallest, smallest_share(ids, seed)), documents + len(ids)
        if smallest < share:
            return share
    return max(share, smallest) if documents > 1 and share > 0 else share


def _summary(sets: Mapping[str, Any], vocabulary: int) -> Counts:
    domains = {name: entry for name, entry in sets.items() if entry["kind"] == "domain"}
    tally = Tally()
    for name, entry in domains.items():
        for split in ("train", "validation"):
            tally.add(name, Flow.through(entry[split]["documents"], entry[split]["bytes"]))
    by_domain = {
        name: {
            "tokens_train": entry["train"]["tokens"],
            "tokens_validation": entry["validation"]["tokens"],
            "documents_out": tally.flows[name].documents_out,
            "bytes_out": tally.flows[name].bytes_out,
        }
        for name, entry in domains.items()
    }
    return {
        **tally.totals(),
        "tokens": sum(row["tokens_train"] for row in by_domain.values()),
        "vocabulary": vocabulary,
        "by_domain": by_domain,
        "removed": {},
    }

"""The tokenize stage: documents to token shards, the same files every time."""

import itertools
import logging
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mashbill.artifacts import Counts, Output, Pace, Progress, StageRun
from mashbill.config import EngineConfig, TokensConfig
from mashbill.documents import REFERENCES, DocumentStore, Flow, Partition, Tally
from mashbill.errors import DataError
from mashbill.partitions import spread
from mashbill.storage import Storage, local_path, open_storage
from mashbill.tokens.encoder import Encoder
from mashbill.tokens.sharding import (
    Piece,
    SetOfDocuments,
    TokenizedPart,
    TokenJob,
    pieces_of,
    tokenize_piece,
    tokenizer_of,
)
from mashbill.tokens.shards import INDEX, NO_TOKENS, TOKENIZER, write_index
from mashbill.tokens.tokenizer import end_of_text_id, load_tokenizer, train_tokenizer
from mashbill.tokens.unknown import Unknown, drops_unknown, unknown_id
from mashbill.tokens.used import WHOLE, shrink
from mashbill.tokens.vocabulary import vocabulary_size

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
        output=run.files,
        progress=run.progress,
        tokenizer_path=local_path(run.config, "tokens.tokenizer", given) if given else None,
        engine=run.config.engine,
        shared=run.shared,
    )


def write_token_store(
    documents: Mapping[str, Sequence[Partition]],
    references: Mapping[str, Sequence[Partition]],
    config: TokensConfig,
    *,
    seed: int,
    output: Output | Path,
    progress: Progress,
    tokenizer_path: Path | None = None,
    max_domain_bytes: int | None = None,
    engine: EngineConfig | None = None,
    shared: Storage | None = None,
) -> Counts:
    """Write what TokenStore reads.

    Args:
        documents: partitions of each domain.
        references: partitions of each reference set: validation only.
        config: the tokenizer and the split.
        seed: seed of the split.
        output: artifact or folder to write into.
        progress: called after each partition.
        tokenizer_path: a tokenizer.json to load in place of training one.
        max_domain_bytes: text tokenized of each domain, in bytes; None means all.
        engine: where partitions are tokenized, side by side, and the text is counted that a tokenizer is
            trained on; None means on this machine.
        shared: where finished shards and the tokenizer outlive a killed attempt; None means nowhere.
    Returns:
        Tokens, documents and bytes, by set.
    Raises:
        DataError: a set has no document to train or validate on.
    """
    into = Output.at(output) if isinstance(output, Path) else output
    on = engine or EngineConfig()
    with tempfile.TemporaryDirectory(dir=into.folder) as passing:
        kept = shared or open_storage(passing, Path(passing))
        progress(0.0, "training the tokenizer" if tokenizer_path is None else "loading the tokenizer")
        key = WHOLE if config.least_uses else TOKENIZER
        tokenizer = _tokenizer(documents, config, tokenizer_path, shared=kept, engine=on, key=key)
        how = partial(
            _job, config=config, seed=seed, output=into, shared=kept, max_domain_bytes=max_domain_bytes
        )
        given = ((documents, "domain"), (references, "reference"))
        everything = [SetOfDocuments(n, kind, parts) for sets, kind in given for n, parts in sets.items()]
        effect: Counts = {}
        if config.least_uses:
            effect = shrink(replace(how(tokenizer), tokenizer=WHOLE), everything, on, progress=progress)
            tokenizer = tokenizer_of(kept.read(TOKENIZER))
        job = how(tokenizer)
        sets, unknown = _tokenize(job, everything, on, progress=progress)
        with into.writing(TOKENIZER) as path:
            path.write_bytes(kept.read(TOKENIZER))
    vocabulary = vocabulary_size(tokenizer)
    write_index(into.folder, vocabulary, job.dtype, end_of_text=job.end_of_text, sets=sets)
    return {**_summary(sets, vocabulary), **unknown.counts(), **effect}


def _tokenizer(
    documents: Mapping[str, Sequence[Partition]],
    config: TokensConfig,
    given: Path | None,
    *,
    shared: Storage,
    engine: EngineConfig,
    key: str,
) -> Any:
    """The tokenizer that was given, or is trained unless a killed attempt has; tasks find it where they all
    reach it, at a key."""
    if not shared.exists(key):
        tokenizer = train_tokenizer(documents, config, engine) if given is None else load_tokenizer(given)
        end_of_text_id(tokenizer, given, config.end_of_text)
        made = shared.passing() / f"{uuid.uuid4().hex}.json"
        tokenizer.save(str(made))
        shared.put(made, key)
    tokenizer = tokenizer_of(shared.read(key))
    if drops_unknown(tokenizer):
        what = "%s drops characters that it does not know, and bits per byte don't count them"
        log.warning(what, given)
    reason = Encoder(tokenizer).reason
    if reason:
        log.info("texts are encoded by the tokenizers library alone, which is slower: %s", reason)
    return tokenizer


def _job(
    tokenizer: Any,
    *,
    config: TokensConfig,
    seed: int,
    output: Output,
    shared: Storage,
    max_domain_bytes: int | None,
) -> TokenJob:
    dtype = np.dtype(np.uint16 if vocabulary_size(tokenizer) <= 2**16 else np.uint32)
    end_of_text = end_of_text_id(tokenizer, None, config.end_of_text)
    unknown = unknown_id(tokenizer)
    return TokenJob(output, shared, dtype, end_of_text, unknown, config, seed, max_domain_bytes)


def _tokenize(
    job: TokenJob, everything: Sequence[SetOfDocuments], engine: EngineConfig, *, progress: Progress
) -> tuple[dict[str, Any], Unknown]:
    """Counts of every set, with its shards, and what of all of them the tokenizer did not know."""
    planned = list(spread(engine, partial(pieces_of, job), everything))
    pieces = [piece for of_set in planned for piece in of_set]
    sets, unknown, pace = {}, Unknown(job.unknown), Pace(len(pieces))
    with closing(spread(engine, partial(tokenize_piece, job), pieces, output=job.output)) as results:
        for documents, of_set in zip(everything, planned, strict=True):
            found = []
            for piece in itertools.islice(results, len(of_set)):
                found.append(piece)
                told = pace.after(sum(counts["bytes"] for counts in piece.splits.values()))
                progress(0.1 + 0.9 * pace.done / len(pieces), f"tokenized {documents.name}: {told}")
            sets[documents.name] = _set_entry(documents, of_set, found)
            not_known = sum((part.unknown for part in found), Unknown(job.unknown))
            unknown.add(not_known, f"{documents.kind} {documents.name}")
    return sets, unknown


def _set_entry(
    documents: SetOfDocuments, pieces: Sequence[Piece], found: Sequence[TokenizedPart]
) -> dict[str, Any]:
    """What the index says of a set.

    Raises:
        DataError: it has no document to train or validate on.
    """
    entry: dict[str, Any] = {split: dict(NO_TOKENS) for split in ("train", "validation")}
    shards: dict[str, list[tuple[int, int]]] = {split: [] for split in entry}
    for piece, part in zip(pieces, found, strict=True):
        for split, counts in part.splits.items():
            entry[split] = {key: entry[split][key] + counts[key] for key in counts}
            if counts["documents"]:
                shards[split].append((piece.partition.number, counts["tokens"]))
    for split in documents.splits:
        if entry[split]["documents"] == 0:
            where, mend = f"{documents.kind} {documents.name}", "add text or change tokens.validation_share"
            raise DataError(where, f"has no {split} document", mend)
    return {"kind": documents.kind, **entry, "shards": shards}


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

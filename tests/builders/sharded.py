"""Token stores in shards whose tokens tell where they stand, as artifacts of any storage."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mashbill.artifacts import Artifact, ArtifactStore, Manifest
from mashbill.mixtures import Batches, MixtureLoader
from mashbill.tokens import TokenStore
from mashbill.tokens.shards import INDEX, shard_name

CONTEXT, BATCH = 16, 10
ONE_SHARD = 1_600
APART = 1_000_000  # tokens of one domain and of the next are so far from one another


def numbered_shards(store: ArtifactStore, domains: Mapping[str, Sequence[int]]) -> Artifact:
    """Training shards of so many tokens each: the t-th token of the d-th domain is ``APART * d + t``."""
    output, sets = store.output("tokenize", "a" * 32), {}
    for d, (name, sizes) in enumerate(domains.items()):
        ends = np.cumsum([0, *sizes])
        for number, (start, end) in enumerate(itertools.pairwise(ends)):
            with output.writing(shard_name(name, "train", number)) as path:
                np.arange(APART * d + start, APART * d + end, dtype=np.uint32).tofile(path)
        counts = {"documents": len(sizes), "tokens": sum(sizes), "bytes": 3 * sum(sizes)}
        none = {"documents": 0, "tokens": 0, "bytes": 0}
        shards = {"train": list(enumerate(sizes)), "validation": []}
        sets[name] = {"kind": "domain", "train": counts, "validation": none, "shards": shards}
    index = {"vocabulary": APART * len(domains), "dtype": "uint32", "end_of_text": 0, "sets": sets}
    with output.writing(INDEX) as path:
        path.write_text(json.dumps(index))
    facts = {"started": "2026-01-01T00:00:00+00:00", "seconds": 0.1, "mashbill": "0", "counts": {}}
    made = {"stage": "tokenize", "fingerprint": "a" * 32, "version": 1, "settings": {}, "inputs": {}}
    return store.commit(output, Manifest(**made, **facts))


def opened(root: str, scratch: Path, address: str) -> TokenStore:
    """The shards at an address, as a node with this scratch folder opens them."""
    return TokenStore(ArtifactStore(root, scratch).open(address))


def loader(store: TokenStore, epochs: int = 1, shuffle_tokens: int | None = ONE_SHARD) -> MixtureLoader:
    """Whole batches, as many as there are tokens for in some epochs, of the domains a and b."""
    tokens = {name: store.train_tokens(name) for name in store.domains}
    sequences = epochs * sum(map(len, tokens.values())) // CONTEXT // BATCH * BATCH
    mixture = {"a": 0.6, "b": 0.4}
    return MixtureLoader(
        tokens, mixture, context=CONTEXT, sequences=sequences, seed=2, shuffle_tokens=shuffle_tokens
    )


def read_rank(job: tuple[str, str, Path, int]) -> int:
    """Sum of what one rank of two reads, given root, address, scratch folder and rank."""
    root, address, scratch, rank = job
    made = loader(opened(root, scratch, address))
    with Batches(made, batch_sequences=BATCH, rank=rank, world=2) as batches:
        return sum(int(batch[:, :-1].sum()) for batch in batches)

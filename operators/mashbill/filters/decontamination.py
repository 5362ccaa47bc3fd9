"""Decontamination: documents that share a run of words with a reference or evaluation set.

Words are runs of letters and digits, without case; runs of n words are compared by 64-bit hashes, as in GPT-3
(arXiv 2005.14165, appendix C, n = 13). A text of an evaluation set with fewer than n words takes part with
all its words, if they are at least five. In scripts without blanks a character is a word, and of a text of
such characters it takes twice as many.
"""

from collections.abc import Callable
from functools import partial
from typing import Self

import numpy as np
import pyarrow as pa

from mashbill.artifacts import StageRun
from mashbill.config.filters import DecontaminationFilter
from mashbill.documents import PASSAGE, repeats
from mashbill.filters.filter import KEPT, Filter, Verdict
from mashbill.filters.passages import NgramIndex, SharedIndex, index_sets

APPLIED, HELD_OUT = "passages-applied", "passages-held-out"


class Decontamination(Filter):
    """Documents that share runs of words with a set; the reason names the set.

    Args:
        settings: how many runs may be shared.
        index: runs of the sets.
        reason: gives the reason by the set's name.
    """

    name = "decontamination"

    def __init__(
        self,
        settings: DecontaminationFilter,
        index: NgramIndex | SharedIndex,
        reason: Callable[[str], str] = "contains_{}".format,
    ) -> None:
        self.index = index
        self.allowed = settings.max_shared_ngrams
        self.reasons = ("kept", *map(reason, index.names))

    @classmethod
    def for_run(cls, run: StageRun) -> Self:
        """The filter with the sets that the config names, or all that are held out."""
        corpus, settings = run.config.corpus, run.config.filters.decontamination
        return cls(
            settings, index_sets(run, settings.sets or corpus.held_out, settings.ngram, folder=APPLIED)
        )

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents; where several sets are hit, the one with most runs is named."""
        del metadata
        hits = self.index.hits(texts)
        worst = hits.argmax(axis=1)
        over = hits.max(axis=1) > self.allowed
        counts = {
            f"shared_ngrams_{name}": int(n)
            for name, n in zip(self.index.names, hits.sum(axis=0), strict=True)
            if n
        }
        return Verdict(np.where(over, worst + 1, KEPT).astype(np.uint8), None, counts)


def held_out_passages(run: StageRun) -> Decontamination | None:
    """What removes documents with a passage of a set that is held out, whatever filters are applied; None
    where no set is, or the filter sees to all of them."""
    filters, names = run.config.filters, run.config.corpus.held_out
    if Decontamination.name in filters.apply and not filters.dry_run and not filters.domains:
        seen_to = filters.decontamination.sets or names
        names = tuple(name for name in names if name not in seen_to)
    if not names:
        return None
    index = index_sets(run, names, filters.decontamination.ngram, folder=HELD_OUT)
    return Decontamination(filters.decontamination, index, partial(repeats, PASSAGE))

"""Documents that a pattern matches, or that lack a match (RE2 syntax)."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mashbill.config.filters import RegexFilter
from mashbill.filters.filter import Filter, Verdict

PATTERN_FOUND, PATTERN_MISSING = 1, 2


class Regex(Filter):
    """Documents that a pattern matches, or that lack a match."""

    name, reasons = "regex", ("kept", "pattern_found", "pattern_missing")

    def __init__(self, settings: RegexFilter) -> None:
        self.remove, self.require = settings.remove, settings.require

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents."""
        del metadata
        codes = np.zeros(len(texts), np.uint8)
        for pattern in self.require:
            codes[~pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False)] = PATTERN_MISSING
        for pattern in self.remove:
            codes[pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False)] = PATTERN_FOUND
        return Verdict(codes, None, {})

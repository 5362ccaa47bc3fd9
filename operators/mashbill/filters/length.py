"""Documents that are too short or too long."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mashbill.config.filters import LengthFilter
from mashbill.filters.filter import KEPT, Filter, Verdict

TOO_SHORT, TOO_LONG = 1, 2


class Length(Filter):
    """Documents that are too short or too long, in characters."""

    name, reasons = "length", ("kept", "too_short", "too_long")

    def __init__(self, settings: LengthFilter) -> None:
        self.least, self.most = settings.min_characters, settings.max_characters

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents."""
        del metadata
        lengths = pc.utf8_length(texts).to_numpy(zero_copy_only=False)
        codes = np.where(lengths < self.least, TOO_SHORT, np.where(lengths > self.most, TOO_LONG, KEPT))
        return Verdict(codes.astype(np.uint8), None, {})

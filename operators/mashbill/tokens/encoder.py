"""Text to ids: byte-level BPE by a table of pieces that were met before, the library for what is new, and for
tokenizers and texts that a table cannot stand for.

Byte-level BPE merges within pieces only, so a piece has the same ids wherever it stands.
"""

import re
import unicodedata
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mashbill.partitions import buffers
from mashbill.tokens.bpe_kernels import PENDING, count_ids, look_up, put_again, write_ids
from mashbill.tokens.encoded import Encoded
from mashbill.tokens.piece_merges import Merges, merge_pieces
from mashbill.tokens.pieces import kinds, odd_texts
from mashbill.tokens.split_patterns import SplitPattern, byte_characters, split_pattern

SLOTS = 1 << 20
"""Of the table: half of them are filled at most, and then the half of those that came first is kept."""
KEPT_BYTES, IDS = 16_000_000, 4_000_000
BATCH_BYTES = 2_000_000
LONGEST = 1_000_000
"""Bytes of a piece that is kept: of a longer one, as of a chromosome, the library writes ids faster."""
MOST_ADDED = 256
"""Added tokens that texts are searched for: for more of them the search takes longer than the library."""
NO_LIMIT = 1 << 30
FIRST_MARK, NO_MARK = 0x300, 0x110000  # characters before the first mark are normal as they are


class Encoder:
    """Encodes texts as the tokenizer does, without special tokens; one thread at a time.

    Args:
        tokenizer: of Hugging Face's library.

    Attributes:
        reason: why the table is not used; empty where it is.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        found = split_pattern(tokenizer)
        self.reason = found if isinstance(found, str) else ""
        self.pattern = found if isinstance(found, SplitPattern) else None
        self.normal = NO_MARK if tokenizer.normalizer is None else FIRST_MARK
        added = _met_in_text(tokenizer)
        if len(added) > MOST_ADDED and not self.reason:
            self.reason, self.pattern = f"texts are searched for {len(added):,} added tokens", None
        self.added = "|".join(map(re.escape, sorted(added)))
        self.characters = byte_characters()
        self.table = Table()
        self.merges = Merges.of(tokenizer) if self.pattern else None

    def encode(self, texts: pa.Array) -> Encoded:
        """The ids of [texts] strings without nulls."""
        if self.pattern is None:
            return self._by_library(texts)
        by_library = self._needs_library(texts)
        parts = []
        for first, last in _batches(texts, by_library):
            part = texts.slice(first, last - first)
            parts.append(self._by_library(part) if by_library[first] else self._by_table(part, self.pattern))
        return Encoded.joined(parts)

    def _by_library(self, texts: pa.Array) -> Encoded:
        encoded = self.tokenizer.encode_batch_fast(texts.to_pylist(), add_special_tokens=False)
        return Encoded.of([one.ids for one in encoded])

    def _needs_library(self, texts: pa.Array) -> np.ndarray:
        """[texts] bool: with an added token, a character that Python does not know of, or not normal."""
        content, offsets = buffers(texts)
        odd = odd_texts(content, offsets, kinds(), self.normal)
        found = (odd & 1).astype(bool)
        for i in np.flatnonzero(odd & 2):
            found[i] |= not unicodedata.is_normalized("NFC", texts[int(i)].as_py())
        if self.added:
            found |= pc.match_substring_regex(texts, self.added).to_numpy(zero_copy_only=False)
        return found

    def _by_table(self, texts: pa.Array, pattern: SplitPattern) -> Encoded:
        content, offsets = buffers(texts)
        table = self.table
        size = int(offsets[-1] - offsets[0])
        slots, ends = np.empty(max(1, size), np.int32), np.empty(len(texts), np.int64)
        new, spans = np.empty(SLOTS // 4, np.int32), np.empty((SLOTS // 4, 2), np.int64)
        table.make_room(size)
        waiting = look_up(
            content, offsets, kinds(), table.keys, table.entries, table.kept, table.state, slots, ends, new,
            spans, pattern.gpt2, pattern.digits or NO_LIMIT,
        )  # fmt: skip
        if waiting < 0 or not self._learn(content, new[:waiting], spans[:waiting]):
            self.table = Table()  # some of its pieces have no ids
            return self._by_library(texts)
        out = np.empty(count_ids(slots, int(ends[-1]), table.entries), np.uint32)
        bounds = np.empty(len(texts) + 1, np.int64)
        write_ids(slots, ends, table.entries, table.ids, out, bounds)
        return Encoded(out, bounds)

    def _learn(self, content: np.ndarray, new: np.ndarray, spans: np.ndarray) -> bool:
        """Give pieces that are new their ids, by merges or by the library; False where one is too long, or
        there is no room for them."""
        sizes = spans[:, 1] - spans[:, 0]
        if sizes.max(initial=0) > LONGEST:
            return False
        table, merges = self.table, self.merges
        left = np.arange(len(new))
        if merges is not None:
            used = merge_pieces(
                content, new, spans, merges.alphabet, merges.keys, merges.values, table.entries, table.ids,
                table.used,
            )  # fmt: skip
            if used < 0:
                return False
            table.used = used
            odd = np.isin(table.keys[new, 0], merges.marks) if merges.exceptions else np.zeros(len(new), bool)
            left = np.flatnonzero(odd | (table.entries[new, 1] == PENDING))
        model, characters = self.tokenizer.model, self.characters
        for i in left.tolist():
            piece = content[spans[i, 0] : spans[i, 1]].tobytes().decode("latin-1").translate(characters)
            if not table.add(int(new[i]), [token.id for token in model.tokenize(piece)]):
                return False
        table.keep_order(new)
        return True


def _met_in_text(tokenizer: Any) -> set[str]:
    """Added tokens as the library looks for them: in text that is normal, for some."""
    normalizer = tokenizer.normalizer
    return {
        normalizer.normalize_str(token.content) if token.normalized and normalizer else token.content
        for token in tokenizer.get_added_tokens_decoder().values()
        if token.content and not (token.special and tokenizer.encode_special_tokens)
    }


class Table:
    """Pieces and their ids."""

    def __init__(self) -> None:
        self.keys, self.entries = np.zeros((SLOTS, 2), np.uint64), np.zeros((SLOTS, 4), np.int32)
        self.kept, self.ids = np.empty(KEPT_BYTES, np.uint8), np.empty(IDS, np.uint32)
        self.order, self.pieces, self.used = np.empty(SLOTS, np.int32), 0, 0
        self.state = np.zeros(2, np.int64)

    def add(self, slot: int, found: list[int]) -> bool:
        """Give a piece its ids; False where there is no room for them."""
        end = self.used + len(found)
        if end > IDS:
            return False
        self.ids[self.used : end] = found
        self.entries[slot, 0], self.entries[slot, 1], self.used = self.used, len(found), end
        return True

    def keep_order(self, new: np.ndarray) -> None:
        """Remember in which order pieces came, given the slots of those that came last."""
        self.order[self.pieces : self.pieces + len(new)] = new
        self.pieces += len(new)

    def make_room(self, size: int) -> None:
        """Keep the pieces that came first, which are the most frequent, where the next bytes could fill it.

        Args:
            size: bytes of text that come.
        """
        few = self.pieces * 4 < SLOTS and self.used * 2 < IDS
        if few and self.state[1] + size < KEPT_BYTES:
            return
        order = self.order[: self.pieces // 2].copy()
        keys, entries = np.zeros_like(self.keys), np.zeros_like(self.entries)
        put_again(self.keys, self.entries, order, keys, entries)
        self.keys, self.entries, self.pieces = keys, entries, len(order)
        self.order[: len(order)] = order
        last = entries[order]
        self.used = int((last[:, 0] + last[:, 1]).max(initial=0))
        self.state[:] = len(order), (last[:, 2] + last[:, 3]).max(initial=0)


def _batches(texts: pa.Array, by_library: np.ndarray) -> list[tuple[int, int]]:
    """Runs of texts that go the same way, of bounded size."""
    sizes = pc.binary_length(texts).to_numpy(zero_copy_only=False)
    found: list[tuple[int, int]] = []
    first, size = 0, 0
    for i in range(len(texts)):
        if i > first and (by_library[i] != by_library[first] or size + sizes[i] > BATCH_BYTES):
            found.append((first, i))
            first, size = i, 0
        size += sizes[i]
    return [*found, (first, len(texts))] if len(texts) else found

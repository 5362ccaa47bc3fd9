"""What a model makes of text: bits per byte of token streams, bits per character of documents.

Bits per byte compare models with different tokenizers; every token is predicted once, in windows of the
context.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from mashbill.artifacts import Progress
from mashbill.errors import DataError
from mashbill.models.attention import Documents
from mashbill.models.huggingface import know_own_models
from mashbill.models.optimisation import resolve_precision
from mashbill.models.stack import Stack
from mashbill.models.transformer import Transformer

TOKENS_A_BATCH = 4_096


def bits_per_byte(
    model: Transformer,
    tokens: np.ndarray,
    text_bytes: int,
    *,
    device: str = "cpu",
    end_of_text: int | None = None,
) -> float:
    """Bits per byte of a token stream.

    Args:
        model: the model.
        tokens: [tokens] ids, end-of-text after each document.
        text_bytes: UTF-8 bytes of the text they stand for.
        device: where the model is.
        end_of_text: keeps documents apart, as training did: each is read as if it were alone, and, as of a
            stream, all but its first token are predicted; without it the stream is one text.
    """
    was_training = model.training
    model.eval()
    nats = _nats(model, tokens, torch.device(device), members=1, end_of_text=end_of_text)
    model.train(was_training)
    return float(nats) / math.log(2) / text_bytes


def stacked_bits_per_byte(
    stack: Stack, tokens: np.ndarray, text_bytes: int, *, device: torch.device
) -> np.ndarray:
    """[models] bits per byte of a token stream under each model of a stack; see ``bits_per_byte``."""
    return _nats(stack, tokens, device, members=stack.members).numpy() / math.log(2) / text_bytes


@torch.no_grad()
def _nats(
    model: Transformer | Stack,
    tokens: np.ndarray,
    device: torch.device,
    *,
    members: int,
    end_of_text: int | None = None,
) -> torch.Tensor:
    """The cross-entropy of a stream, a value a model: every token is predicted once, in windows of the
    context, or of documents that are kept apart all but their first."""
    context = model.shape.context
    stream = torch.from_numpy(np.asarray(tokens, np.int64)).to(device)
    windows = (len(stream) - 1) // context
    total = torch.zeros((), dtype=torch.float64)
    dtype = resolve_precision("auto", device.type)
    whole = windows * context
    inputs, targets = stream[:whole].view(windows, context), stream[1 : whole + 1].view(windows, context)
    rows = max(1, TOKENS_A_BATCH // (context * members))
    cuts = [
        (inputs[start : start + rows], targets[start : start + rows]) for start in range(0, windows, rows)
    ]
    if whole < len(stream) - 1:
        cuts.append((stream[None, whole:-1], stream[None, whole + 1 :]))
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        for given, wanted in cuts:
            if end_of_text is None:
                losses = model.token_losses(given, wanted)
            else:
                assert isinstance(model, Transformer), "a stack reads no documents apart"
                losses = model.token_losses(given, wanted, Documents.of(given, end_of_text))
            total = total + losses.double().sum((-1, -2)).cpu()
    return total


class FamilyModel:
    """One model of the family, ours or any causal language model that transformers loads."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
        from transformers.utils import logging

        logging.disable_progress_bar()
        know_own_models()
        try:
            self.model: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
            ).eval()
            self.tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(folder)
        except (OSError, ValueError) as error:
            raise DataError(
                str(folder),
                f"is no causal language model ({error})",
                "give a Hugging Face folder with safetensors",
            ) from error
        self.context: int = self.model.config.max_position_embeddings
        start = self.model.config.bos_token_id
        self.start: int = start if start is not None else self.model.config.eos_token_id or 0

    def document_bits(self, texts: Sequence[str]) -> np.ndarray:
        """[documents] bits of each text, its first ``context`` tokens, and
        [documents] how many characters those tokens cover, as a [2, documents] array."""
        encoded = self.tokenizer(
            list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        ids = [row[: self.context] for row in encoded["input_ids"]]
        ends = [row[: self.context][-1][1] if row else 0 for row in encoded["offset_mapping"]]
        result = np.zeros((2, len(texts)))
        result[1] = ends
        for rows in _by_length(ids):
            result[0, rows] = self._bits([ids[i] for i in rows])
        return result

    @torch.no_grad()
    def _bits(self, rows: list[list[int]]) -> np.ndarray:
        longest = max(map(len, rows))
        targets = torch.full((len(rows), longest), -100)
        for i, row in enumerate(rows):
            targets[i, : len(row)] = torch.tensor(row)
        inputs = torch.cat([torch.full((len(rows), 1), self.start), targets[:, :-1].clamp_min(0)], 1)
        dtype = resolve_precision("auto")
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            logits = self.model(input_ids=inputs).logits
        nats = functional.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="none"
        )
        return nats.view(targets.shape).sum(1).double().numpy() / math.log(2)


def family_bits_per_character(
    folders: Sequence[Path], texts: Sequence[str], characters: int, *, progress: Progress
) -> np.ndarray:
    """How well each model compresses the beginning of each document.

    Args:
        folders: Hugging Face model folders.
        texts: [documents].
        characters: characters of a document that are compressed at most.
        progress: called at each model.
    Returns:
        [documents, models] bits per character over the tokens that fit the model's context; NaN for empty
        documents.
    """
    beginnings = [text[:characters] for text in texts]
    columns = []
    for i, folder in enumerate(folders):
        progress(
            i / len(folders), f"compressing {len(texts):,} documents with model {i + 1} of {len(folders)}"
        )
        bits, covered = FamilyModel(folder).document_bits(beginnings)
        columns.append(np.divide(bits, covered, out=np.full(len(texts), np.nan), where=covered > 0))
    return np.stack(columns, 1)


def family_bits_per_byte(folder: Path, texts: Sequence[str]) -> float:
    """Bits per byte of reference texts, over the beginnings that fit the model's context: its ability."""
    bits, covered = FamilyModel(folder).document_bits(texts)
    size = sum(len(text[: int(end)].encode()) for text, end in zip(texts, covered, strict=True))
    return float(bits.sum()) / max(1, size)


def _by_length(rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Indices of non-empty rows in batches of about equal length."""
    order = sorted((i for i in range(len(rows)) if rows[i]), key=lambda i: len(rows[i]))
    batch: list[int] = []
    for i in order:
        if batch and len(rows[i]) * (len(batch) + 1) > TOKENS_A_BATCH:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch

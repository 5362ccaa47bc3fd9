"""One exported model: its bits per byte, whether transformers reads it as we do, what it writes."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mashbill.config import EvaluationConfig
from mashbill.errors import DataError, RunError, one_line
from mashbill.evaluation.record import Sample
from mashbill.models.folder import look_at_model
from mashbill.models.huggingface import know_own_models, load_model
from mashbill.models.measurement import bits_per_byte
from mashbill.models.transformer import Transformer
from mashbill.tokens import TokenStore

MAX_LOGIT_DIFFERENCE = 1e-3


def device_of(settings: EvaluationConfig) -> str:
    """Where models run: auto is the GPU where there is one."""
    if settings.accelerator != "auto":
        return settings.accelerator
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_exported(folder: Path) -> tuple[Any, Any]:
    """A Hugging Face folder's model, in full precision, and its tokenizer.

    Raises:
        DataError: the folder holds no causal language model.
    """
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    look_at_model(folder)
    know_own_models()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
        ).eval()
        return model, PreTrainedTokenizerFast.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        what = f"is no causal language model ({one_line(error)})"
        raise DataError(str(folder), what, "give a Hugging Face folder with safetensors") from error


def bits_by_set(
    folder: Path, store: TokenStore, settings: EvaluationConfig, *, apart: bool = False
) -> dict[str, float]:
    """Bits per byte of every validation set.

    Args:
        folder: of the model.
        store: the sets.
        settings: where the model runs.
        apart: whether documents are kept apart, as they were when the model was trained.
    """
    device, end_of_text = device_of(settings), store.end_of_text if apart else None
    model = load_model(folder).to(device)
    sets = map(store.validation, store.set_names)
    return {
        one.name: bits_per_byte(model, one.tokens, one.bytes, device=device, end_of_text=end_of_text)
        for one in sets
    }


def logit_difference(folder: Path, theirs: Any, tokens: np.ndarray) -> float:
    """The largest difference between transformers' logits and ours, on the beginning of a text.

    Raises:
        RunError: they differ by more than rounding does.
    """
    ours: Transformer = load_model(folder)
    ids = torch.from_numpy(tokens[: ours.shape.context].astype("int64"))[None]
    with torch.no_grad():
        difference = float((theirs(ids).logits - ours(ids)).abs().max())
    if difference > MAX_LOGIT_DIFFERENCE:
        raise RunError(
            str(folder),
            f"has logits that differ by {difference:g} under transformers",
            "report it: the export is wrong",
        )
    return difference


def write_samples(model: Any, tokenizer: Any, prompts: Sequence[str], *, count: int) -> tuple[Sample, ...]:
    """What a model writes after each prompt."""
    return tuple(Sample(prompt=one, text=_continue(model, tokenizer, one, count=count)) for one in prompts)


def _continue(model: Any, tokenizer: Any, prompt: str, *, count: int) -> str:
    """What a model writes after a prompt, sampled with a fixed seed."""
    if count == 0:
        return ""
    inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=False, return_token_type_ids=False)
    torch.manual_seed(0)
    room = min(count, model.config.max_position_embeddings - inputs["input_ids"].shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ids = model.generate(**inputs, max_new_tokens=max(1, room), do_sample=True, top_k=50, temperature=0.8)
    return str(tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))

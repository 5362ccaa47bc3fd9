"""A config of a small final training on two domains and a reference, for what reads recipes and trains
nothing."""

import json
from pathlib import Path

from builders.corpus import corpus_config
from mashbill.config import PipelineConfig

SMALL = {
    "model": {"layers": 2, "width": 32, "heads": 2, "kv_heads": 2, "feed_forward": 64, "context": 32},
    "tokens": 64_000,
    "batch_sequences": 16,
    "micro_batch_sequences": 8,
    "learning_rate": 1e-3,
}


def small_training(folder: Path, *, vocabulary: int = 300, **settings: object) -> PipelineConfig:
    """The config, written into a folder.

    Args:
        folder: where.
        vocabulary: tokens of the tokenizer that would be trained.
        settings: of training, beside or in place of the usual ones; those of the shape are a mapping.
    """
    lines = "\n".join(f"{name} = {_toml(value)}" for name, value in {**SMALL, **settings}.items())
    text = f"[tokens]\nvocabulary = {vocabulary}\n[training]\n{lines}\n"
    return corpus_config(folder, {"a": "a.jsonl", "b": "b.jsonl"}, {"r": "r.jsonl"}, text)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name} = {_toml(one)}' for name, one in value.items())} }}"
    return json.dumps(value)

"""Tokenizers as people have them: saved with truncation, with ids left out, with another end of text."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers

END = "<|endoftext|>"


def byte_tokenizer(end: str = END, *, more: Sequence[str] = ()) -> Tokenizer:
    """A token a byte, then an end of text, then more special tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([end, *more])
    return tokenizer


def word_tokenizer(words: Sequence[str], unknown: str = "[UNK]") -> Tokenizer:
    """A token a word, and one for every other word."""
    tokens = {word: i for i, word in enumerate([unknown, END, *words])}
    tokenizer = Tokenizer(models.WordLevel(tokens, unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([END])
    return tokenizer


def special(token: str, number: int) -> dict[str, Any]:
    """A special token as a tokenizer.json says it."""
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": number, "content": token, **plain}


def write_described(path: Path, tokenizer: Tokenizer, *added: dict[str, Any], **model: Any) -> Path:
    """Write a tokenizer.json with further added tokens, and some of its model's fields changed."""
    described = json.loads(tokenizer.to_str())
    described["added_tokens"] += added
    described["model"] |= model
    path.write_text(json.dumps(described), encoding="utf-8")
    return path

"""How byte-level tokenizers split text before they merge bytes: the patterns that a compiled kernel follows,
and the characters that stand for bytes.

GPT-2's is OpenAI's (2019); that of GPT-4 (``cl100k_base``) is also Llama 3's, and Qwen's with single digits.
"""

import json
from dataclasses import dataclass
from typing import Any

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_GPT4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{DIGITS}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT4, QWEN = _GPT4.replace("{DIGITS}", "{1,3}"), _GPT4.replace("{DIGITS}", "")
DIRECT = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]


@dataclass(frozen=True)
class SplitPattern:
    """A way to split text.

    Attributes:
        name: whose it is.
        gpt2: whether by the rules of GPT-2; else by those of GPT-4.
        digits: at most so many in one piece; 0 means any number.
    """

    name: str
    gpt2: bool
    digits: int


PATTERNS = {
    GPT2: SplitPattern("GPT-2", gpt2=True, digits=0),
    GPT4: SplitPattern("GPT-4", gpt2=False, digits=3),
    QWEN: SplitPattern("Qwen", gpt2=False, digits=1),
}


def byte_characters() -> dict[int, str]:
    """The character that stands for each byte in a byte-level vocabulary (OpenAI, GPT-2)."""
    others = (byte for byte in range(256) if byte not in DIRECT)
    return {byte: chr(byte) for byte in DIRECT} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def split_pattern(tokenizer: Any) -> SplitPattern | str:
    """The pattern that a tokenizer splits by, or why no kernel can stand for the tokenizer.

    Args:
        tokenizer: of Hugging Face's library.
    """
    described = json.loads(tokenizer.to_str())
    model, normalizer = described["model"], described["normalizer"]
    if model.get("type") != "BPE":
        return f"its model is {model.get('type')}, not BPE"
    if model.get("dropout"):
        return "its merges are dropped at random"
    if normalizer is not None and normalizer != {"type": "NFC"}:
        return f"its normalizer is {normalizer.get('type')}"
    return _of_steps(described["pre_tokenizer"])


def _of_steps(step: dict[str, Any] | None) -> SplitPattern | str:
    if step is None:
        return "it splits no text"
    steps = step["pretokenizers"] if step["type"] == "Sequence" else [step]
    if not steps:
        return "it splits no text"
    if steps[-1]["type"] != "ByteLevel" or steps[-1]["add_prefix_space"]:
        return "it is not byte-level, or puts a blank before each text"
    if len(steps) == 1 and steps[0].get("use_regex", True):
        return PATTERNS[GPT2]
    if len(steps) != 2 or steps[0]["type"] != "Split" or steps[1].get("use_regex", True):
        return f"it splits by {', '.join(one['type'] for one in steps)}"
    found = PATTERNS.get(steps[0]["pattern"].get("Regex", ""))
    keeps = (steps[0]["behavior"], steps[0]["invert"]) in {("Isolated", False), ("Removed", True)}
    return found if found is not None and keeps else "it splits by a pattern of its own"

"""The tokenizer: a byte-level BPE trained on an even sample of the domains, or one that the user gives."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mashbill.config import PipelineConfig, TokensConfig
from mashbill.documents import Partition
from mashbill.errors import ConfigError
from mashbill.storage import path_identity
from mashbill.tokens.shards import END_OF_TEXT

SAMPLE_BATCH = 256


def load_tokenizer(path: Path) -> Any:
    """A tokenizer from a ``tokenizer.json``.

    Raises:
        ConfigError: the file is missing or is no tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises Exception itself
        raise ConfigError(
            f"tokens.tokenizer: {path}",
            f"is not a tokenizer.json ({error})",
            "give a file of Hugging Face tokenizers",
        ) from error


def end_of_text_id(tokenizer: Any, path: Path | None) -> int:
    """The id of the end-of-text token.

    Raises:
        ConfigError: the tokenizer has none that is known.
    """
    for token in (END_OF_TEXT, "</s>", "<|end_of_text|>", "<eos>"):
        found = tokenizer.token_to_id(token)
        if found is not None:
            return int(found)
    raise ConfigError(
        f"tokens.tokenizer: {path}", "has no end-of-text token", f"add {END_OF_TEXT} to its special tokens"
    )


def train_tokenizer(documents: Mapping[str, Sequence[Partition]], config: TokensConfig) -> Any:
    """Train a byte-level BPE on the first ``training_bytes / domains`` bytes of every domain."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_sample(documents, config.training_bytes), trainer)
    return tokenizer


def _sample(documents: Mapping[str, Sequence[Partition]], training_bytes: int) -> Iterator[list[str]]:
    share = training_bytes // len(documents)
    for partitions in documents.values():
        taken = 0
        for partition in partitions:
            for batch in partition.batches(["text"], SAMPLE_BATCH):
                if taken >= share:
                    break
                taken += batch.column(0).nbytes
                yield batch.column(0).to_pylist()


def tokenizer_identity(config: PipelineConfig) -> Any:
    """Changes when the given tokenizer's file changes."""
    given = config.tokens.tokenizer
    return path_identity(config, "tokens.tokenizer", given) if given else None

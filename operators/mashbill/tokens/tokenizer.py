"""The tokenizer: a byte-level BPE trained on an even sample of the domains, or one that the user gives."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mashbill.config import EngineConfig, PipelineConfig, TokensConfig
from mashbill.documents import Partition
from mashbill.errors import ConfigError, MashbillError, one_line
from mashbill.storage import local_path, path_identity
from mashbill.tokens.bpe_training import train_bpe
from mashbill.tokens.shards import END_OF_TEXT
from mashbill.tokens.training_sample import count_sample
from mashbill.tokens.vocabulary import fill_holes, vocabulary_size

SHOWN = 8
MEND = "give a tokenizer.json, which save_pretrained of a fast tokenizer of Hugging Face's writes"
PROBE = "".join(
    map(chr, [*range(0x800), *range(0x1000, 0xD000, 0x1000), 0xE000, *range(0x10000, 0x110000, 0x40000)])
)
"""Text that no tokenizer knows all of, unless it knows bytes."""
ENDS_OF_TEXT = (
    END_OF_TEXT,
    "</s>",
    "<|end_of_text|>",
    "<eos>",
    "<｜end▁of▁sentence｜>",
    "<|endofdocument|>",
    "<|end_of_document|>",
    "<|eos|>",
    "<EOS>",
    "[EOS]",
    "<eod>",
    "<|eod|>",
    "<EOS_TOKEN>",
)
"""Tokens that end a document, the first that a tokenizer has. What ends a turn of a dialogue (``<|im_end|>``,
``<|eot_id|>``) or one of two texts (``[SEP]``) is not among them, and can be named in the config."""

log = logging.getLogger(__name__)


def load_tokenizer(path: Path) -> Any:
    """A tokenizer from a ``tokenizer.json``, which neither cuts nor fills up texts, whatever was saved with
    it; that and ids that were left out are logged.

    Raises:
        ConfigError: the file is missing or is no tokenizer, or two of its tokens have one id.
    """
    from tokenizers import Tokenizer

    where = f"tokens.tokenizer: {path}"
    try:
        content = path.read_text(encoding="utf-8")
        described = json.loads(content)
        left_out = fill_holes(described, where)
        tokenizer = Tokenizer.from_str(json.dumps(described) if left_out else content)
    except MashbillError:
        raise
    except IsADirectoryError as error:
        raise ConfigError(
            where, "is a folder, and cannot be read", "give the tokenizer.json in it"
        ) from error
    except OSError as error:
        raise ConfigError(where, f"cannot be read ({error.strerror})", MEND) from error
    except Exception as error:  # the library raises Exception itself
        raise ConfigError(where, f"is not a tokenizer.json ({one_line(error)})", MEND) from error
    if vocabulary_size(tokenizer) == 0:
        raise ConfigError(where, "has no token", MEND)
    _refuse_unprepared(tokenizer, where)
    for saved, switch_off in (("truncation", tokenizer.no_truncation), ("padding", tokenizer.no_padding)):
        if getattr(tokenizer, saved) is not None:
            switch_off()
            log.warning("%s: %s was saved with it and is switched off", path, saved)
    if left_out:
        what = "%s: its vocabulary leaves out %s ids, which are kept: a model has embeddings for them too"
        log.warning(what, path, f"{left_out:,}")
    return tokenizer


def _refuse_unprepared(tokenizer: Any, where: str) -> None:
    """Refuse a tokenizer that fails on text that it does not know."""
    try:
        tokenizer.encode_batch_fast([PROBE], add_special_tokens=False)
    except Exception as error:  # the library raises Exception itself
        mend = "name a token that it has in its model's unk_token"
        raise ConfigError(where, f"fails on text that it does not know ({one_line(error)})", mend) from error


def end_of_text_id(tokenizer: Any, path: Path | None, given: str | None = None) -> int:
    """The id of the token that ends a document, which no text is then taken for.

    Args:
        tokenizer: which has it; where it is a plain token, it becomes a special one.
        path: the tokenizer's file, for errors.
        given: the token; without it, the first of those that are known.
    Raises:
        ConfigError: the tokenizer has none that is known, or not the one given.
    """
    wanted = ENDS_OF_TEXT if given is None else (given,)
    found = next((token for token in wanted if tokenizer.token_to_id(token) is not None), None)
    if found is not None:
        tokenizer.add_special_tokens([found])
        return int(tokenizer.token_to_id(found))
    special = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
    has = f"its special tokens are {', '.join(special[:SHOWN])}" if special else "it has no special token"
    if given is not None:
        raise ConfigError("tokens.end_of_text", f"{given!r} is no token of {path}", f"name one: {has}")
    raise ConfigError(
        f"tokens.tokenizer: {path}",
        "has no end-of-text token that is known",
        f"name the token that ends a document in tokens.end_of_text; {has}",
    )


def expected_vocabulary(config: PipelineConfig) -> int:
    """Tokens of the given tokenizer, or of the one that will be trained (at most: little text has fewer)."""
    given = config.tokens.tokenizer
    if given is None:
        return config.tokens.vocabulary
    return vocabulary_size(load_tokenizer(local_path(config, "tokens.tokenizer", given)))


def train_tokenizer(
    documents: Mapping[str, Sequence[Partition]], config: TokensConfig, engine: EngineConfig | None = None
) -> Any:
    """Train a byte-level BPE on the first ``training_bytes / domains`` bytes of every domain.

    Args:
        documents: partitions of each domain.
        config: how many tokens, on how much text.
        engine: where the text is read and its pieces are counted; None means on this machine.
    """
    from tokenizers import Tokenizer, decoders, models

    pieces = count_sample(documents, config.training_bytes, engine or EngineConfig())
    end_of_text = config.end_of_text or END_OF_TEXT
    vocabulary, merges = train_bpe(pieces, end_of_text, config.vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pieces.pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([end_of_text])
    return tokenizer


def tokenizer_identity(config: PipelineConfig) -> Any:
    """Changes when the given tokenizer's file changes."""
    given = config.tokens.tokenizer
    return path_identity(config, "tokens.tokenizer", given) if given else None

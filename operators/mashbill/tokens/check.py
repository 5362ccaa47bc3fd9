"""A look at the tokenizer before any text is read: that it loads, ends documents and numbers its tokens."""

from collections.abc import Iterator

from mashbill.config import PipelineConfig
from mashbill.config.check import Check
from mashbill.errors import ConfigError, DataError
from mashbill.storage import local_path
from mashbill.tokens.compaction import refuse_not_compactable
from mashbill.tokens.tokenizer import end_of_text_id, load_tokenizer
from mashbill.tokens.unknown import drops_unknown
from mashbill.tokens.vocabulary import vocabulary_size


def check_tokenizer(config: PipelineConfig) -> Iterator[Check]:
    """The tokenizer that is given."""
    given = config.tokens.tokenizer
    if given is not None:
        yield Check("tokens.tokenizer", lambda: _look(config, given))


def _look(config: PipelineConfig, given: str) -> str:
    path = local_path(config, "tokens.tokenizer", given)
    tokenizer = load_tokenizer(path)
    end = end_of_text_id(tokenizer, path, config.tokens.end_of_text)
    ids = vocabulary_size(tokenizer)
    if config.tokens.least_uses:
        try:
            refuse_not_compactable(path)
        except DataError as error:
            mend = f"{error.mend}, or leave tokens.least_uses at 0"
            raise ConfigError(f"tokens.least_uses: {path}", error.what, mend) from error
    said = f"{given}: ids from 0 to {ids - 1:,}; {tokenizer.id_to_token(end)} ends a document"
    return f"{said}; it drops characters that it does not know" if drops_unknown(tokenizer) else said

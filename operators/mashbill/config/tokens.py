"""Settings of tokenize: the tokenizer that is given or trained, and what is kept for validation."""

from pydantic import Field

from mashbill.config.section import Later, Location, Section


class TokensConfig(Section):
    """The tokenizer and the split."""

    tokenizer: Location | None = Field(
        None, description="A tokenizer.json to load; without it a byte-level BPE is trained."
    )
    end_of_text: str | None = Field(
        None,
        min_length=1,
        description="Token that ends a document; empty means the first of the usual ones that the given "
        "tokenizer has, or <|endoftext|> where one is trained.",
    )
    vocabulary: int = Field(4_096, ge=300, le=1_000_000, description="Tokens of the trained vocabulary.")
    least_uses: Later[int] = Field(
        0,
        ge=0,
        description="Uses in training text below which a token of a byte-pair tokenizer is dropped from the "
        "vocabulary, and its text spelt with those it is made of; 1 drops what is not used at all. Text is "
        "then tokenized twice; 0 keeps all tokens.",
    )
    training_bytes: int = Field(
        20_000_000, ge=10_000, description="Text the tokenizer is trained on, in bytes."
    )
    validation_share: float = Field(
        0.02, gt=0, lt=0.5, description="Share of documents kept for validation, by hash of the id."
    )
    max_validation_bytes: int = Field(
        200_000, ge=1_000, description="Validation text kept for each domain or set, in bytes."
    )

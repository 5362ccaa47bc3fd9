"""The tokenizer, the split and the memory-mapped token shards."""

from mashbill.tokens.shards import TokenStore, ValidationSet
from mashbill.tokens.tokenize import write_token_store

__all__ = ["TokenStore", "ValidationSet", "write_token_store"]

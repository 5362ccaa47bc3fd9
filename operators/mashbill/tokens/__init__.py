"""The tokenizer, the split and the memory-mapped token shards."""

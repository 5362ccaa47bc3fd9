"""A smaller vocabulary covers what was asked, loses no text, and leaves what a model says of kept tokens."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from mashbill.config import ModelShape
from mashbill.errors import DataError
from mashbill.models.transformer import Transformer, with_tokens
from mashbill.tokens.compaction import Compaction, compact, compact_tokenizer

TEXTS = [
    "the cat and the hat sat on the mat; the rat that sat there ate the cheese",
    "another and yet another thing that they thought of the other day, then and there",
    "the weather in the north is rather cold, naïve café, 東京 and emoji 🙂 too",
] * 5
END = "<|endoftext|>"


@pytest.fixture
def tokenizer_path(tmp_path: Path) -> Path:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def encoded(path: Path) -> np.ndarray:
    """[tokens] ids of all texts, an end of text after each."""
    tokenizer = Tokenizer.from_file(str(path))
    end = tokenizer.token_to_id(END)
    return np.concatenate([[*tokenizer.encode(text).ids, end] for text in TEXTS])


def compacted(path: Path, share: float, **how: int) -> tuple[np.ndarray, Compaction]:
    """The ids, and their compaction."""
    ids = encoded(path)
    size = Tokenizer.from_file(str(path)).get_vocab_size()
    return ids, compact(np.bincount(ids, minlength=size), share, path, **how)


@pytest.mark.parametrize("share", [0.3, 0.8, 0.95, 1.0])
def test_kept_tokens_cover_the_share_and_text_is_the_same(
    tokenizer_path: Path, tmp_path: Path, share: float
) -> None:
    ids, found = compacted(tokenizer_path, share)
    stays = found.new_ids[ids] >= 0
    assert stays.mean() == pytest.approx(found.coverage)
    assert found.coverage >= share
    compact_tokenizer(found, tokenizer_path, tmp_path / "smaller.json")
    before, after = (Tokenizer.from_file(str(path)) for path in (tokenizer_path, tmp_path / "smaller.json"))
    assert after.get_vocab_size() == len(found.kept)
    merges = json.loads((tmp_path / "smaller.json").read_text())["model"]["merges"]
    reached = {*pre_tokenizers.ByteLevel.alphabet(), END, *("".join(pair) for pair in merges)}
    assert after.get_vocab().keys() == reached  # no kept token wants for what it is merged from
    recoded = found.recode(ids)
    assert recoded.min() >= 0
    assert after.decode(recoded.tolist(), skip_special_tokens=False) == before.decode(
        ids.tolist(), skip_special_tokens=False
    )
    for text in TEXTS:
        assert after.decode(after.encode(text).ids) == text
    assert all(before.id_to_token(int(old)) == after.id_to_token(new) for new, old in enumerate(found.kept))


def test_fewer_are_kept_for_a_smaller_share_and_the_most_frequent_of_all(tokenizer_path: Path) -> None:
    ids, small = compacted(tokenizer_path, 0.5)
    _, large = compacted(tokenizer_path, 0.95)
    assert set(small.kept) < set(large.kept)
    counts = np.bincount(ids, minlength=len(small.new_ids))
    assert counts[counts.argmax()] > 0
    assert small.new_ids[counts.argmax()] >= 0
    always = {*pre_tokenizers.ByteLevel.alphabet(), END}
    vocabulary = Tokenizer.from_file(str(tokenizer_path)).get_vocab()
    assert all(small.new_ids[vocabulary[token]] >= 0 for token in always)


def test_all_that_is_dropped_was_rarer_than_what_was_wanted(tokenizer_path: Path) -> None:
    ids, found = compacted(tokenizer_path, 0.8)
    counts = np.sort(np.bincount(ids))[::-1]
    wanted = int((np.cumsum(counts) < 0.8 * counts.sum()).sum()) + 1
    least = counts[wanted - 1]
    dropped = np.flatnonzero(found.new_ids < 0)
    assert len(dropped) > 0
    assert np.bincount(ids, minlength=len(found.new_ids))[dropped].max() <= least


def test_a_vocabulary_is_filled_to_a_multiple(tokenizer_path: Path) -> None:
    _, plain = compacted(tokenizer_path, 0.5)
    _, filled = compacted(tokenizer_path, 0.5, multiple=8)
    assert len(filled.kept) % 8 == 0
    assert len(plain.kept) <= len(filled.kept)


def test_a_model_says_of_kept_tokens_what_it_said(tokenizer_path: Path) -> None:
    ids, found = compacted(tokenizer_path, 0.8)
    for tied in (True, False):
        shape = ModelShape(layers=1, width=16, heads=2, kv_heads=1, feed_forward=24, context=64, tied=tied)
        model = Transformer(shape, len(found.new_ids), seed=1).eval()
        smaller = with_tokens(model, torch.from_numpy(found.kept))
        kept = torch.from_numpy(ids[found.new_ids[ids] >= 0][:64])[None]
        new = torch.from_numpy(found.new_ids)[kept]
        with torch.no_grad():
            assert torch.allclose(smaller(new), model(kept)[..., torch.from_numpy(found.kept)], atol=1e-6)
        before, after = (sum(p.numel() for p in one.parameters()) for one in (model, smaller))
        assert found.dropped * shape.width * (1 if tied else 2) == before - after > 0
        assert (smaller.lm_head.weight is smaller.model.embed_tokens.weight) == tied


def test_what_cannot_be_compacted_is_refused(tokenizer_path: Path, tmp_path: Path) -> None:
    size = Tokenizer.from_file(str(tokenizer_path)).get_vocab_size()
    with pytest.raises(DataError, match="share: is 0"):
        compact(np.ones(size), 0.0, tokenizer_path)
    with pytest.raises(DataError, match="counts: are all 0"):
        compact(np.zeros(size), 0.9, tokenizer_path)
    with pytest.raises(DataError, match=f"has id {size - 1}, and {size - 1} were counted"):
        compact(np.ones(size - 1), 0.9, tokenizer_path)
    described = json.loads(tokenizer_path.read_text())
    described["model"] = {"type": "Unigram", "vocab": [["a", 0.0]]}
    (tmp_path / "other.json").write_text(json.dumps(described))
    with pytest.raises(DataError, match="is Unigram, whose tokens are no merges; give a byte-pair tokenizer"):
        compact(np.ones(size), 0.9, tmp_path / "other.json")
    _, found = compacted(tokenizer_path, 0.8)
    with pytest.raises(DataError, match=f"has id {size} of a vocabulary of {size}"):
        found.recode(np.array([0, size]))

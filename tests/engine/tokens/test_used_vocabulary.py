"""A vocabulary without what training text does not use: the same encodings in fewer ids, and no text lost."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from builders.corpus import corpus_config, run_stages, write_jsonl
from builders.shell import mashbill
from builders.tokenizers import END, word_tokenizer
from mashbill.artifacts import Counts
from mashbill.config import TokensConfig
from mashbill.documents import REFERENCES, DocumentStore
from mashbill.errors import DataError
from mashbill.tokens import TokenStore, write_token_store
from mashbill.tokens.compaction import compact_to_used, compact_tokenizer

OTHER_TEXT = ["the weather in the north is cold, and colder still than in the south; naïve café, 東京 🙂"] * 5
TEXTS = {
    "a": [f"The mill beside the river in the north, number {i}. " * 3 for i in range(40)],
    "b": [f"A boat on the cold lake is number {i}. " * 3 for i in range(40)],
    "r": ["A reference about the weather and a café in 東京 🙂."],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of ours and other text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*TEXTS["a"], *TEXTS["b"], *OTHER_TEXT], trainer)
    path = tmp_path_factory.mktemp("tokenizer") / "whole.json"
    tokenizer.save(str(path))
    return path


def tokenized(folder: Path, tokenizer: Path, least: int) -> tuple[TokenStore, Counts]:
    """The store of the texts, and what was counted."""
    for name, texts in TEXTS.items():
        write_jsonl(folder / f"{name}.jsonl", texts)
    config = corpus_config(folder, {name: f"{name}.jsonl" for name in "ab"}, {"r": "r.jsonl"})
    ingested = DocumentStore.of(run_stages(config, "ingest")["ingest"])
    output = folder / f"tokens-{least}"
    output.mkdir()
    counts = write_token_store(
        ingested.by_set(("a", "b")),
        ingested.by_set(("r",), REFERENCES),
        config.tokens.model_copy(update={"validation_share": 0.2, "least_uses": least}),
        seed=0,
        output=output,
        progress=lambda *_: None,
        tokenizer_path=tokenizer,
    )
    return TokenStore(output), counts


def pieces(store: TokenStore, tokens: Any) -> list[str]:
    """Tokens as text, whatever their ids."""
    tokenizer = Tokenizer.from_file(str(store.tokenizer_path))
    return [tokenizer.id_to_token(int(token)) for token in tokens]


def test_what_is_not_used_goes_and_training_text_is_encoded_as_it_was(whole: Path, tmp_path: Path) -> None:
    before, plain = tokenized(tmp_path, whole, 0)
    after, counts = tokenized(tmp_path, whole, 1)
    assert plain.keys() < counts.keys()
    assert counts["vocabulary_before"] == before.vocabulary == plain["vocabulary"]
    assert counts["vocabulary"] == after.vocabulary == before.vocabulary - counts["tokens_dropped"]
    assert counts["tokens_dropped"] > 20
    used: set[str] = set()
    for name in after.domains:
        for split in ("train", "validation"):
            assert after.counts(name, split)["bytes"] == before.counts(name, split)["bytes"]
        found = pieces(after, after.train_tokens(name)[:])
        assert found == pieces(before, before.train_tokens(name)[:])
        used |= set(found)
    assert counts["training_tokens_more"] == 0
    assert counts["unigram_bits_per_byte"] == pytest.approx(counts["unigram_bits_per_byte_before"])
    kept = Tokenizer.from_file(str(after.tokenizer_path)).get_vocab().keys()
    merges = json.loads(after.tokenizer_path.read_text())["model"]["merges"]
    parts = {part for pair in merges for part in pair}
    assert kept <= used | parts | {*pre_tokenizers.ByteLevel.alphabet(), END}


@pytest.mark.parametrize("least", [1, 20, 100])
def test_shards_are_what_the_tokenizer_beside_them_makes_of_the_text(
    least: int, whole: Path, tmp_path: Path
) -> None:
    store, counts = tokenized(tmp_path, whole, least)
    tokenizer = Tokenizer.from_file(str(store.tokenizer_path))
    for name, texts in TEXTS.items():
        splits = ("train", "validation") if name in store.domains else ("validation",)
        runs = [
            store.train_tokens(name)[:] if s == "train" else store.validation(name).tokens for s in splits
        ]
        ids = [[*tokenizer.encode(text).ids, store.end_of_text] for text in texts]
        flat = [
            token for run in runs for token in np.split(run, np.flatnonzero(run == store.end_of_text) + 1)
        ]
        assert sorted(map(list, (run for run in flat if len(run)))) == sorted(ids)
        assert [tokenizer.decode(row) for row in ids] == texts
    assert (counts["training_tokens_more"] > 0) == (least > 1)
    assert counts["unigram_bits_per_byte"] >= counts["unigram_bits_per_byte_before"] or least == 1


def test_a_token_that_is_used_oftener_than_any_is_asked_for_in_vain(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"tokens\.least_uses: is 1,000,000, and no token is used more than"):
        tokenized(tmp_path, whole, 1_000_000)


def all_merges(path: Path) -> None:
    """Give a tokenizer.json every merge that makes one of its tokens, as those converted from others have."""
    described = json.loads(path.read_text())
    vocab = described["model"]["vocab"]
    described["model"]["merges"] = [
        [token[:cut], token[cut:]]
        for token in sorted(vocab, key=lambda token: vocab[token])
        for cut in range(1, len(token))
        if token[:cut] in vocab and token[cut:] in vocab and token != END
    ]
    path.write_text(json.dumps(described))


@given(st.lists(st.text("abcd ", min_size=1, max_size=40), min_size=1, max_size=8), st.booleans())
def test_whatever_merges_there_are_text_whose_tokens_are_kept_is_encoded_as_it_was(
    texts: list[str], every: bool
) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as name:
        path, smaller = Path(name, "whole.json"), Path(name, "smaller.json")
        tokenizer = Tokenizer(models.BPE())
        trainer = trainers.BpeTrainer(vocab_size=40, special_tokens=[END], show_progress=False)
        tokenizer.train_from_iterator(["abcd dcba abab cdcd badc bada cab dab aabb ccdd"] * 3, trainer)
        tokenizer.save(str(path))
        if every:
            all_merges(path)
        before = Tokenizer.from_file(str(path))
        rows = [before.encode(text).ids for text in texts]
        counts = np.bincount(np.concatenate(rows), minlength=before.get_vocab_size())
        found = compact_to_used(counts, 1, path)
        compact_tokenizer(found, path, smaller)
        after = Tokenizer.from_file(str(smaller))
        assert [after.encode(text).tokens for text in texts] == [before.encode(text).tokens for text in texts]
        assert [after.encode(text).ids for text in texts] == [found.new_ids[row].tolist() for row in rows]


def test_a_token_that_a_used_one_is_made_of_by_another_merge_than_its_first_stays(tmp_path: Path) -> None:
    tokens = [END, "a", "b", "c", "d", "ab", "abc", "cd", "bc"]
    merges = [("a", "b"), ("a", "bc"), ("ab", "c"), ("c", "d"), ("b", "c")]
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    tokenizer.add_special_tokens([END])
    path, smaller = tmp_path / "whole.json", tmp_path / "smaller.json"
    tokenizer.save(str(path))
    ids = [*tokenizer.encode("abcd").ids, *tokenizer.encode("cd").ids]
    compact_tokenizer(compact_to_used(np.bincount(ids, minlength=len(tokens)), 1, path), path, smaller)
    after = Tokenizer.from_file(str(smaller))
    assert tokenizer.encode("abcd").tokens == ["abc", "d"]
    assert after.encode("abcd").tokens == ["abc", "d"]


def test_letters_go_where_bytes_spell_them_and_what_stands_around_texts_keeps_its_place(
    tmp_path: Path,
) -> None:
    letters = ["▁", "a", "b", "é", "東", "ab", "▁ab"]
    tokens = [*(f"<0x{byte:02X}>" for byte in range(256)), *letters, "<unk>", "<s>", "</s>"]
    vocab = {token: number for number, token in enumerate(tokens)}
    model = models.BPE(vocab, [("a", "b"), ("▁", "ab")], unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    described = json.loads(tokenizer.to_str())
    around = {"type": "BertProcessing", "sep": ["</s>", vocab["</s>"]], "cls": ["<s>", vocab["<s>"]]}
    described["post_processor"] = {"type": "Sequence", "processors": [around]}
    path, smaller = tmp_path / "whole.json", tmp_path / "smaller.json"
    path.write_text(json.dumps(described))
    counts = np.bincount(Tokenizer.from_file(str(path)).encode("ab ab é").ids, minlength=len(tokens))
    compact_tokenizer(compact_to_used(counts, 1, path), path, smaller)
    after = Tokenizer.from_file(str(smaller))
    assert set(tokens) - after.get_vocab().keys() == {"東"}
    assert after.decode(after.encode("ab 東é", add_special_tokens=False).ids) == "ab 東é"
    around_one = ["<s>", "▁ab", "</s>"]
    assert after.encode("ab").tokens == around_one
    assert after.encode("ab").ids == [after.token_to_id(token) for token in around_one]


def test_a_tokenizer_that_cannot_be_made_smaller_is_named_before_anything_runs(tmp_path: Path) -> None:
    word_tokenizer(["the", "mill"]).save(str(tmp_path / "words.json"))
    for name in "ab":
        write_jsonl(tmp_path / f"{name}.jsonl", TEXTS[name])
    extra = '[tokens]\ntokenizer = "words.json"\nleast_uses = 1\n'
    corpus_config(tmp_path, {"a": "a.jsonl", "b": "b.jsonl"}, extra=extra)
    done = mashbill("check", "--config", tmp_path / "config.toml")
    assert done.returncode == 2
    assert (
        f"tokens.least_uses: {tmp_path}/words.json: is WordLevel, whose tokens are no merges" in done.stderr
    )


def test_left_at_0_it_is_no_part_of_what_a_result_is_known_by() -> None:
    assert "least_uses" not in TokensConfig().what_is_computed()
    assert TokensConfig(least_uses=1).what_is_computed()["least_uses"] == 1

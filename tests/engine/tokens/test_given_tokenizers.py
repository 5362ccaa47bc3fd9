"""Tokenizers that people give: what was saved with one is switched off, ids that it leaves out are kept, its
end of text is found or named, and what it does not know is counted."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from builders.corpus import corpus_config, run_stages, write_jsonl
from builders.tokenizers import END, byte_tokenizer, special, word_tokenizer, write_described
from mashbill.artifacts import Counts
from mashbill.documents import DocumentStore
from mashbill.errors import ConfigError, DataError
from mashbill.tokens import TokenStore, write_token_store
from mashbill.tokens.tokenizer import end_of_text_id, expected_vocabulary, load_tokenizer
from mashbill.tokens.vocabulary import vocabulary_size

TEXTS = {
    "a": [f"The mill beside the river, number {i}. " * 5 for i in range(40)],
    "b": [f"A boat on the lake, number {i}. " * 5 for i in range(40)],
}


def tokenized(
    folder: Path, tokenizer: Path, *, more: Sequence[str] = (), **settings: object
) -> tuple[TokenStore, Counts]:
    """The store of the texts, and of more in the first domain, by a tokenizer; and what was counted."""
    for name, texts in TEXTS.items():
        write_jsonl(folder / f"{name}.jsonl", [*texts, *(more if name == "a" else ())])
    config = corpus_config(folder, {name: f"{name}.jsonl" for name in TEXTS})
    ingested = run_stages(config, "ingest")["ingest"]
    output = folder / f"{tokenizer.stem}-tokens"
    output.mkdir()
    counts = write_token_store(
        DocumentStore.of(ingested).by_set(tuple(TEXTS)),
        {},
        config.tokens.model_copy(update={"validation_share": 0.2, **settings}),
        seed=0,
        output=output,
        progress=lambda *_: None,
        tokenizer_path=tokenizer,
    )
    return TokenStore(output), counts


def test_truncation_and_padding_saved_in_a_tokenizer_are_switched_off_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    byte_tokenizer().save(str(tmp_path / "plain.json"))
    saved = byte_tokenizer()
    saved.enable_truncation(64)
    saved.enable_padding(length=64)
    saved.save(str(tmp_path / "cut.json"))
    plain, _ = tokenized(tmp_path, tmp_path / "plain.json")
    assert not caplog.records
    cut, _ = tokenized(tmp_path, tmp_path / "cut.json")
    said = [record.message.partition(".json: ")[2] for record in caplog.records]
    assert said == [f"{what} was saved with it and is switched off" for what in ("truncation", "padding")]
    for name in TEXTS:
        assert cut.train_tokens(name)[:].tolist() == plain.train_tokens(name)[:].tolist()
    assert plain.train_amounts().sum() > 64 * 64
    kept = json.loads(cut.tokenizer_path.read_text())
    assert (kept["truncation"], kept["padding"]) == (None, None)


@pytest.mark.parametrize("where", ["added", "model", "both", "within"])
def test_ids_that_are_left_out_are_kept_and_every_size_is_the_largest_id_and_one(
    where: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = byte_tokenizer()
    words = json.loads(plain.to_str())["model"]["vocab"]
    far = words | {"mill": 700}
    path, largest, said = tmp_path / "gap.json", 1_000, special("<|im_end|>", 1_000)
    if where == "added":
        write_described(path, plain, said)
    elif where == "both":
        write_described(path, plain, said, vocab=far)
    elif where == "model":
        largest = 700
        write_described(path, plain, vocab=far)
    else:  # an added token among the model's ids, which the model does not list
        largest, said = 700, special("<|im_end|>", 600)
        write_described(path, plain, said, vocab=far)
    tokenizer = load_tokenizer(path)
    assert vocabulary_size(tokenizer) == tokenizer.get_vocab_size() == largest + 1
    for token in json.loads(path.read_text())["added_tokens"]:
        assert tokenizer.token_to_id(token["content"]) == token["id"]
        assert tokenizer.encode(token["content"]).ids == [token["id"]]
    for token, number in json.loads(path.read_text())["model"]["vocab"].items():
        assert tokenizer.token_to_id(token) == number
    assert "leaves out" in caplog.text
    caplog.clear()
    store, counts = tokenized(tmp_path, path)
    assert store.vocabulary == counts["vocabulary"] == largest + 1
    assert vocabulary_size(Tokenizer.from_file(str(store.tokenizer_path))) == store.vocabulary
    assert caplog.text.count("leaves out") == 1  # once, not once a set
    config = corpus_config(
        tmp_path, {n: f"{n}.jsonl" for n in TEXTS}, extra='[tokens]\ntokenizer = "gap.json"'
    )
    assert expected_vocabulary(config) == store.vocabulary


@pytest.mark.parametrize(
    "token, what",
    [
        (special("<a>", 5), "gives the id 5 to both"),
        (special("A", 900), "gives 'A' the id 900 and the id"),
        (special("<a>", 4_000_000_000), "a model would have as many embeddings"),
        (special("<a>", 1_000_000), "the id 1,000,000, and a model would have as many embeddings"),
    ],
)
def test_ids_that_no_model_can_have_are_refused(token: dict[str, object], what: str, tmp_path: Path) -> None:
    path = write_described(tmp_path / "odd.json", byte_tokenizer(), token)
    with pytest.raises(ConfigError, match=what):
        load_tokenizer(path)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"model": 3}', '{"model": {}}', '{"model": {"type": "BPE"}}', "{"]
)
def test_what_is_no_tokenizer_is_refused_in_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(ConfigError, match=r"t\.json: is not a tokenizer\.json") as caught:
        load_tokenizer(tmp_path / "t.json")
    assert "\n" not in str(caught.value)


def test_a_tokenizer_that_lacks_the_token_it_names_for_the_unknown_is_refused_where_it_can_meet_any(
    tmp_path: Path,
) -> None:
    plain = byte_tokenizer()
    whole = write_described(tmp_path / "whole.json", plain, unk_token="<unk>")
    assert vocabulary_size(load_tokenizer(whole)) == 257
    words = json.loads(plain.to_str())["model"]["vocab"]
    lacking = {token: number for token, number in words.items() if token != "Ã"}  # a byte of é
    path = write_described(tmp_path / "lacking.json", plain, vocab=lacking, unk_token="<unk>")
    with pytest.raises(ConfigError, match=r"lacking\.json: fails on text that it does not know \(.*<unk>"):
        load_tokenizer(path)


def test_a_folder_with_a_tokenizer_is_refused_with_what_to_give(tmp_path: Path) -> None:
    byte_tokenizer().save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ConfigError, match=r"is a folder, and cannot be read; give the tokenizer\.json in it"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(ConfigError, match="cannot be read"):
            load_tokenizer(path)


@pytest.mark.parametrize("end", ["<｜end▁of▁sentence｜>", "</s>", "<eos>", "[EOS]"])
def test_ends_of_text_that_people_have_are_known(end: str, tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(end, more=["<|im_end|>"])
    assert end_of_text_id(tokenizer, tmp_path) == 256


def test_an_end_of_text_can_be_named_and_is_then_no_text(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer("<|doc|>", more=["<|im_end|>"])
    tokenizer.save(str(tmp_path / "named.json"))
    with pytest.raises(ConfigError, match=r"name the token .* in tokens\.end_of_text; .*<\|doc\|>"):
        tokenized(tmp_path, tmp_path / "named.json")
    with pytest.raises(ConfigError, match=r"tokens\.end_of_text: '<doc>' is no token"):
        end_of_text_id(tokenizer, tmp_path, "<doc>")
    tokenizer.save(str(tmp_path / "given.json"))
    store, _ = tokenized(tmp_path, tmp_path / "given.json", end_of_text="<|doc|>")
    assert store.end_of_text == 256
    tokens = store.train_tokens("a")[:]
    assert np.count_nonzero(tokens == 256) == store.counts("a", "train")["documents"]
    both = byte_tokenizer(END, more=["<|doc|>"])
    assert end_of_text_id(both, None) == 256
    assert end_of_text_id(both, None, "<|doc|>") == 257  # the one that is named wins


def test_a_plain_token_that_ends_texts_becomes_special(tmp_path: Path) -> None:
    """So that a text that spells it is text, and the exported model's tokenizer has it."""
    plain = byte_tokenizer("<|other|>")
    words = json.loads(plain.to_str())["model"]["vocab"] | {"</s>": 257}
    path = write_described(tmp_path / "plain.json", plain, vocab=words)
    store, _ = tokenized(tmp_path, path)
    saved = json.loads(store.tokenizer_path.read_text())["added_tokens"]
    assert (257, "</s>", True) in [(t["id"], t["content"], t["special"]) for t in saved]
    assert store.end_of_text == 257


def test_unknown_words_are_counted_and_a_share_above_a_little_is_told_with_examples(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = sorted({word for texts in TEXTS.values() for text in texts for word in text.split()})
    lacking = [word for word in known if word not in {"river,", "mill"}]
    word_tokenizer(known).save(str(tmp_path / "all.json"))
    _, counts = tokenized(tmp_path, tmp_path / "all.json")
    assert (counts["unknown_tokens"], counts["unknown_share"]) == (0, 0.0)
    assert not caplog.records
    word_tokenizer(lacking).save(str(tmp_path / "some.json"))
    _, counts = tokenized(tmp_path, tmp_path / "some.json")
    words = sum(len(text.split()) for texts in TEXTS.values() for text in texts)
    missing = sum(text.count("river,") + text.count("mill") for text in TEXTS["a"])
    assert counts["unknown_tokens"] == missing == 400
    assert counts["unknown_share"] == pytest.approx(missing / words)
    (warning,) = [record.message for record in caplog.records]
    assert warning.startswith("domain a: the tokenizer does not know")
    assert "'mill', 'river,'" in warning


def test_a_little_that_is_unknown_is_counted_and_not_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = sorted({word for texts in TEXTS.values() for text in texts for word in text.split()})
    word_tokenizer(known).save(str(tmp_path / "all.json"))
    _, counts = tokenized(tmp_path, tmp_path / "all.json", more=["☕"])
    assert counts["unknown_tokens"] == 1
    assert not caplog.records


def test_a_tokenizer_that_knows_every_byte_counts_nothing_unknown(tmp_path: Path) -> None:
    byte_tokenizer().save(str(tmp_path / "bytes.json"))
    _, counts = tokenized(tmp_path, tmp_path / "bytes.json")
    assert not {"unknown_tokens", "unknown_share"} & counts.keys()


def test_a_tokenizer_that_drops_what_it_does_not_know_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    letters = sorted(set("".join(text for texts in TEXTS.values() for text in texts)) - {"☕"})
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    tokenizer.add_special_tokens([END])
    tokenizer.save(str(tmp_path / "letters.json"))
    tokenized(tmp_path, tmp_path / "letters.json")
    (warning,) = [record.message for record in caplog.records]
    assert "letters.json drops characters that it does not know" in warning


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"vocabulary": 3}', "\x00"])
def test_a_folder_of_other_things_is_no_store_of_shards(content: str, tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text(content)
    with pytest.raises(DataError, match=r"tokens\.json: is no index of shards .*; rerun tokenize"):
        TokenStore(tmp_path)


def test_shards_beside_half_a_tokenizer_are_refused(tmp_path: Path) -> None:
    byte_tokenizer().save(str(tmp_path / "t.json"))
    store, _ = tokenized(tmp_path, tmp_path / "t.json")
    store.tokenizer_path.write_text(store.tokenizer_path.read_text()[:500])
    with pytest.raises(DataError, match=r"tokenizer\.json: is not a tokenizer\.json"):
        TokenStore(store.folder)

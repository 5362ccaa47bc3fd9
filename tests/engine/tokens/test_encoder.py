"""The table of pieces gives the ids that the library gives, whatever the text."""

import random
import sys
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from mashbill.tokens import encoder as encoder_module
from mashbill.tokens.encoder import Encoder
from mashbill.tokens.pieces import gpt2_piece, gpt4_piece, kinds
from mashbill.tokens.split_patterns import GPT2, GPT4, QWEN, SplitPattern, split_pattern

SCRIPTS = (
    "All human beings are born free and equal in dignity and rights.",
    "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "人人生而自由，在尊严和权利上一律平等。",
    "すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.",
    "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
)
ENGLISH = SCRIPTS[0]


def by_pattern(pattern: str) -> Any:
    steps = [pre_tokenizers.Split(Regex(pattern), "isolated")]
    return pre_tokenizers.Sequence(
        [*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


PRE_TOKENIZERS: dict[str, Callable[[], Any]] = {
    "GPT-2": lambda: pre_tokenizers.ByteLevel(add_prefix_space=False),
    "GPT-2, spelt out": lambda: by_pattern(GPT2),
    "GPT-4": lambda: by_pattern(GPT4),
    "Qwen": lambda: by_pattern(QWEN),
}


@cache
def trained(name: str, normal: bool = False) -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = PRE_TOKENIZERS[name]()
    if normal:
        tokenizer.normalizer = normalizers.NFC()
    words = [text.lower() for text in SCRIPTS] + [f"{i} it's they'll I'D we've  \n\n\t x" for i in range(99)]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([*SCRIPTS, *words], trainer)
    tokenizer.encode_special_tokens = True
    return tokenizer


def by_library(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    return [one.ids for one in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def by_table(encoder: Encoder, texts: list[str]) -> list[list[int]]:
    encoded = encoder.encode(pa.array(texts, pa.large_string()))
    return [encoded.row(i).tolist() for i in range(len(texts))]


patterns = pytest.mark.parametrize("name", PRE_TOKENIZERS)
CHARACTERS = " \t\n\r\x0b\x0c\x1c\x85\u00a0\u2003\u2028\u3000'’sStTrReEvVmMlLdD09²Ⅷ٣aéßſİK字あ한ไ́̈_-.,!?<|>"
EDGES = st.sampled_from([*CHARACTERS, "\r\n", "  ", "'s", "'Ll", "'ſ"])
texts = st.lists(st.lists(EDGES | st.characters(codec="utf-8"), max_size=40).map("".join), max_size=6)


@patterns
@pytest.mark.parametrize("normal", [False, True])
def test_ids_are_the_librarys_at_every_edge_of_the_patterns(name: str, normal: bool) -> None:
    tokenizer = trained(name, normal)
    encoder = Encoder(tokenizer)
    assert not encoder.reason

    @settings(max_examples=400, deadline=None)
    @given(texts)
    def hold(given_texts: list[str]) -> None:
        assert by_table(encoder, given_texts) == by_library(tokenizer, given_texts)

    hold()


@patterns
def test_pieces_end_where_the_librarys_end(name: str) -> None:
    """Whether merges are known of them or not, as ids cannot tell where no token reaches over an end."""
    library, pattern = PRE_TOKENIZERS[name](), split_pattern(trained(name))
    assert isinstance(pattern, SplitPattern)
    drawn = random.Random(11)
    for _ in range(2_000):
        text = "".join(
            drawn.choices([*CHARACTERS, "\r\n", "  ", "'s", "'Ll", "'ſ", "\n\n  "], k=drawn.randrange(1, 9))
        )
        size, ends = len(text.encode()), [0]
        content = np.frombuffer(f"{text}{drawn.choice(FOLLOWING)}".encode(), np.uint8)  # another text's
        while ends[-1] < size:
            begun = (content, ends[-1], size, kinds())
            ends.append(gpt2_piece(*begun) if pattern.gpt2 else gpt4_piece(*begun, pattern.digits or 99))
        pieces = [piece for piece, _ in library.pre_tokenize_str(text)]  # a character a byte
        assert np.diff(ends).tolist() == [len(piece) for piece in pieces], text


FOLLOWING = ("\n\n", "a", " ", "'s", "1", "!")


@patterns
def test_ids_of_ten_scripts_are_the_librarys(name: str) -> None:
    tokenizer = trained(name)
    mixed = random.Random(5)
    many = [" ".join(mixed.choices(SCRIPTS, k=30))[mixed.randrange(9) :] for _ in range(40)]
    assert by_table(Encoder(tokenizer), [*SCRIPTS, *many]) == by_library(tokenizer, [*SCRIPTS, *many])


@patterns
def test_every_character_is_of_the_kind_that_the_library_takes_it_for(name: str) -> None:
    tokenizer = trained(name)
    known = [
        chr(point)
        for point in range(sys.maxunicode + 1)
        if unicodedata.category(chr(point)) not in ("Cs", "Cn")
    ]
    texts = ["".join(f"a{c}a1{c} {c}." for c in known[i : i + 500]) for i in range(0, len(known), 500)]
    assert by_table(Encoder(tokenizer), texts) == by_library(tokenizer, texts)


def test_a_token_that_was_added_and_what_unicode_does_not_know_go_to_the_library() -> None:
    tokenizer = Tokenizer.from_str(trained("GPT-4").to_str())
    tokenizer.add_tokens(["human beings", AddedToken("ZZ", lstrip=True)])
    tokenizer.encode_special_tokens = True
    encoder = Encoder(tokenizer)
    texts = [ENGLISH, "no such thing", "a ZZ b", "\U0001fae9 \u0378 new", "<|endoftext|> spelt out"]
    assert by_table(encoder, texts) == by_library(tokenizer, texts)
    assert tokenizer.token_to_id("human beings") in by_table(encoder, texts)[0]


@pytest.mark.parametrize("token", ["e\u0301t", "\u212b", "\u1112\u1161\u11ab"])
@pytest.mark.parametrize("normalized", [True, False])
def test_an_added_token_is_found_in_normal_text_as_the_library_finds_it(token: str, normalized: bool) -> None:
    tokenizer = Tokenizer.from_str(trained("GPT-2", normal=True).to_str())
    tokenizer.add_tokens([AddedToken(token, normalized=normalized)])
    texts = [f"a {unicodedata.normalize('NFC', token)} b", f"a {token} b", ENGLISH]
    assert by_table(Encoder(tokenizer), texts) == by_library(tokenizer, texts)
    number = tokenizer.get_vocab_size() - 1
    assert (number in by_table(Encoder(tokenizer), texts)[0]) is normalized


def test_added_tokens_are_found_whatever_characters_they_are_of() -> None:
    tokenizer = Tokenizer.from_str(trained("GPT-2").to_str())
    added = ["  ", "a.b", "(x|y)", "\\E", "\t\n", "\x00z", "自由", "[[", "^$"]
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in added])
    encoder = Encoder(tokenizer)
    texts = [f"before{token}after" for token in added] + ["acb x y E", ENGLISH]
    found = by_table(encoder, texts)
    assert found == by_library(tokenizer, texts)
    assert [tokenizer.token_to_id(token) in ids for token, ids in zip(added, found, strict=False)] == [
        True
    ] * len(added)


def test_where_more_added_tokens_are_looked_for_than_pays_the_library_encodes() -> None:
    tokenizer = Tokenizer.from_str(trained("GPT-2").to_str())
    tokenizer.add_tokens([f"<w{i}>" for i in range(300)])
    encoder = Encoder(tokenizer)
    assert encoder.reason == "texts are searched for 301 added tokens"
    assert by_table(encoder, ["a<w7>b"]) == by_library(tokenizer, ["a<w7>b"])


def test_a_piece_longer_than_is_kept_has_the_librarys_ids_and_so_has_what_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encoder_module, "LONGEST", 50)
    tokenizer = trained("GPT-4")
    encoder = Encoder(tokenizer)
    for texts in ([ENGLISH], ["x" * 51, ENGLISH], ["x" * 50 + " " + ENGLISH], [ENGLISH + "y" * 99]):
        assert by_table(encoder, texts) == by_library(tokenizer, texts)


@pytest.mark.parametrize("spelt", [True, False])
def test_special_tokens_in_text_are_text_where_the_tokenizer_says_so(spelt: bool) -> None:
    tokenizer = Tokenizer.from_str(trained("GPT-2").to_str())
    tokenizer.encode_special_tokens = spelt
    texts = ["before<|endoftext|>after"]
    ids = by_table(Encoder(tokenizer), texts)
    assert ids == by_library(tokenizer, texts)
    assert (tokenizer.token_to_id("<|endoftext|>") in ids[0]) is not spelt


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda t: setattr(t, "normalizer", normalizers.NFKC()), "its normalizer is NFKC"),
        (lambda t: setattr(t, "pre_tokenizer", pre_tokenizers.Whitespace()), "not byte-level"),
        (lambda t: setattr(t, "pre_tokenizer", pre_tokenizers.ByteLevel(add_prefix_space=True)), "a blank"),
        (lambda t: setattr(t, "pre_tokenizer", by_pattern(r"\w+|\W+")), "a pattern of its own"),
        (lambda t: setattr(t, "pre_tokenizer", pre_tokenizers.Sequence([])), "splits no text"),
        (lambda t: setattr(t, "model", models.BPE(dropout=0.1)), "at random"),
        (lambda t: setattr(t, "model", models.Unigram([("a", 0.0)], 0, False)), "Unigram"),
    ],
)
def test_what_a_table_cannot_stand_for_is_named_and_goes_to_the_library(
    change: Callable[[Any], None], reason: str
) -> None:
    tokenizer = Tokenizer.from_str(trained("GPT-2").to_str())
    change(tokenizer)
    encoder = Encoder(tokenizer)
    assert reason in encoder.reason
    if "at random" not in reason:
        assert by_table(encoder, list(SCRIPTS)) == by_library(tokenizer, list(SCRIPTS))


def test_tokenizers_in_use_are_known_by_their_patterns() -> None:
    found = {name: split_pattern(trained(name)) for name in PRE_TOKENIZERS}
    names = {name: one.name if isinstance(one, SplitPattern) else one for name, one in found.items()}
    assert names == {"GPT-2": "GPT-2", "GPT-2, spelt out": "GPT-2", "GPT-4": "GPT-4", "Qwen": "Qwen"}


def test_a_full_table_forgets_what_came_last_and_stays_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "SLOTS", 256)
    monkeypatch.setattr(encoder_module, "KEPT_BYTES", 3_000)
    monkeypatch.setattr(encoder_module, "IDS", 1_500)
    tokenizer = trained("GPT-4")
    encoder = Encoder(tokenizer)
    drawn = random.Random(3)
    for _ in range(200):
        words = [f"{drawn.choice(ENGLISH.split())}{drawn.randrange(500)}" for _ in range(20)]
        long = ["x" * drawn.randrange(10, 60) for _ in range(2)]
        texts = [" ".join(words), "".join(long), " ".join(long)]
        assert by_table(encoder, texts) == by_library(tokenizer, texts)
        assert encoder.table.pieces <= 128


def test_two_long_pieces_of_one_hash_are_told_apart() -> None:
    tokenizer = trained("GPT-2")
    encoder = Encoder(tokenizer)
    one, other = "a" * 40, "b" * 40
    by_table(encoder, [one])
    table = encoder.table
    table.kept[: len(one)] = np.frombuffer(other.encode(), np.uint8)  # as if another had this hash
    assert by_table(encoder, [one]) == by_library(tokenizer, [one])


def test_a_piece_is_learnt_once_however_long_it_is() -> None:
    tokenizer = trained("GPT-2")
    encoder = Encoder(tokenizer)
    words = [chr(97 + i) * size for i, size in enumerate((1, 7, 8, 9, 15, 16, 17, 40, 300))]
    by_table(encoder, words)
    assert encoder.table.pieces == len(words)
    assert by_table(encoder, [*words, "".join(words[-1:] * 2)]) == by_library(
        tokenizer, [*words, "".join(words[-1:] * 2)]
    )
    assert encoder.table.pieces == len(words) + 1


def test_a_table_with_few_pieces_is_kept_however_long_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their bytes lie elsewhere, and take no place of other pieces."""
    monkeypatch.setattr(encoder_module, "SLOTS", 64)
    encoder = Encoder(trained("GPT-2"))
    words = [chr(97 + i) * 90 for i in range(6)]
    for word in words:
        by_table(encoder, [word])
    assert encoder.table.pieces == len(words)
    assert by_table(encoder, words) == by_library(trained("GPT-2"), words)


def test_a_table_that_has_many_ids_forgets_half_of_its_pieces_and_never_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encoder_module, "SLOTS", 1_024)
    monkeypatch.setattr(encoder_module, "IDS", 200)
    tokenizer = trained("GPT-2")
    encoder = Encoder(tokenizer)
    first, drawn = encoder.table, random.Random(8)
    for _ in range(60):
        word = "".join(drawn.choices("qxzjk", k=14))
        assert by_table(encoder, [word]) == by_library(tokenizer, [word])
        assert encoder.table is first


def test_long_pieces_that_a_full_table_keeps_are_not_learnt_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "SLOTS", 64)
    tokenizer = trained("GPT-2")
    encoder = Encoder(tokenizer)
    words = [
        a + b + a + b
        for a in ("rights", "dignity", "human", "beings")
        for b in ("equal", "born", "free", "and")
    ]
    for word in [*words, "all" * 30]:
        by_table(encoder, [word])
    kept = len(words) // 2
    assert encoder.table.pieces == kept + 1
    assert by_table(encoder, words[:kept]) == by_library(tokenizer, words[:kept])
    assert encoder.table.pieces == kept + 1


@pytest.mark.parametrize("name", ["GPT-4", "Qwen"])
def test_a_long_s_ends_a_contraction_as_another_s_does(name: str) -> None:
    """The letters that follow are a piece of their own, of which merges are known."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = PRE_TOKENIZERS[name]()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["ſo ſo 'ſo ſe'ſ"] * 9, trainer)
    texts = ["'ſo", "it'ſo", "Å'ſo ſo", "ſ'ſo", "'ſ", "é'ſ", "'ſſo", "'so", "'\u017eo"]
    assert by_table(Encoder(tokenizer), texts) == by_library(tokenizer, texts)


def test_nothing_and_empty_texts_have_no_ids() -> None:
    encoder = Encoder(trained("GPT-2"))
    assert by_table(encoder, []) == []
    assert by_table(encoder, ["", "a", ""]) == by_library(trained("GPT-2"), ["", "a", ""])

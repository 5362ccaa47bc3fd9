"""References and evaluation sets are never trained on: what repeats them is kept out, unless allowed."""

import json
import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from builders.corpus import corpus_config, documents, removals, run_stages, table, write_jsonl
from mashbill.artifacts import Artifact
from mashbill.documents import DUPLICATES, DocumentStore
from mashbill.errors import ConfigError, DataError
from mashbill.tokens import TokenStore

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "l", "r", "t", "mo", "w")]
RUN = 13


def words(generator: random.Random, count: int) -> list[str]:
    return generator.choices(WORDS, k=count)


def runs_of(texts: list[str]) -> set[tuple[str, ...]]:
    """Every run of 13 words, counted here and not by the engine."""
    split = [text.split() for text in texts]
    return {tuple(text[i : i + RUN]) for text in split for i in range(len(text) - RUN + 1)}


def planted(target: list[str], generator: random.Random) -> dict[str, str]:
    """A text of a set as it is, with three words changed, and a passage of 13 words in a longer text."""
    changed = target[1].split()
    for place in (40, 90, 140):
        changed[place] = "changed"
    passage = target[2].split()[20 : 20 + RUN]
    around = words(generator, 200)
    return {
        "exact": target[0],
        "near": " ".join(changed),
        "passage": " ".join([*around[:70], *passage, *around[70:]]),
    }


SETTINGS = """
[bootstrap]
models = 0
[quality]
positives = ["b"]
sample_documents = 60
dimension = 4
buckets = 1_000
[selection]
keep_share = 1.0
min_documents = 1
[tokens]
vocabulary = 400
training_bytes = 50_000
validation_share = 0.1
"""


class Corpus:
    """Two domains of unlike text, into one of which texts of a reference and of a quiz are planted."""

    def __init__(self, folder: Path) -> None:
        generator = random.Random(0)
        self.folder = folder
        names = ("a", "b", "r", "quiz")
        sets = {name: [" ".join(words(generator, 200)) for _ in range(40)] for name in names}
        self.plants = {name: planted(sets[name], generator) for name in ("r", "quiz")}
        self.own, self.sets = sets["a"], sets
        for name, texts in sets.items():
            write_jsonl(folder / f"{name}.jsonl", texts)
        plants = [text for kinds in self.plants.values() for text in kinds.values()]
        write_jsonl(folder / "a.jsonl", [*self.own, *plants])

    def run(self, last: str, corpus: str = "", extra: str = SETTINGS) -> dict[str, Artifact]:
        sources = {name: f'{name}.jsonl, id_field = "id"' for name in ("a", "b")}
        quiz = f'evaluations = [{{ name = "quiz", sources = [{{ path = "quiz.jsonl" }}] }}]\n{corpus}\n'
        return run_stages(corpus_config(self.folder, sources, {"r": "r.jsonl"}, quiz + extra), last)

    def left(self, done: dict[str, Artifact], stage: str = "deduplicate") -> set[str]:
        """Plants that are still there, as ``set kind``."""
        texts = {row["text"] for row in documents(done[stage], "a")}
        return {
            f"{name} {kind}"
            for name, plants in self.plants.items()
            for kind, text in plants.items()
            if text in texts
        }


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path)


ALL = {f"{name} {kind}" for name in ("r", "quiz") for kind in ("exact", "near", "passage")}


def training_text(done: dict[str, Artifact], domain: str) -> str:
    store = TokenStore(done["tokenize"].path)
    tokenizer = Tokenizer.from_file(str(store.tokenizer_path))
    decoded: str = tokenizer.decode(store.train_tokens(domain)[:].tolist(), skip_special_tokens=False)
    return decoded.replace("<|endoftext|>", "\n")


def test_nothing_of_a_held_out_set_enters_the_training_tokens(corpus: Corpus) -> None:
    done = corpus.run("tokenize")
    text = training_text(done, "a")
    read = runs_of(text.split("\n"))
    assert not read & runs_of([*corpus.sets["r"], *corpus.sets["quiz"]])
    assert len(read & runs_of(corpus.own)) > 0.5 * len(runs_of(corpus.own)), "the domain's own text is there"
    assert corpus.left(done) == set()
    kept = {row["text"] for row in documents(done["deduplicate"], "a")}
    assert kept == set(corpus.own), "and nothing else was lost"


def test_it_is_counted_by_domain_and_reason(corpus: Corpus) -> None:
    done = corpus.run("deduplicate")
    counts = done["filter"].manifest.counts
    assert counts["removed_by_domain"] == {"a": {"passage_of_r": 3, "passage_of_quiz": 3}}
    assert counts["documents_in"] == counts["documents_out"] + 6
    rows = table(done["filter"], "statistics.parquet")
    assert ("a", "passage_of_r", 3) in [
        (row["domain"], row["reason"], row["value"]) for row in rows if row["measure"] == "removed"
    ]
    facts = json.loads((done["filter"].path / "filters.json").read_text())
    assert facts["reasons"] == {"passage_of_r": 3, "passage_of_quiz": 3}
    assert len(facts["samples"]["passage_of_r"]) == 3


@pytest.mark.parametrize(
    "allowed, left",
    [
        ('["r"]', {plant for plant in ALL if plant.startswith("r")}),
        ('["q*"]', {plant for plant in ALL if plant.startswith("quiz")}),
        ('["*"]', ALL),
    ],
)
def test_sets_that_may_be_repeated_are(corpus: Corpus, allowed: str, left: set[str]) -> None:
    assert corpus.left(corpus.run("deduplicate", f"may_repeat = {allowed}")) == left


def test_an_allowed_reference_is_trained_on(corpus: Corpus) -> None:
    text = training_text(corpus.run("tokenize", 'may_repeat = ["r"]'), "a")
    assert runs_of(text.split("\n")) & runs_of(corpus.sets["r"])


NO_PASSAGES = "[filters.decontamination]\nmax_shared_ngrams = 100_000\n"


def test_equal_and_near_texts_are_found_where_passages_are_not_looked_for(corpus: Corpus) -> None:
    done = corpus.run("deduplicate", extra=NO_PASSAGES)
    assert corpus.left(done) == {"r passage", "quiz passage"}
    counts = done["deduplicate"].manifest.counts
    expected = {"exact_of_r": 1, "near_of_r": 1, "exact_of_quiz": 1, "near_of_quiz": 1}
    assert counts["removed_by_domain"] == {"a": expected}
    assert counts["documents_in"] == counts["documents_out"] + 4
    rows = DocumentStore.of(done["deduplicate"]).read("a", kind=DUPLICATES).to_pylist()
    first = next(row for row in rows if row["id"] == "a-40")
    assert (first["reason"], first["kept_domain"]) == ("exact_of_r", "r")


def test_equal_texts_are_found_where_deduplication_is_off_and_other_duplicates_stay(corpus: Corpus) -> None:
    twice = [*corpus.own, corpus.own[0], *(plants["exact"] for plants in corpus.plants.values())]
    write_jsonl(corpus.folder / "a.jsonl", twice)
    off = "[deduplication]\nexact = false\nnear = false\n"
    done = corpus.run("deduplicate", extra=NO_PASSAGES + off)
    assert [row["text"] for row in documents(done["deduplicate"], "a")] == [*corpus.own, corpus.own[0]]


def test_texts_without_blanks_are_found_by_their_characters(corpus: Corpus) -> None:
    """In scripts without blanks a character is a word, for a run of words as for MinHash."""
    generator = random.Random(1)
    signs = [chr(point) for point in range(0x4E00, 0x4F00)]
    text = "".join(generator.choices(signs, k=300))
    write_jsonl(corpus.folder / "r.jsonl", [text, "Yes."])
    write_jsonl(corpus.folder / "a.jsonl", [*corpus.own, f"{text[:100]}\u597d{text[101:]}", "Yes.", "No."])
    done = corpus.run("deduplicate", extra="")
    assert documents(done["deduplicate"], "a")[-1]["text"] == "No."
    assert done["filter"].manifest.counts["removed"] == {"passage_of_r": 1}
    assert done["deduplicate"].manifest.counts["removed"] == {"exact_of_r": 1}


@pytest.mark.parametrize(
    "filters",
    [
        '[filters]\napply = ["length"]\ndry_run = true\n[filters.length]\nmin_characters = 10_000',
        '[filters]\napply = ["length"]\ndomains = ["b"]',
        '[filters]\napply = ["decontamination"]\n[filters.decontamination]\nsets = ["quiz"]',
        '[filters]\napply = ["decontamination"]\ndomains = ["b"]',
        '[filters]\napply = ["decontamination"]\ndry_run = true',
    ],
    ids=["dry run", "another domain", "one set named", "named for another domain", "named in a dry run"],
)
def test_filters_do_not_open_a_way_around(corpus: Corpus, filters: str) -> None:
    done = corpus.run("deduplicate", extra=filters)
    assert corpus.left(done, "filter") == set()
    counts = done["filter"].manifest.counts
    assert counts["documents_in"] - counts["documents_out"] == 6 == sum(counts["removed"].values())
    if "length" in filters and "dry" in filters:
        assert counts["would_remove"] == {"too_short": 86}


def test_a_filter_by_name_removes_in_its_place_and_names_the_set(corpus: Corpus) -> None:
    done = corpus.run("filter", extra='[filters]\napply = ["decontamination"]\n')
    assert {row["reason"] for row in removals(done["filter"])} == {"contains_r", "contains_quiz"}
    assert done["filter"].manifest.counts["removed"] == {"contains_r": 3, "contains_quiz": 3}


def test_a_domain_that_is_the_reference_is_an_error_with_its_mend(corpus: Corpus) -> None:
    write_jsonl(corpus.folder / "a.jsonl", corpus.sets["r"])
    mend = r"domain a: loses every document .*passage_of_r 40.*corpus\.may_repeat"
    with pytest.raises(DataError, match=mend):
        corpus.run("deduplicate")
    mend = r"domain a: repeats other text entirely.*exact_of_r 40.*corpus\.may_repeat"
    with pytest.raises(DataError, match=mend):
        corpus.run("deduplicate", extra=NO_PASSAGES)
    assert corpus.run("deduplicate", 'may_repeat = ["r"]', "")["deduplicate"]


def test_a_set_that_there_is_not_cannot_be_allowed(corpus: Corpus) -> None:
    with pytest.raises(ConfigError, match=r"may_repeat names 'x\*', which matches no .*known: r, quiz"):
        corpus.run("ingest", 'may_repeat = ["x*"]')

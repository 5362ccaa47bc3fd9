"""Tasks put to models whose answers are known: by tables that are added up by hand, and by logits of
transformers scored here."""

import json
import math
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM

from builders.known_models import WORDS, bigram_table, save_bigram_model, words_tokenizer
from builders.tasks import CHOICES, COMPLETION, CONTEXTS, write_task
from builders.tokenizers import byte_tokenizer
from mashbill.config import EvaluationConfig, ModelShape
from mashbill.errors import ConfigError, RunError
from mashbill.evaluation.asking import Asked, ask
from mashbill.evaluation.record import TaskScores, told_of
from mashbill.evaluation.scores import ExampleValues, differences, summed_up
from mashbill.models.huggingface import save_model
from mashbill.models.transformer import Transformer

TABLE = bigram_table(5)
CONTEXT = 64
TEXTS = [
    ("The cat sat on the", ["mat", "roof of the house", "sky"], 0),
    ("Water boils when it is", ["hot", "cold", "far away from here"], 0),
    ("Two and two are", ["five", "four", "twenty two", "none"], 1),
    ("Der Hund läuft über die", ["Straße", "Möhre ☕"], 1),
    ("Once upon a time there", ["was", "were no more than"], 1),
]


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that predicts a letter by the one before."""
    folder = tmp_path_factory.mktemp("letters")
    return save_bigram_model(folder / "model", TABLE, 16, words_tokenizer(folder))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformer of random weights that reads bytes."""
    folder = tmp_path_factory.mktemp("reader")
    tokenizer = byte_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    shape = ModelShape(layers=2, width=32, heads=4, kv_heads=2, feed_forward=48, context=CONTEXT)
    model = Transformer(shape, tokenizer.get_vocab_size(), seed=3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3.0)  # far from even, so that no two choices are nearly alike
    save_model(model, folder / "model", folder / "tokenizer.json", end_of_text=256)
    return folder / "model"


def asked(folder: Path, model: Path, *tasks: str, seed: int = 0, **settings: object) -> list[TaskScores]:
    """The scores of a model on tasks of a folder."""
    config = EvaluationConfig(tasks=tasks, tasks_path=str(folder), **settings)  # type: ignore[arg-type]
    scratch = folder / f"scratch-{model.parent.name}-{len(list(folder.glob('scratch*')))}"
    return ask(model, Asked.of(config, folder, seed), scratch, progress=lambda *_: None)


def letters_nats(before: str, text: str) -> float:
    """The letters model's nats of letters after a letter."""
    ids = [WORDS[letter] for letter in before[-1] + text]
    return float(-np.log(TABLE[ids[:-1], ids[1:]]).sum())


def bytes_nats(model: Path, question: str, answer: str) -> float:
    """A byte model's nats of an answer after a question, from transformers' logits."""
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    ids = byte_tokenizer().encode(question + answer).ids
    with torch.no_grad():
        logits = loaded(torch.tensor([ids])).logits[0].log_softmax(-1)
    start = len(question.encode())
    return -sum(float(logits[i - 1, ids[i]]) for i in range(start, len(ids)))


def test_choices_are_scored_as_the_models_table_says(letters: Path, tmp_path: Path) -> None:
    rows = [
        {"context": context, "choices": choices, "gold": gold}
        for context, choices, gold in [
            ("ca", ["c", "dd", "bcd"], 0),
            ("dc", ["a", "éd"], 1),
            ("b", ["☕", "c", "d"], 2),
            ("cd", ["cc", "a"], 1),
        ]
    ]
    write_task(tmp_path, "letters", rows)
    (found,) = asked(tmp_path, letters, "letters")
    right, normalised, bits = [], [], []
    for row in rows:
        nats = [letters_nats(str(row["context"]), one) for one in row["choices"]]
        by_length = [one / len(text) for one, text in zip(nats, row["choices"], strict=True)]
        gold = row["gold"]
        right.append(float(nats.index(min(nats)) == gold))
        normalised.append(float(by_length.index(min(by_length)) == gold))
        bits.append(nats[gold] / math.log(2) / len(row["choices"][gold].encode()))
    assert 0 < sum(right) < len(rows)
    assert found.values["accuracy"] == tuple(right)
    assert found.values["accuracy_normalised"] == tuple(normalised)
    assert found.values["bits_per_byte"] == pytest.approx(bits, rel=1e-4)
    accuracy = found.result.measures["accuracy"]
    assert accuracy.mean == pytest.approx(statistics.mean(right))
    assert accuracy.error == pytest.approx(statistics.stdev(right) / len(rows) ** 0.5)
    assert found.result.chance == pytest.approx((1 / 3 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert (found.result.examples, found.result.of, found.result.cut, found.result.left_out) == (4, 4, 0, 0)


@pytest.mark.parametrize("batch", [None, 1, 3])
def test_accuracy_is_that_of_transformers_logits_scored_by_hand(
    reader: Path, tmp_path: Path, batch: int | None
) -> None:
    rows = [{"context": q, "choices": answers, "gold": gold} for q, answers, gold in TEXTS]
    write_task(tmp_path, "texts", rows, target_delimiter=" ")
    (found,) = asked(tmp_path, reader, "texts", batch_size=batch)
    right, normalised, bits = [], [], []
    for question, answers, gold in TEXTS:
        nats = [bytes_nats(reader, question, f" {one}") for one in answers]
        right.append(float(int(np.argmin(nats)) == gold))
        by_length = [n / len(answer) for n, answer in zip(nats, answers, strict=True)]
        normalised.append(float(int(np.argmin(by_length)) == gold))
        bits.append(nats[gold] / math.log(2) / len(f" {answers[gold]}".encode()))
    assert found.values["accuracy"] == tuple(right)
    assert found.values["accuracy_normalised"] == tuple(normalised)
    assert found.values["bits_per_byte"] == pytest.approx(bits, rel=1e-4)


def test_a_tokenizer_that_begins_texts_with_a_token_is_read_as_in_training(
    reader: Path, tmp_path: Path
) -> None:
    rows = [{"context": q, "choices": answers, "gold": gold} for q, answers, gold in TEXTS]
    write_task(tmp_path, "texts", rows)
    model = shutil.copytree(reader, tmp_path / "begins" / "model")
    tokenizer = byte_tokenizer()
    start = [("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))]
    tokenizer.post_processor = TemplateProcessing(single="<|endoftext|> $A", special_tokens=start)
    tokenizer.save(str(model / "tokenizer.json"))
    assert tokenizer.encode("a").ids[0] == start[0][1]
    (with_it,), (without,) = asked(tmp_path, model, "texts"), asked(tmp_path, reader, "texts")
    assert with_it == without


def test_of_several_right_answers_any_will_do(letters: Path, tmp_path: Path) -> None:
    rows = [{"context": "c", "choices": ["a", "d", "c"], "gold": [i, (i + 1) % 3]} for i in range(3)]
    write_task(tmp_path, "several", rows)
    (found,) = asked(tmp_path, letters, "several")
    nats = [letters_nats("c", one) for one in "adc"]
    right = [float(int(np.argmin(nats)) in row["gold"]) for row in rows]
    assert sorted(right) == [0.0, 1.0, 1.0]
    assert found.values["accuracy"] == tuple(right)
    bits = [min(nats[i] for i in row["gold"]) / math.log(2) for row in rows]
    assert found.values["bits_per_byte"] == pytest.approx(bits, rel=1e-4)
    assert found.result.chance == pytest.approx(2 / 3)


def test_one_ending_is_scored_after_several_beginnings(letters: Path, tmp_path: Path) -> None:
    rows = [
        {"contexts": ["ca", "cb"], "completion": "cd", "gold": 0},
        {"contexts": ["a", "bd"], "completion": "éc", "gold": 1},
    ]
    write_task(tmp_path, "beginnings", rows, CONTEXTS)
    (found,) = asked(tmp_path, letters, "beginnings")
    nats = [[letters_nats(str(c), str(row["completion"])) for c in row["contexts"]] for row in rows]
    golds = [row["gold"] for row in rows]
    assert found.values["accuracy"] == tuple(
        float(int(np.argmin(n)) == g) for n, g in zip(nats, golds, strict=True)
    )
    sizes = [len(str(row["completion"]).encode()) for row in rows]
    bits = [n[int(g)] / math.log(2) / size for n, g, size in zip(nats, golds, sizes, strict=True)]
    assert found.values["bits_per_byte"] == pytest.approx(bits, rel=1e-4)


def test_a_completion_is_right_where_each_token_is_the_likeliest(letters: Path, tmp_path: Path) -> None:
    likeliest = [list(WORDS)[i] for i in TABLE.argmax(axis=1)]
    after = {letter: likeliest[WORDS[letter]] for letter in ("a", "b", "c", "d", "é", "☕")}
    plain = [(one, then) for one, then in after.items() if then in after]
    other = next(letter for letter in after if letter != after["c"] and letter != "b")
    rows = [{"context": f"c{one}", "completion": then} for one, then in plain if f"{one}{then}" != "ab"] + [
        {"context": "c", "completion": other}
    ]
    write_task(tmp_path, "completion", rows, COMPLETION)
    (found,) = asked(tmp_path, letters, "completion")
    assert found.values["accuracy"] == (1.0,) * (len(rows) - 1) + (0.0,)
    bits = [letters_nats(r["context"], r["completion"]) / math.log(2) for r in rows]
    sizes = [len(row["completion"].encode()) for row in rows]
    assert found.values["bits_per_byte"] == pytest.approx(np.divide(bits, sizes).tolist(), rel=1e-4)
    assert found.result.chance is None


def test_a_whole_text_has_its_bits_per_byte(letters: Path, tmp_path: Path) -> None:
    texts = ["acbd", "ddcé" * 9]  # the second is longer than the context of 16
    form = {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "text"}
    metrics = [{"metric": "bits_per_byte", "aggregation": "bits_per_byte", "higher_is_better": False}]
    write_task(tmp_path, "texts", [{"text": one} for one in texts], form, metric_list=metrics)
    (found,) = asked(tmp_path, letters, "texts")
    nats = []
    for text in texts:
        ids = [0, *(WORDS[letter] for letter in text)]
        nats.append(float(-np.log(TABLE[ids[:-1], ids[1:]]).sum()))
    bits = [n / math.log(2) / len(text.encode()) for n, text in zip(nats, texts, strict=True)]
    assert found.values["bits_per_byte"] == pytest.approx(bits, rel=1e-4)
    assert found.result.examples == 2


def test_what_a_model_writes_is_compared_with_the_answer(letters: Path, tmp_path: Path) -> None:
    likeliest = list(WORDS)[int(TABLE[WORDS["c"]].argmax())]
    rows = [{"context": "c", "answer": likeliest}, {"context": "c", "answer": "no"}]
    form = {"output_type": "generate_until", "doc_to_text": "context", "doc_to_target": "answer"}
    metrics = [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}]
    until = {"until": ["<never>"], "max_gen_toks": 1, "do_sample": False}
    write_task(tmp_path, "writes", rows, form, metric_list=metrics, generation_kwargs=until)
    (found,) = asked(tmp_path, letters, "writes")
    assert found.values["exact_match"] == (1.0, 0.0)


def test_shots_are_the_other_examples_before_the_question(reader: Path, tmp_path: Path) -> None:
    rows = [{"context": "One, two", "choices": ["three", "six"], "gold": 0}]
    rows.append({"context": "Red or", "choices": ["blue", "tree"], "gold": 1})
    write_task(tmp_path, "two", rows, target_delimiter=" ")
    (found,) = asked(tmp_path, reader, "two", task_shots=1)
    assert found.result.shots == 1
    prompts = ["Red or tree\n\nOne, two", "One, two three\n\nRed or"]
    answers = [" three", " tree"]
    bits = [
        bytes_nats(reader, prompt, answer) / math.log(2) / len(answer)
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    assert found.values["bits_per_byte"] == pytest.approx(bits, rel=1e-4)
    with pytest.raises(ConfigError, match=r"evaluation.task_shots: is 2, and two has 2 examples; lower it"):
        asked(tmp_path, reader, "two", task_shots=2)


def test_prompts_that_do_not_fit_lose_their_beginning_and_are_counted(reader: Path, tmp_path: Path) -> None:
    long = "x" * 20 + "The answer is" * 5
    fits = "x" * (CONTEXT + 1 - len("yes"))
    rows = [
        {"context": fits, "choices": ["yes", "no"], "gold": 0},
        {"context": long, "choices": ["yes", "no"], "gold": 0},
        {"context": "Short:", "choices": ["y" * (CONTEXT + 1), "no"], "gold": 1},
        {"context": f"x{fits}", "choices": ["yes", "no"], "gold": 0},
    ]
    write_task(tmp_path, "long", rows)
    (found,) = asked(tmp_path, reader, "long")
    result = found.result
    assert (result.examples, result.cut, result.left_out) == (3, 3, 1)
    assert found.examples == (0, 1, 3)
    kept = (long + "yes")[-(CONTEXT + 1) :]
    bits = bytes_nats(reader, kept[:-3], "yes") / math.log(2) / 3
    assert found.values["bits_per_byte"][1] == pytest.approx(bits, rel=1e-4)
    cut, left = told_of([found.result])
    assert cut == ("long: 3 of 4 prompts are longer than the model's context and lost their beginning")
    assert left.startswith("long: 1 examples are not scored")


def test_examples_are_a_function_of_the_seed_and_the_task_alone(letters: Path, tmp_path: Path) -> None:
    rows = [{"context": "c", "choices": ["c", "d"], "gold": i % 2} for i in range(40)]
    for name in ("one", "other"):
        write_task(tmp_path, name, rows)
    first = asked(tmp_path, letters, "one", "other", task_examples=7)
    again = asked(tmp_path, letters, "other", task_examples=7)
    assert [len(one.examples) for one in first] == [7, 7]
    assert first[1] == again[0]
    assert first[0].examples != first[1].examples
    assert list(first[0].examples) == sorted(first[0].examples)
    assert asked(tmp_path, letters, "one", task_examples=7, seed=1)[0].examples != first[0].examples
    assert first[0].result.of == 40
    gold = [float(rows[i]["gold"]) for i in first[0].examples]
    likelier = float(TABLE[WORDS["c"], WORDS["d"]] > TABLE[WORDS["c"], WORDS["c"]])
    assert first[0].values["accuracy"] == tuple(float(one == likelier) for one in gold)


def test_differences_are_of_the_same_examples_and_have_their_own_error() -> None:
    def scores(examples: Sequence[int], values: Sequence[float]) -> TaskScores:
        rows = [ExampleValues(i, {"m": v}, None, False) for i, v in zip(examples, values, strict=True)]
        return summed_up("task", "loglikelihood", rows, of=9, shots=0)

    tasks = {
        "natural": [scores([0, 1, 2, 4], [1.0, 2.0, 3.0, 9.0])],
        "chosen": [scores([1, 2, 3, 4], [2.5, 2.0, 7.0, 8.5])],
    }
    (found,) = differences(tasks, "natural")
    gaps = [0.5, -1.0, -0.5]  # of 1, 2 and 4, which have other places in each
    assert (found.task, found.measure, found.model, found.beside) == ("task", "m", "chosen", "natural")
    assert found.difference.mean == pytest.approx(statistics.mean(gaps))
    assert found.difference.error == pytest.approx(statistics.stdev(gaps) / 3**0.5)
    assert not list(differences({"chosen": tasks["chosen"]}, "natural"))


def test_what_was_asked_before_a_kill_is_not_asked_again(letters: Path, tmp_path: Path) -> None:
    rows = [
        {"context": "c", "choices": ["c", "d"], "gold": 0},
        {"context": "d", "choices": ["a", "b"], "gold": 1},
    ]
    for name in ("first", "second"):
        write_task(tmp_path, name, rows)
    config = EvaluationConfig(tasks=("first", "second"), tasks_path=str(tmp_path))
    wanted, scratch, said = Asked.of(config, tmp_path, 0), tmp_path / "scratch", []

    def killed(share: float, words: str) -> None:
        said.append(words)
        if words.startswith("second"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(letters, wanted, scratch, progress=killed)
    assert said[0].startswith("first")
    said.clear()
    shares = []

    def told(share: float, words: str) -> None:
        said.append(words)
        shares.append(share)

    resumed = ask(letters, wanted, scratch, progress=told)
    assert said
    assert all(words.startswith("second") for words in said)
    assert shares == sorted(shares)
    assert all(0.5 < share <= 1 for share in shares)  # one of two tasks was done
    assert resumed == ask(letters, wanted, tmp_path / "anew", progress=lambda *_: None)


def test_tasks_of_the_hub_are_read_where_the_harness_finds_them(
    letters: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "allenai" / "sciq"
    folder.mkdir(parents=True)
    row = {
        "question": "c",
        "distractor1": "a",
        "distractor2": "b",
        "distractor3": "c",
        "correct_answer": "d",
        "support": "b",
    }
    for split in ("train", "validation", "test"):
        (folder / f"{split}.jsonl").write_text(f"{json.dumps(row)}\n" * 3)
    monkeypatch.chdir(tmp_path)  # where the library that reads the hub looks first
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    config = EvaluationConfig(tasks=("hub:sciq",))
    (found,) = ask(letters, Asked.of(config, None, 0), tmp_path / "scratch", progress=lambda *_: None)
    assert found.result.task == "hub:sciq"
    assert found.result.examples == 3
    assert found.result.measures["accuracy"].error == 0.0


def test_a_task_of_the_hub_that_cannot_be_reached_is_told(
    letters: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    config = EvaluationConfig(tasks=("hub:sciq",))
    with pytest.raises(RunError, match=r"hub:sciq: cannot be read from the hub .*; see to the network"):
        ask(letters, Asked.of(config, None, 0), tmp_path / "scratch", progress=lambda *_: None)


def test_without_the_harness_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_task(tmp_path, "letters", [{"context": "c", "choices": ["c", "d"], "gold": 0}], CHOICES)
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    config = EvaluationConfig(tasks=("letters",), tasks_path=str(tmp_path))
    with pytest.raises(ConfigError, match=r"lm_eval is not installed; pip install '.*\[evaluate\]'"):
        Asked.of(config, tmp_path, 0)

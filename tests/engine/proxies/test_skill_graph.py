"""Skill-It's graph: an edge where one domain teaches another, and none where it does not."""

import random
from pathlib import Path

import numpy as np

from builders.corpus import corpus_config, run_stage, run_stages, write_jsonl
from mashbill.config import BaselinesConfig, PipelineConfig
from mashbill.proxies.methods.skill_graph import approximate_graph, learn_skill_graph, pair_graph
from mashbill.tokens import TokenStore

SETTINGS = """
[deduplication]
near = false
[tokens]
vocabulary = 300
validation_share = 0.3
[proxy]
model = { layers = 1, width = 64, heads = 2, kv_heads = 2, feed_forward = 128, context = 32 }
learning_rate = 4e-3
"""
LESSON, EXAM, NUMBERS = range(3)


def lesson_and_exam(folder: Path) -> tuple[PipelineConfig, TokenStore]:
    """A rule in a hundred documents, the same rule in two that a proxy soon knows by heart, and numbers
    without any."""
    generator, words = (
        random.Random(0),
        [f"{a}{b}" for a in "bcdfgklm" for b in ("an", "el", "or", "ut", "im")],
    )
    follows = dict(zip(words, generator.sample(words, len(words)), strict=True))
    rules = [
        " ".join(f"{word} {follows[word]}" for word in generator.choices(words, k=40)) for _ in range(103)
    ]
    write_jsonl(folder / "lesson.jsonl", rules[:100])
    write_jsonl(folder / "exam.jsonl", rules[100:])
    write_jsonl(
        folder / "numbers.jsonl",
        [" ".join(map(str, generator.choices(range(1000), k=80))) for _ in range(100)],
    )
    config = corpus_config(
        folder, {name: f"{name}.jsonl" for name in ("lesson", "exam", "numbers")}, extra=SETTINGS
    )
    done = run_stages(config, "deduplicate")
    done["select"] = done["deduplicate"]  # the same layout
    return config, TokenStore(run_stage(config, "tokenize", done).path)


def test_pairs_find_what_teaches_what_and_a_killed_attempt_goes_on(tmp_path: Path) -> None:
    config, store = lesson_and_exam(tmp_path)
    kept, told = tmp_path / "graph", []

    def learn() -> tuple[np.ndarray, int]:
        told.clear()
        baselines = BaselinesConfig(skill_graph="pairs")
        return learn_skill_graph(
            store,
            config.proxy,
            baselines,
            tokens=14_000,
            seed=0,
            kept=kept,
            progress=lambda _, words: told.append(words),
        )

    graph, spent = learn()
    assert graph[EXAM, LESSON] == 0.5
    assert graph[LESSON, NUMBERS] == graph[NUMBERS, LESSON] == graph[NUMBERS, EXAM] == 0
    assert graph.diagonal().tolist() == [1, 1, 1]
    assert spent == 6 * round(14_000 / 256) * 256  # three alone, three pairs
    assert told[-1] == "skill graph: exam and numbers"
    times = {path.name: path.stat().st_mtime_ns for path in kept.iterdir()}
    (kept / "0-1.json").unlink()
    again, spent_again = learn()
    assert (again.tolist(), spent_again) == (graph.tolist(), spent)
    assert {path.name for path in kept.iterdir() if path.stat().st_mtime_ns != times[path.name]} == {
        "0-1.json"
    }


def test_graphs_are_the_papers() -> None:
    alone = np.array([1.0, 2.0])
    together = np.array([[0.0, 1.1], [1.9, 0.0]])  # the second helps the first
    assert pair_graph(alone, together).tolist() == [[1, 0.5], [0, 1]]
    falls = np.array([[2.0, 1.0], [-0.5, 4.0]])
    assert approximate_graph(falls).tolist() == [[1, 0.5], [0, 1]]

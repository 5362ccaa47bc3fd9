"""Other methods' mixtures: their updates are the papers', and they run on real proxies."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from builders.corpus import corpus_config, easy_and_hard
from mashbill.config import PipelineConfig
from mashbill.errors import ConfigError
from mashbill.mixtures import MixtureTable
from mashbill.models.transformer import Transformer
from mashbill.proxies.methods.doremi import doremi, updated_weights
from mashbill.proxies.methods.online import bandit_mixture, skill_it, skill_mixture, updated_rewards
from mashbill.proxies.methods.reweighted_proxy import ReweightedProxy, mean_by_domain
from mashbill.proxies.methods.skill_graph import learn_skill_graph
from mashbill.tokens import TokenStore

PROXY = """
[tokens]
vocabulary = 300
[proxy]
model = { layers = 1, width = 32, heads = 2, kv_heads = 2, feed_forward = 64, context = 32 }
[plan]
mixtures = 2
max_epochs = 1000
[sweep]
tokens = 40000
[baselines]
methods = ["doremi", "skill-it", "online"]
skill_rounds = 3
given = { human = { easy = 0.25, hard = 0.75 } }
[training]
tokens = 40000
max_epochs = 1000
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The baselines of an easy and a hard domain."""
    _, done = easy_and_hard(
        tmp_path_factory.mktemp("baselines"), PROXY, documents=60, then=("plan", "baselines")
    )
    return done["baselines"].path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[PipelineConfig, TokenStore]:
    """The config and tokens of an easy and a hard domain."""
    config, done = easy_and_hard(tmp_path_factory.mktemp("tokens"), PROXY)
    return config, TokenStore(done["tokenize"].path)


def test_every_method_finds_a_mixture(found: Path) -> None:
    mixtures = json.loads((found / "baselines.json").read_text())
    assert set(mixtures) == {"tempered", "human", "doremi", "skill-it", "online"}
    for mixture in mixtures.values():
        assert sum(mixture.values()) == pytest.approx(1)
        assert min(mixture.values()) >= 0
    history = MixtureTable.read(found / "doremi_history.csv").weights
    assert history.mean(axis=0)[0] == pytest.approx(mixtures["doremi"]["easy"], abs=0.05)
    assert mixtures["online"]["hard"] > 0.5  # its loss stays higher, so the bandit goes there
    assert mixtures["skill-it"]["hard"] > 0.5


def test_updates_are_the_papers() -> None:
    weights, scores = np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 0.0])
    raised = weights * np.exp(scores)
    assert updated_weights(weights, scores, 1.0, smoothing=1e-3) == pytest.approx(
        0.999 * raised / raised.sum() + 1e-3 / 3
    )
    mixture = bandit_mixture(np.array([5.0, 1.0, 1.0]), 0.3, 0.1)
    assert mixture.sum() == pytest.approx(1)
    assert mixture.min() >= 0.1
    assert mixture[0] == pytest.approx(0.7 * np.exp(1.5) / (np.exp(1.5) + 2 * np.exp(0.3)) + 0.1)
    graph = np.array([[1.0, 0.5], [0.0, 1.0]])  # the second teaches the first by half
    taught = skill_mixture(graph, np.array([2.0, 2.0]), 1.0)
    assert taught[1] / taught[0] == pytest.approx(np.e)


def test_skill_it_starts_from_the_graph_and_then_follows_what_the_rounds_started_from(
    trained: tuple[PipelineConfig, TokenStore], tmp_path: Path
) -> None:
    config, store = trained
    options = {"seed": 3, "kept": tmp_path / "graph", "progress": lambda *_: None}
    settings = config.baselines.model_copy(
        update={"skill_graph_share": 0.5, "skill_rounds": 3, "skill_window": 1}
    )
    found = skill_it(store, config.proxy, settings, tokens=4_096, **options)
    graph, _ = learn_skill_graph(store, config.proxy, settings, tokens=2_048, **options)
    untrained = ReweightedProxy(store, config.proxy, 4_096, seed=3).validation_losses()
    assert untrained == pytest.approx([np.log(300)] * 2, rel=0.1)  # nats a token
    assert found.history[0] == pytest.approx(skill_mixture(graph, np.ones(2), settings.skill_step))
    assert found.history[1] == pytest.approx(skill_mixture(graph, untrained, settings.skill_step))
    assert found.history[2] != pytest.approx(found.history[1], abs=1e-4)


def test_a_domain_is_not_rewarded_for_being_rare() -> None:
    mixture, losses, random = np.array([0.8, 0.2]), np.array([3.0, 3.0]), np.random.default_rng(0)
    rewards, seen = np.zeros(2), []
    for _ in range(4_000):
        rewards = updated_rewards(
            rewards, losses, random.multinomial(32, mixture), mixture=mixture, memory=0.9
        )
        seen.append(rewards)
    assert np.mean(seen[100:], axis=0) == pytest.approx([96.0, 96.0], rel=0.02)  # 32 draws of loss 3
    kept = updated_rewards(np.array([1.0, 2.0]), losses, np.array([4, 0]), mixture=mixture, memory=0.9)
    assert kept.tolist() == pytest.approx([0.9 + 0.1 * 3 * 4 / 0.8, 2.0])


def test_losses_are_averaged_by_domain() -> None:
    values = torch.tensor([[1.0, 3.0], [5.0, 5.0], [2.0, 2.0]])
    mean, there = mean_by_domain(values, [2, 0, 2], 4)
    assert mean.tolist() == [5.0, 0.0, 2.0, 0.0]
    assert there.tolist() == [True, False, True, False]


def test_doremi_sets_no_domain_back_that_its_batches_have_not_held_yet(
    trained: tuple[PipelineConfig, TokenStore],
) -> None:
    config, store = trained
    one = config.proxy.model_copy(update={"batch_sequences": 1})
    reference = Transformer(one.model, store.vocabulary, 5).eval()
    found = doremi(
        store, reference, one, config=config.baselines, tokens=10 * 32, seed=0, progress=lambda *_: None
    )
    assert found.history[0].tolist() == pytest.approx([0.5, 0.5])
    assert found.history[1].tolist() != pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("mine = { easy = 0.5 }", "sums to 0.5"),
        ("mine = { other = 1.0 }", "other"),
        ("doremi = { easy = 1.0 }", "doremi"),
    ],
)
def test_bad_mixtures_are_named(tmp_path: Path, given: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        corpus_config(
            tmp_path, {"easy": "easy.jsonl", "hard": "hard.jsonl"}, extra=f"[baselines.given]\n{given}\n"
        )

"""Other methods' mixtures against a few plain lines of each paper, on a small store of known laws.

The plain lines share with the methods the model's first weights, the schedule of the rate, and which text
comes next of a domain, each of which has tests of its own; losses come from logits, AdamW from numpy.
"""

import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from builders.corpus import corpus_config, folder_as_artifact
from builders.known_models import bigram_table
from builders.plain_adamw import PlainAdamW, arrays_of, plain_gradients, put_into, target_losses
from builders.token_stores import VOCABULARY, markov_stream, write_store
from mashbill.artifacts import Artifact, StageRun
from mashbill.config import BaselinesConfig, ModelShape, ProxyConfig
from mashbill.mixtures import MixtureLoader, MixturePlan, MixtureTable
from mashbill.models.huggingface import load_model
from mashbill.models.measurement import bits_per_byte
from mashbill.models.optimisation import learning_rate_at
from mashbill.models.transformer import Transformer
from mashbill.proxies.baselines import collect_baselines, run_baseline
from mashbill.proxies.methods.doremi import doremi, train_reference
from mashbill.proxies.methods.online import online_mixing, skill_it
from mashbill.proxies.methods.reweighted_proxy import ReweightedProxy
from mashbill.proxies.methods.skill_graph import learn_skill_graph
from mashbill.tokens import TokenStore

CONTEXT, BATCH, STEPS = 16, 4, 9
TOKENS = CONTEXT * BATCH * STEPS
SHAPE = ModelShape(layers=1, width=16, heads=2, kv_heads=2, feed_forward=24, context=CONTEXT)
DOMAINS = ("chain", "uneven", "noise")
QUIET = {"progress": lambda *_: None}


def proxy_config(**settings: object) -> ProxyConfig:
    shared = {"model": SHAPE, "batch_sequences": BATCH, "precision": "fp32", "device": "cpu"}
    rates = {"learning_rate": 2e-2, "min_learning_rate": 2e-3, "warmup_share": 0.3, "gradient_clip": 0.2}
    return ProxyConfig.model_validate({**shared, **rates, "weight_decay": 0.3, **settings})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    """A domain that repeats one order of tokens, one with an uneven law, and one without any."""
    chain = np.roll(np.eye(VOCABULARY), 1, axis=1)
    tables = (chain, bigram_table(5), np.full((VOCABULARY, VOCABULARY), 1 / VOCABULARY))
    domains = {
        name: (markov_stream(table, 900 - 200 * i, 1), markov_stream(table, 130, 2))
        for i, (name, table) in enumerate(zip(DOMAINS, tables, strict=True))
    }
    return write_store(tmp_path_factory.mktemp("store"), domains)


class PlainProxy:
    """A model in training, and the next text of each domain."""

    def __init__(self, store: TokenStore, config: ProxyConfig, seed: int) -> None:
        self.config, self.model = config, Transformer(SHAPE, VOCABULARY, seed)
        self.adamw = PlainAdamW(
            arrays_of(self.model), weight_decay=config.weight_decay, gradient_clip=config.gradient_clip
        )
        self.text, count = [], STEPS * BATCH
        for name in DOMAINS:
            loader = MixtureLoader(
                {name: store.train_tokens(name)}, {name: 1.0}, context=CONTEXT, sequences=count, seed=seed
            )
            self.text.append(iter(torch.from_numpy(loader.sequences_at(np.arange(count)))))

    def take(self, domains: list[int]) -> torch.Tensor:
        return torch.stack([next(self.text[domain]) for domain in domains])

    def learn(self, loss: torch.Tensor) -> None:
        config, step = self.config, self.adamw.steps
        rate = learning_rate_at(
            step,
            STEPS,
            config.learning_rate,
            minimum=config.min_learning_rate,
            warmup_share=config.warmup_share,
        )
        self.adamw.step(plain_gradients(self.model, loss), rate)
        put_into(self.model, self.adamw.weights)


def test_a_reweighted_proxy_learns_as_a_plain_loop_does(store: TokenStore) -> None:
    config, domains = proxy_config(), [0, 2, 2, 1]
    proxy, plain = ReweightedProxy(store, config, TOKENS, seed=4), PlainProxy(store, config, 4)
    assert proxy.steps == STEPS
    for _ in range(STEPS):
        text, same = proxy.take(domains), plain.take(domains)
        assert torch.equal(text, same)
        losses, others = proxy.losses(text), target_losses(plain.model, same)
        assert losses.detach().numpy() == pytest.approx(others.detach().numpy(), abs=1e-4)
        proxy.learn(losses.mean())
        plain.learn(others.mean())
    for name, weight in proxy.model.named_parameters():
        assert weight.detach().numpy() == pytest.approx(plain.adamw.weights[name], abs=2e-5), name
    expected = []
    for name in DOMAINS:
        tokens = torch.from_numpy(store.validation(name).tokens.astype(np.int64))
        windows = [tokens[None, i : i + CONTEXT + 1] for i in range(0, len(tokens) - 1, CONTEXT)]
        with torch.no_grad():
            nats = sum(float(target_losses(plain.model, window).sum()) for window in windows)
        expected.append(nats / (len(tokens) - 1))
    assert proxy.validation_losses() == pytest.approx(expected, rel=1e-2)


def test_draws_follow_the_mixture_and_differ_by_step_and_seed(store: TokenStore) -> None:
    config = proxy_config(batch_sequences=2_000)
    proxies = [ReweightedProxy(store, config, 2_000 * CONTEXT, seed=seed) for seed in (0, 0, 1)]
    mixture = np.array([5.0, 3.0, 2.0])  # need not sum to 1
    draws = [proxy.draw(mixture) for proxy in proxies]
    assert np.bincount(draws[0]) / 2_000 == pytest.approx([0.5, 0.3, 0.2], abs=0.04)
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
    proxies[0].step = 1
    assert proxies[0].draw(mixture) != draws[1]


def test_the_reference_reads_the_natural_mixture(store: TokenStore) -> None:
    config = proxy_config()
    proxy = ReweightedProxy(store, config, TOKENS, seed=4)
    train_reference(proxy, np.array([1.0, 0.0, 0.0]), QUIET["progress"])
    assert proxy.read.tolist() == [STEPS * BATCH, 0, 0]
    plain = PlainProxy(store, config, 4)
    for _ in range(STEPS):
        plain.learn(target_losses(plain.model, plain.take([0] * BATCH)).mean())
    for name, weight in proxy.model.named_parameters():
        assert weight.detach().numpy() == pytest.approx(plain.adamw.weights[name], abs=2e-5), name


def test_doremi_is_a_few_plain_lines_of_its_authors(store: TokenStore) -> None:
    settings, reference = BaselinesConfig(doremi_step=2.0, doremi_smoothing=0.02), trained_reference(store)
    found = doremi(store, reference, proxy_config(), config=settings, tokens=TOKENS, seed=7, **QUIET)
    plain, turn = PlainProxy(store, proxy_config(), 7), 0
    weights, scores, history = np.full(3, 1 / 3), [math.nan] * 3, []
    for _ in range(STEPS):
        domains = [(turn + i) % 3 for i in range(BATCH)]
        turn += BATCH
        text = plain.take(domains)
        losses = target_losses(plain.model, text)
        with torch.no_grad():
            excess = torch.relu(losses - target_losses(reference, text))
        by_domain = [[i for i, d in enumerate(domains) if d == domain] for domain in range(3)]
        scores = [excess[rows].mean().item() for rows in by_domain]  # every batch holds every domain
        raised = weights * np.exp(2.0 * np.array(scores))
        weights = 0.98 * raised / raised.sum() + 0.02 / 3
        history.append(weights)
        means = torch.stack([losses[rows].mean() for rows in by_domain])
        plain.learn((torch.from_numpy(weights).float() * means).sum())
    assert found.history == pytest.approx(np.array(history), abs=2e-4)
    assert found.mixture == pytest.approx(np.mean(history, axis=0), abs=2e-4)
    assert found.tokens == TOKENS
    assert found.mixture.max() - found.mixture.min() > 0.1  # so that it is no test of even weights


def test_doremi_keeps_the_score_of_a_domain_that_a_batch_does_not_hold(store: TokenStore) -> None:
    config = proxy_config(batch_sequences=1, learning_rate=1e-9, min_learning_rate=1e-9)  # nothing is learnt
    settings, reference = BaselinesConfig(doremi_smoothing=1e-9), trained_reference(store)
    steps = 2 * 3
    found = doremi(store, reference, config, config=settings, tokens=steps * CONTEXT, seed=7, **QUIET)
    logarithms = np.diff(np.log(np.vstack([np.full(3, 1 / 3), found.history])), axis=0)
    scores = logarithms - logarithms[:, 2:]  # against the third's
    proxy = ReweightedProxy(store, config, steps * CONTEXT, seed=7)
    excess = []
    for step in range(steps):
        text = proxy.take([step % 3])
        with torch.no_grad():
            excess.append(
                torch.relu(target_losses(proxy.model, text) - target_losses(reference, text)).mean().item()
            )
    for step in range(2, steps):
        last = [excess[max(i for i in range(step + 1) if i % 3 == domain)] for domain in range(3)]
        assert scores[step] == pytest.approx(np.array(last) - last[2], abs=1e-4)


def test_doremi_raises_what_the_reference_can_and_the_proxy_cannot_yet(store: TokenStore) -> None:
    found = doremi(
        store,
        trained_reference(store),
        proxy_config(),
        config=BaselinesConfig(),
        tokens=TOKENS,
        seed=7,
        **QUIET,
    )
    chain, _, noise = found.mixture
    assert chain > 1 / 3 > noise  # nobody predicts noise: there is nothing to learn


def trained_reference(store: TokenStore) -> Transformer:
    """A reference that knows the first domain well."""
    config = proxy_config(learning_rate=5e-2, gradient_clip=1.0)
    proxy = ReweightedProxy(store, config, 4 * TOKENS, seed=1)
    return train_reference(proxy, np.array([0.6, 0.2, 0.2]), QUIET["progress"])


def test_online_mixing_is_a_few_plain_lines_of_its_authors(store: TokenStore) -> None:
    settings = BaselinesConfig(online_memory=0.6)
    found = online_mixing(store, proxy_config(), settings, tokens=TOKENS, seed=7, **QUIET)
    plain, drawer = (
        PlainProxy(store, proxy_config(), 7),
        ReweightedProxy(store, proxy_config(), TOKENS, seed=7),
    )
    rewards, history, last = [0.0] * 3, [], 1 / 3
    for step in range(STEPS):
        explored = min(1 / 3, math.sqrt(math.log(3) / (3 * (step + 1))))
        raised = [math.exp(last * reward) for reward in rewards]
        mixture = [(1 - 3 * explored) * value / sum(raised) + explored for value in raised]
        last = explored
        history.append(mixture)
        drawer.step = step
        domains = drawer.draw(np.array(mixture))
        losses = target_losses(plain.model, plain.take(domains))
        for domain in set(domains):
            reward = sum(
                losses[i].mean().item() / mixture[domain] for i, d in enumerate(domains) if d == domain
            )
            rewards[domain] = 0.6 * rewards[domain] + 0.4 * reward
        plain.learn(losses.mean())
    assert found.history == pytest.approx(np.array(history), abs=1e-3)
    assert found.mixture == pytest.approx(np.mean(history, axis=0), abs=1e-3)
    assert found.history[0] == pytest.approx([1 / 3] * 3)
    assert np.ptp(found.history[-1]) > 0.05
    assert found.tokens == TOKENS


def test_skill_it_is_a_few_plain_lines_of_its_authors(store: TokenStore, tmp_path: Path) -> None:
    settings = BaselinesConfig(
        skill_graph_share=0.4, skill_rounds=4, skill_window=2, skill_step=0.5, skill_graph="pairs"
    )
    options = {"seed": 3, **QUIET}
    found = skill_it(store, proxy_config(), settings, tokens=TOKENS, kept=tmp_path / "graph", **options)
    graph, spent = learn_skill_graph(
        store, proxy_config(), settings, tokens=int(0.4 * TOKENS), kept=tmp_path / "again", **options
    )
    assert spent == 6 * 4 * BATCH * CONTEXT  # 0.4 of nine steps, of three domains and three pairs
    assert found.tokens == spent + TOKENS
    proxy = ReweightedProxy(store, proxy_config(), TOKENS, seed=3)
    history: list[np.ndarray] = []
    losses: list[np.ndarray] = []
    for turn in range(4):
        window = sum(losses[-2:]) if losses else np.ones(3)
        raised = [
            math.exp(0.5 * sum(graph[taught, by] * window[taught] for taught in range(3))) for by in range(3)
        ]
        history.append(np.array(raised) / sum(raised))
        losses.append(proxy.validation_losses())
        while proxy.step < [2, 4, 6, 9][turn]:
            proxy.learn(proxy.losses(proxy.take(proxy.draw(history[-1]))).mean())
    assert found.history == pytest.approx(np.array(history), abs=1e-6)
    assert found.mixture == pytest.approx(np.mean(history, axis=0), abs=1e-6)


def test_a_domain_teaches_itself_and_noise_teaches_nothing(store: TokenStore, tmp_path: Path) -> None:
    settings = BaselinesConfig(skill_graph="approximate")
    config = proxy_config(learning_rate=5e-2, gradient_clip=1.0)
    graph, _ = learn_skill_graph(store, config, settings, tokens=3 * TOKENS, seed=0, kept=tmp_path, **QUIET)
    falls = np.array([json.loads((tmp_path / f"{d}.json").read_text())["falls"] for d in range(3)]).T
    assert falls[0, 0] > 1.0  # the chain, in nats: from log 8 = 2.08 towards 0
    assert falls[0].argmax() == 0  # a row is what is taught, a column what is trained on
    assert falls[1].argmax() == 1
    start = ReweightedProxy(store, config, 3 * TOKENS, seed=0).validation_losses()[2]
    assert falls[2].max() < start - math.log(8) + 0.05  # what the random start is worse than even guessing
    for taught, by in itertools.product(range(3), repeat=2):
        share = (
            1.0 if taught == by else min(1.0, max(0.0, falls[taught, by] / max(1e-9, falls[taught, taught])))
        )
        assert graph[taught, by] == pytest.approx(share)


def baseline_run(
    store: TokenStore,
    folder: Path,
    name: str | None,
    *,
    seed: int = 0,
    rate: float = 5e-2,
    parts: Mapping[str, Artifact] | None = None,
) -> StageRun:
    """The baselines stage on the store and a plan whose natural mixture is mostly the first domain."""
    (folder / "plan").mkdir(parents=True, exist_ok=True)
    natural = np.array([0.96, 0.03, 0.01])
    MixturePlan(MixtureTable.numbered(DOMAINS, natural[None]), natural).write(folder / "plan")
    sources = {name: f"{name}.jsonl" for name in DOMAINS}
    config = corpus_config(folder, sources, extra="[plan]\ntemperature = 0.5\n")
    sections = {
        "seed": seed,
        "proxy": proxy_config(learning_rate=rate, min_learning_rate=rate / 10, gradient_clip=1.0),
        "sweep": config.sweep.model_copy(update={"tokens": 4 * TOKENS}),
        "baselines": BaselinesConfig(given={"mine": {"noise": 1.0}}),
    }
    run = StageRun.here(
        config.model_copy(update=sections),
        {
            "tokenize": folder_as_artifact("tokenize", store.folder),
            "plan": folder_as_artifact("plan", folder / "plan"),
        },
        output=folder / f"output-{name}-{seed}",
        scratch=folder / f"scratch-{name}-{seed}",
        progress=QUIET["progress"],
        part=name,
        parts=parts or {},
    )
    run.output.mkdir()
    run.scratch.mkdir()
    return run


def test_the_stage_trains_doremis_reference_on_the_natural_mixture_and_counts_both_models(
    store: TokenStore, tmp_path: Path
) -> None:
    run = baseline_run(store, tmp_path, "doremi")
    counts = run_baseline(run)
    assert counts == {"tokens": 2 * 4 * TOKENS}
    reference = load_model(run.scratch / "reference")
    bits = [bits_per_byte(reference, store.validation(d).tokens, 130) for d in DOMAINS]
    assert bits[0] < 0.7  # of 3 at first
    assert bits[2] > 3.2  # sure of the wrong thing: it has read next to none of it
    history = MixtureTable.read(run.output / "history.csv").weights
    assert history.shape == (36, 3)
    assert MixtureTable.read(run.output / "mixture.csv").weights[0] == pytest.approx(history.mean(axis=0))
    other = baseline_run(store, tmp_path, "doremi", seed=1)
    run_baseline(other)
    assert (other.output / "mixture.csv").read_text() != (run.output / "mixture.csv").read_text()


def test_doremis_proxy_does_not_start_from_the_references_weights(store: TokenStore, tmp_path: Path) -> None:
    run = baseline_run(store, tmp_path, "doremi", rate=1e-9)  # both stay as they were drawn
    run_baseline(run)
    first = MixtureTable.read(run.output / "history.csv").weights[0]
    assert np.ptp(first) > 1e-4  # of one model there would be no excess, and the weights even


def test_methods_have_seeds_of_their_own_and_what_comes_free_is_beside_them(
    store: TokenStore, tmp_path: Path
) -> None:
    run = baseline_run(store, tmp_path, "online")
    run_baseline(run)
    part = folder_as_artifact("baselines", run.output)
    part.manifest.counts["tokens"] = 5
    collecting = baseline_run(store, tmp_path, None, parts={"online": part})
    assert collect_baselines(collecting) == {"baselines": 3, "tokens": 5}
    mixtures = json.loads((collecting.output / "baselines.json").read_text())
    roots = np.sqrt([0.96, 0.03, 0.01])
    assert list(mixtures["tempered"].values()) == pytest.approx(roots / roots.sum())
    assert mixtures["mine"] == {"chain": 0.0, "uneven": 0.0, "noise": 1.0}
    assert list(mixtures["online"].values()) == pytest.approx(
        MixtureTable.read(run.output / "mixture.csv").weights[0]
    )

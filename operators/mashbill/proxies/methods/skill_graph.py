"""Skill-It's graph: which domain teaches which, learnt from short proxies.

Source: Chen et al. 2023, "Skill-it! A Data-Driven Skills Framework for Understanding and Training Language
Models" (arXiv 2307.14430).
Read in the paper: algorithm 2 trains on every domain and on every two of them, as many steps each, and draws
an edge where the loss falls further with both than alone; algorithm 3 approximates it from the domains alone,
an edge where one lowers another's loss. The weights may vary (appendix B.2); the paper's graphs from pairs
have 1 on the diagonal and 0.5 for an edge, as HazyResearch/skill-it has. Ours: weights of the approximate
graph as shares of what a domain's own text does, so that the diagonal is 1 there too.
"""

import itertools
import json
from pathlib import Path

import numpy as np

from mashbill.artifacts import Progress, write_json
from mashbill.config import BaselinesConfig, ProxyConfig
from mashbill.proxies.methods.reweighted_proxy import ReweightedProxy
from mashbill.tokens import TokenStore

PAIR_EDGE = 0.5


def learn_skill_graph(
    store: TokenStore,
    proxy_config: ProxyConfig,
    config: BaselinesConfig,
    *,
    tokens: int,
    seed: int,
    kept: Path,
    progress: Progress,
) -> tuple[np.ndarray, int]:
    """Train the proxies that the graph is learnt from.

    Args:
        store: the token shards.
        proxy_config, config: shape and optimisation; which graph.
        tokens: tokens of each proxy.
        seed: of their weights and order, the same for all.
        kept: folder where what each taught is kept, so that a killed attempt goes on with the next.
        progress: called after each.
    Returns:
        [domains, domains] how much a domain (column) teaches another (row), 1 on itself; and the tokens
        spent.
    """
    count = len(store.domains)
    pairs = list(itertools.combinations(range(count), 2)) if config.skill_graph == "pairs" else []
    runs = [*((domain,) for domain in range(count)), *pairs]
    kept.mkdir(parents=True, exist_ok=True)
    falls, spent = [], 0
    for done, taught in enumerate(runs):
        path = kept / f"{'-'.join(map(str, taught))}.json"
        if not path.exists():
            write_json(path, _teach(store, proxy_config, taught, tokens=tokens, seed=seed))
        record = json.loads(path.read_text())
        falls.append(np.array(record["falls"]))
        spent += record["tokens"]
        progress(
            (done + 1) / len(runs), f"skill graph: {' and '.join(store.domains[domain] for domain in taught)}"
        )
    alone = np.stack(falls[:count], axis=1)
    if config.skill_graph == "approximate":
        return approximate_graph(alone), spent
    together = np.zeros((count, count))
    for (one, other), fall in zip(pairs, falls[count:], strict=True):
        together[one, other], together[other, one] = fall[one], fall[other]
    return pair_graph(np.diag(alone), together), spent


def approximate_graph(falls: np.ndarray) -> np.ndarray:
    """The graph from domains alone: falls as shares of what a domain's own text gives, at most 1.

    Args:
        falls: [domains, domains] how far the loss of a domain (row) fell by training on another (column).
    """
    own = np.maximum(np.diag(falls), 1e-9)[:, None]
    graph: np.ndarray = np.clip(falls / own, 0, 1)
    np.fill_diagonal(graph, 1)
    return graph


def pair_graph(alone: np.ndarray, together: np.ndarray) -> np.ndarray:
    """The graph from pairs: an edge where the loss fell further with both than alone.

    Args:
        alone: [domains] how far the loss of each fell by training on it alone.
        together: [domains, domains] how far the loss of a domain (row) fell by training on it and another
            (column), evenly.
    """
    graph = np.where(together > alone[:, None], PAIR_EDGE, 0.0)
    np.fill_diagonal(graph, 1)
    return graph


def _teach(
    store: TokenStore, proxy_config: ProxyConfig, taught: tuple[int, ...], *, tokens: int, seed: int
) -> dict[str, object]:
    """How far each domain's loss falls, in nats a token, by training on some of them in turn."""
    proxy = ReweightedProxy(store, proxy_config, tokens, seed=seed)
    before, turns = proxy.validation_losses(), itertools.cycle(taught)
    while proxy.step < proxy.steps:
        proxy.learn(proxy.losses(proxy.take([next(turns) for _ in range(proxy.batch)])).mean())
    return {
        "falls": (before - proxy.validation_losses()).tolist(),
        "tokens": proxy.steps * proxy.batch * proxy_config.model.context,
    }

"""Mixtures that change while one proxy trains: online data mixing and Skill-It. The mean over the run is
their mixture."""

from pathlib import Path

import numpy as np

from mashbill.artifacts import Progress
from mashbill.config import BaselinesConfig, ProxyConfig
from mashbill.proxies.methods.reweighted_proxy import MethodMixture, ReweightedProxy, mean_by_domain
from mashbill.proxies.methods.skill_graph import learn_skill_graph
from mashbill.tokens import TokenStore


def online_mixing(
    store: TokenStore,
    proxy_config: ProxyConfig,
    config: BaselinesConfig,
    *,
    tokens: int,
    seed: int,
    progress: Progress,
) -> MethodMixture:
    """Domains as the arms of a bandit whose reward is their training loss (EXP3).

    Source: Albalak et al. 2023, "Efficient Online Data Mixing For Language Model Pre-Training". Read in the
    authors' code (alon-albalak/online-data-mixing, an EXP3 that adds rewards up): the exploration, the
    mixture from it, rewards by probability of the drawn domains alone. Recalled from the paper: the moving
    average, its 0.9, and the sum over a step's draws. A draw is a sequence here.

    Args:
        store: the token shards.
        proxy_config, config: shape and optimisation; memory of the rewards.
        tokens: tokens of the run.
        seed: of weights and order.
        progress: called now and then.
    """
    proxy, count = ReweightedProxy(store, proxy_config, tokens, seed=seed), len(store.domains)
    rewards, history, before = np.zeros(count), [], 1 / count
    while proxy.step < proxy.steps:
        explored = min(1 / count, np.sqrt(np.log(count) / (count * (proxy.step + 1))))
        mixture = bandit_mixture(rewards, before, explored)
        before = explored
        history.append(mixture)
        domains = proxy.draw(mixture)
        losses = proxy.losses(proxy.take(domains))
        mean, _ = mean_by_domain(losses.detach(), domains, count)
        draws = np.bincount(domains, minlength=count)
        rewards = updated_rewards(
            rewards, mean.cpu().numpy(), draws, mixture=mixture, memory=config.online_memory
        )
        if proxy.step % 20 == 0:
            progress(
                proxy.step / proxy.steps,
                f"step {proxy.step} of {proxy.steps}, loss {float(losses.detach().mean()):.2f}",
            )
        proxy.learn(losses.mean())
    taken = np.stack(history)
    return MethodMixture(taken.mean(axis=0), taken, proxy.steps * proxy.batch * proxy_config.model.context)


def updated_rewards(
    rewards: np.ndarray, losses: np.ndarray, draws: np.ndarray, *, mixture: np.ndarray, memory: float
) -> np.ndarray:
    """[domains] moving averages of rewards after one step.

    Args:
        rewards: [domains] before it.
        losses: [domains] mean loss of the sequences drawn from each, in nats a token.
        draws: [domains] how many were drawn; where none was, the reward stays.
        mixture: [domains] probability of each draw. The loss of every draw counts by its inverse, so that a
            domain that is drawn more often has no other reward.
        memory: share that the past keeps.
    """
    seen = memory * rewards + (1 - memory) * losses * draws / mixture
    return np.where(draws > 0, seen, rewards)


def bandit_mixture(rewards: np.ndarray, scale: float, explored: float) -> np.ndarray:
    """[domains] probabilities by reward, each at least the share that is explored."""
    raised = np.exp(scale * (rewards - rewards.max()))
    return (1 - len(rewards) * explored) * raised / raised.sum() + explored


def skill_it(
    store: TokenStore,
    proxy_config: ProxyConfig,
    config: BaselinesConfig,
    *,
    tokens: int,
    seed: int,
    progress: Progress,
    kept: Path,
) -> MethodMixture:
    """Mixtures that follow what is still to be learnt, and what teaches it.

    Source: Chen et al. 2023, "Skill-it! A Data-Driven Skills Framework for Understanding and Training
    Language Models", algorithm 1 (read), for learning every domain. The first mixture is by the graph alone;
    each later one by the losses, in nats a token, of the models that the rounds before it started from, as
    many as the window holds.

    Args:
        store: the token shards.
        proxy_config, config: shape and optimisation; rounds, step, window and the graph's budget.
        tokens: tokens of the run; each proxy for the graph takes a share of them.
        seed: of weights and order.
        progress: called now and then.
        kept: folder where the graph's proxies are kept.
    """
    share = int(tokens * config.skill_graph_share)
    graph, spent = learn_skill_graph(
        store,
        proxy_config,
        config,
        tokens=share,
        seed=seed,
        kept=kept,
        progress=lambda done, words: progress(done / 2, words),
    )
    proxy = ReweightedProxy(store, proxy_config, tokens, seed=seed)
    losses: list[np.ndarray] = []
    history: list[np.ndarray] = []
    for turn in range(config.skill_rounds):
        windowed = np.sum(losses[-config.skill_window :], axis=0) if losses else np.ones(len(graph))
        history.append(skill_mixture(graph, windowed, config.skill_step))
        losses.append(proxy.validation_losses())
        progress(
            0.5 + 0.5 * turn / config.skill_rounds, f"round {turn + 1}: {losses[-1].mean():.3f} nats a token"
        )
        while proxy.step < proxy.steps * (turn + 1) // config.skill_rounds:
            proxy.learn(proxy.losses(proxy.take(proxy.draw(history[-1]))).mean())
    taken = np.stack(history)
    return MethodMixture(
        taken.mean(axis=0), taken, spent + proxy.steps * proxy.batch * proxy_config.model.context
    )


def skill_mixture(graph: np.ndarray, losses: np.ndarray, step: float) -> np.ndarray:
    """[domains] weights that grow with the losses of all that a domain teaches."""
    logarithms = step * (graph.T @ losses)
    raised = np.exp(logarithms - logarithms.max())
    return raised / raised.sum()

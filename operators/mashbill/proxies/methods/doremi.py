"""DoReMi: domain weights from a small reference model and a proxy trained against the worst case (group DRO).

Source: Xie et al. 2023, "DoReMi: Optimizing Data Mixtures Speeds Up Language Model Pretraining";
sangmichaelxie/doremi. Batches hold all domains evenly; a domain's score is the mean over its tokens of how
far the proxy's loss is above the reference's, at least 0. Read in the authors' code: that score token by
token, the last one of an absent domain, the ascent and its smoothing, the loss weighted by the new weights,
the mean over the run. Recalled from the paper: even batches, and a loss that is weighted by domain, where the
code weights each token; the two are one where batches are even.
"""

import numpy as np
import torch

from mashbill.artifacts import Progress
from mashbill.config import BaselinesConfig, ProxyConfig
from mashbill.models.transformer import Transformer
from mashbill.proxies.methods.reweighted_proxy import MethodMixture, ReweightedProxy, mean_by_domain
from mashbill.tokens import TokenStore


def train_reference(proxy: ReweightedProxy, natural: np.ndarray, progress: Progress) -> Transformer:
    """The reference: a proxy on the natural mixture."""
    while proxy.step < proxy.steps:
        loss = proxy.losses(proxy.take(proxy.draw(natural))).mean()
        _show_step(progress, proxy, "reference", loss=loss)
        proxy.learn(loss)
    return proxy.model.eval()


def doremi(
    store: TokenStore,
    reference: Transformer,
    proxy_config: ProxyConfig,
    *,
    config: BaselinesConfig,
    tokens: int,
    seed: int,
    progress: Progress,
) -> MethodMixture:
    """Train the proxy, its domain weights ascending on the excess losses.

    Args:
        store: the token shards.
        reference: from ``train_reference``.
        proxy_config, config: shape and optimisation; step size and smoothing of the weights.
        tokens: tokens of the proxy.
        seed: of its weights and order.
        progress: called now and then.
    Returns:
        The mean of the weights over the run.
    """
    proxy = ReweightedProxy(store, proxy_config, tokens, seed=seed)
    count = len(store.domains)
    weights, scores, turn = np.full(count, 1 / count), np.full(count, np.nan), 0
    history = []
    while proxy.step < proxy.steps:
        domains = [(turn + i) % count for i in range(proxy.batch)]
        turn += proxy.batch
        batch = proxy.take(domains)
        losses = proxy.losses(batch)
        known = reference.token_losses(batch[:, :-1], batch[:, 1:])
        excess, there = mean_by_domain((losses.detach() - known).clamp_min(0), domains, count)
        scores = np.where(there, excess.cpu().numpy(), scores)  # the last one where a domain is absent
        weights = updated_weights(
            weights, known_scores(scores), config.doremi_step, smoothing=config.doremi_smoothing
        )
        history.append(weights)
        share = torch.from_numpy(weights * there).float().to(losses.device)
        loss = (mean_by_domain(losses, domains, count)[0] * share).sum() / share.sum()
        _show_step(progress, proxy, "proxy", loss=loss)
        proxy.learn(loss)
    taken = np.stack(history)
    return MethodMixture(taken.mean(axis=0), taken, proxy.steps * proxy.batch * proxy_config.model.context)


def known_scores(scores: np.ndarray) -> np.ndarray:
    """[domains] scores, the mean of the others' for a domain that no batch has held yet (NaN).

    Ours: the authors' batches hold every domain. A small one doesn't, and any fixed first score would set
    domains back or ahead by their place in the config, for the whole run.
    """
    return np.where(np.isnan(scores), np.nanmean(scores), scores)


def updated_weights(weights: np.ndarray, scores: np.ndarray, step: float, *, smoothing: float) -> np.ndarray:
    """[domains] weights after one exponentiated ascent on the scores, mixed with the uniform ones."""
    logarithms = np.log(weights) + step * scores
    raised = np.exp(logarithms - logarithms.max())
    return (1 - smoothing) * raised / raised.sum() + smoothing / len(weights)


def _show_step(progress: Progress, proxy: ReweightedProxy, what: str, *, loss: torch.Tensor) -> None:
    if proxy.step % 20 == 0:
        progress(
            proxy.step / proxy.steps,
            f"{what}: step {proxy.step} of {proxy.steps}, loss {float(loss.detach()):.2f}",
        )

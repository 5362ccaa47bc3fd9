"""Models that a benchmark trains once: what is done is read again, unless its mixture was another."""

import json
from collections.abc import Mapping
from pathlib import Path

from mashbill.config import ProxyConfig
from mashbill.proxies.proxy import train_proxy
from mashbill.tokens import TokenStore


def bits_per_byte(
    store: TokenStore,
    mixture: Mapping[str, float],
    proxy: ProxyConfig,
    *,
    tokens: int,
    seed: int,
    place: Path,
) -> dict[str, float]:
    """Of every validation set, at the end of a model's training in a folder of its own."""
    result = place / "result.json"
    if not result.exists() or json.loads(result.read_text())["mixture"] != mixture:
        place.mkdir(parents=True, exist_ok=True)
        trained = train_proxy(
            store,
            dict(mixture),
            proxy,
            tokens=tokens,
            evaluations=1,
            seed=seed,
            folder=place,
            progress=lambda *_: None,
        )
        result.write_text(json.dumps({"mixture": mixture, **trained.trajectory[-1]}))
    measured: dict[str, float] = json.loads(result.read_text())
    return measured

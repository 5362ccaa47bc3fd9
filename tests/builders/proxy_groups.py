"""Groups of tiny proxies, and artifacts of groups whose losses are given."""

from collections.abc import Mapping
from pathlib import Path

from builders.corpus import corpus_config, folder_as_artifact
from builders.known_models import bigram_table
from builders.token_stores import markov_stream, write_store
from mashbill.artifacts import Artifact, StageRun
from mashbill.config import ModelShape, ProxyConfig
from mashbill.proxies.result import ProxyResult
from mashbill.tokens import TokenStore

SHAPE = ModelShape(layers=1, width=8, heads=2, kv_heads=2, feed_forward=8, context=16)
PROXY = ProxyConfig(model=SHAPE, batch_sequences=2, precision="fp32", device="cpu")
FASTER = PROXY.model_copy(update={"learning_rate": 2e-2})


def two_domains(folder: Path) -> TokenStore:
    """A store of two domains with laws of their own."""
    domains = {
        name: (markov_stream(bigram_table(law), 300, 1), markov_stream(bigram_table(law), 40, 2))
        for name, law in (("a", 41), ("b", 42))
    }
    return write_store(folder, domains)


def stage_run(
    folder: Path,
    inputs: Mapping[str, Artifact],
    *,
    part: str | None = None,
    parts: Mapping[str, Artifact] | None = None,
    **sections: object,
) -> StageRun:
    """A stage on a folder of its own, with tiny proxies of two domains, ready to run."""
    config = corpus_config(folder, {"a": "a.jsonl", "b": "b.jsonl"})
    for name in ("output", "scratch"):
        (folder / name).mkdir()
    return StageRun.here(
        config.model_copy(update={"proxy": PROXY, **sections}),
        inputs,
        output=folder / "output",
        scratch=folder / "scratch",
        progress=lambda *_: None,
        part=part,
        parts=parts or {},
    )


def result(
    *points: Mapping[str, float], tokens: int = 100, seconds: float = 2.0, failed: str = ""
) -> ProxyResult:
    """What became of a proxy that was measured at these points."""
    return ProxyResult([dict(point) for point in points], tokens, seconds, failed)


def part_of(folder: Path, results: Mapping[str, ProxyResult], tokens: int = 0) -> Artifact:
    """A group's artifact with these proxies."""
    for name, found in results.items():
        found.write(folder / "proxies" / name, int(name.split(".")[0]))
    artifact = folder_as_artifact("sweep", folder)
    artifact.manifest.counts["tokens"] = tokens
    return artifact

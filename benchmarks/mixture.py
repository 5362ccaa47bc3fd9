"""Does the chosen mixture train better models? One model of at least five times the proxies' size on each
mixture, over seeds.

    make demo
    python benchmarks/mixture.py [--tokens 800000] [--seeds 3] [--mixtures chosen natural uniform doremi]

Mixtures are those of the demo's newest choice. Every model has the same tokens; it is measured in bits per
byte of the target. The order that the regression predicted stands beside the one that was measured, and so
does the compute of the ways to a mixture. Models that are done are reused.
"""

import argparse
import json
import multiprocessing
import statistics
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from once import bits_per_byte
from page import ROOT, Page

from mashbill.config import ModelShape, PipelineConfig, ProxyConfig, load_config
from mashbill.models.sizes import flops_per_token, parameter_count
from mashbill.stages.local_run import finished_stages
from mashbill.tokens import TokenStore

LARGER = ModelShape(layers=6, width=256, heads=8, kv_heads=8, feed_forward=704, context=128)


def train(job: tuple[str, int, dict[str, float], int, str, dict[str, float], str]) -> tuple[str, int, float]:
    """One model; its bits per byte of the target."""
    name, seed, mixture, tokens, folder, target, work = job
    place = Path(work) / f"{name}-{seed}-{tokens}"
    proxy = ProxyConfig(model=LARGER, batch_sequences=4, learning_rate=2e-3, min_learning_rate=2e-4)
    measured = bits_per_byte(TokenStore(Path(folder)), mixture, proxy, tokens=tokens, seed=seed, place=place)
    return name, seed, sum(weight * measured[s] for s, weight in target.items())


def compute(config: PipelineConfig, proxies: int, vocabulary: int) -> str:
    """FLOPs of each way to a mixture."""
    one = flops_per_token(config.proxy.model, vocabulary) * config.sweep.tokens
    rows = {
        f"the {proxies} proxies of sweep and rounds": proxies * one,
        "RegMix's 512 of the same proxies": 512 * one,
    }
    rows["DoReMi (reference, proxy, and the reference read again)"] = (2 + 1 / 3) * one
    return "; ".join(f"{name} {flops:.2e} FLOPs" for name, flops in rows.items())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=str(ROOT / "dags" / "configs" / "demo.toml"))
    parser.add_argument("--tokens", type=int, default=800_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--mixtures", nargs="+", default=["chosen", "natural", "uniform", "doremi"])
    parser.add_argument("--work", default=str(ROOT / ".demo" / "larger"))
    arguments = parser.parse_args()
    config = load_config(arguments.config)
    done = finished_stages(config)
    choice = json.loads((done["mix"].path / "choice.json").read_text())
    entries = {"chosen": {**choice["predicted"], "mixture": choice["mixture"]}, **choice["baselines"]}
    store = TokenStore(done["tokenize"].path)
    jobs = [
        (
            name,
            seed,
            entries[name]["mixture"],
            arguments.tokens,
            str(store.folder),
            choice["target"],
            arguments.work,
        )
        for seed in range(arguments.seeds)
        for name in arguments.mixtures
    ]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        results = list(pool.map(train, jobs))
    sizes = [parameter_count(shape, store.vocabulary) for shape in (config.proxy.model, LARGER)]
    larger = f"a model of {sizes[1] / sizes[0]:.1f} times the proxies' size"
    page = Page("mixture", f"Mixtures on {larger}, {arguments.tokens:,} tokens, {arguments.seeds} seeds")
    page.table(
        [
            "mixture",
            "predicted for a proxy",
            "measured, bits per byte of the target (spread)",
            "better than natural",
        ]
    )
    measured = {name: [value for n, _, value in results if n == name] for name in arguments.mixtures}
    for name in sorted(arguments.mixtures, key=lambda n: statistics.mean(measured[n])):
        values = measured[name]
        wins = sum(a < b for a, b in zip(values, measured.get("natural", values), strict=True))
        mean = f"{statistics.mean(values):.4f} ({min(values):.4f}-{max(values):.4f})"
        page.row([name, f"{entries[name]['loss']:.4f}", mean, f"{wins} of {len(values)}"])
    proxies = sum(done[stage].manifest.counts["proxies"] for stage in ("sweep", "refine"))
    page.say(
        f"Compute of the decision: {compute(config, proxies, store.vocabulary)}.",
        size_ratio=sizes[1] / sizes[0],
        predicted_gain=entries["natural"]["loss"] - entries["chosen"]["loss"],
        measured_gain=statistics.mean(measured["natural"]) - statistics.mean(measured["chosen"]),
    )
    page.save()


if __name__ == "__main__":
    main()

"""Does the selected text train better models? The same small model on equal tokens chosen in four ways, over
seeds.

    python benchmarks/selection.py [--tokens 800000] [--seeds 3] [--work .demo/selection]

PreSelect, a classifier by contrast (DCLM-style, positives: the first half of each reference set), a given
fastText classifier (the `wikipedia` domain against the rest, trained with fastText alone) and random text
each keep a fifth of the demo's corpus, overall. A fresh model is trained on what each keeps, in its natural
proportions, and measured in bits per byte on the second half of the reference sets. Stages and models that
are done are reused.
"""

import argparse
import json
import multiprocessing
import random
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import fasttext
from measure import REFERENCES, TEXT
from once import bits_per_byte
from page import ROOT, Page

from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig, load_config
from mashbill.stages import job_of, run_stage_here, stages_up_to
from mashbill.tokens import TokenStore

CONFIG = """
artifacts = "artifacts"
[corpus]
domains = [{domains}]
references = [{references}]
[bootstrap]
models = 14
tokens = 131_072
group_size = 1
sample_bytes = 2_000_000
[quality]
ability_references = ["openwebtext-first", "encyclopedia-first"]
sample_documents = 3_000
sample_characters = 1_000
buckets = 200_000
dimension = 50
[selection]
scope = "overall"
keep_share = 0.2
min_documents = 60
[tokens]
vocabulary = 2_048
training_bytes = 6_000_000
max_validation_bytes = 300_000
[proxy]
model = {{ layers = 2, width = 128, heads = 4, kv_heads = 4, feed_forward = 384, context = 128 }}
batch_sequences = 8
"""
METHODS: dict[str, dict[str, object]] = {
    "PreSelect": {},
    "contrast (DCLM-style)": {
        "quality.positives": ["openwebtext-first", "encyclopedia-first"],
        "bootstrap.models": 0,
    },
    "given classifier": {"quality.classifier": "given.bin", "bootstrap.models": 0},
    "random": {
        "quality.classifier": "given.bin",
        "bootstrap.models": 0,
        "selection.method": "temperature",
        "selection.temperature": 100.0,
    },
}


def prepare(work: Path) -> Path:
    """The reference sets in halves, a given classifier, and the config."""
    work.mkdir(parents=True, exist_ok=True)
    config = work / "selection.toml"
    if config.exists():
        return config
    for name in REFERENCES:
        lines = [line for line in (TEXT / f"{name}.jsonl").read_text().split("\n") if line]
        random.Random(0).shuffle(lines)
        for part, rows in (("first", lines[: len(lines) // 2]), ("second", lines[len(lines) // 2 :])):
            (work / f"{name}-{part}.jsonl").write_text("\n".join(rows) + "\n")
    domains = sorted(path.stem for path in TEXT.glob("*.jsonl") if path.stem not in REFERENCES)
    examples = []
    for name in domains:
        rows = [json.loads(line)["text"] for line in (TEXT / f"{name}.jsonl").read_text().split("\n") if line]
        random.Random(1).shuffle(rows)
        count = 1_800 if name == "wikipedia" else 200
        examples += [
            f"__label__{int(name == 'wikipedia')} {' '.join(text.split())[:2_000]}\n" for text in rows[:count]
        ]
    random.Random(2).shuffle(examples)
    (work / "examples.txt").write_text("".join(examples))
    model = fasttext.train_supervised(
        str(work / "examples.txt"), dim=50, wordNgrams=2, bucket=200_000, epoch=5, lr=0.5, thread=1, verbose=0
    )
    model.save_model(str(work / "given.bin"))
    named = [
        f'{{ name = "{d}", sources = [{{ path = "{TEXT}/{d}.jsonl", id_field = "id" }}] }}' for d in domains
    ]
    halves = [f"{name}-{part}" for name in sorted(REFERENCES) for part in ("first", "second")]
    references = [
        f'{{ name = "{h}", sources = [{{ path = "{h}.jsonl", id_field = "id" }}] }}' for h in halves
    ]
    config.write_text(CONFIG.format(domains=", ".join(named), references=", ".join(references)))
    return config


def shards(path: Path, method: str) -> Path:
    """Token shards of what a method keeps."""
    config: PipelineConfig = load_config(path, METHODS[method])
    done: dict[str, Artifact] = {}
    for stage in stages_up_to("tokenize"):
        print(f"{method}: {stage.name}", file=sys.stderr)
        done[stage.name] = run_stage_here(job_of(stage, config, done), lambda: None)
    return done["tokenize"].path


def train(job: tuple[str, str, int, int, str]) -> tuple[str, int, dict[str, float]]:
    """One model; its bits per byte on the second halves."""
    method, folder, seed, tokens, config = job
    store = TokenStore(Path(folder))
    place = Path(config).parent / "models" / f"{''.join(c for c in method if c.isalnum())}-{seed}-{tokens}"
    proxy = load_config(config).proxy
    measured = bits_per_byte(store, store.natural(), proxy, tokens=tokens, seed=seed, place=place)
    return method, seed, {name: measured[f"{name}-second"] for name in sorted(REFERENCES)}


def main() -> None:
    """Select, train, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=800_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=ROOT / ".demo" / "selection")
    arguments = parser.parse_args()
    path = prepare(arguments.work.absolute())
    folders = {method: str(shards(path, method)) for method in METHODS}
    jobs = [
        (m, folders[m], seed, arguments.tokens, str(path)) for seed in range(arguments.seeds) for m in METHODS
    ]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        results = list(pool.map(train, jobs))
    page = Page(
        "selection",
        f"Selection: a fifth of the demo's corpus, {arguments.tokens:,} tokens, {arguments.seeds} seeds",
    )
    names = sorted(REFERENCES)
    page.table(["kept by", *(f"{name}, bits per byte (spread)" for name in names)])
    for method in METHODS:
        cells = []
        for name in names:
            values = [scores[name] for m, _, scores in results if m == method]
            cells.append(f"{statistics.mean(values):.3f} ({min(values):.3f}-{max(values):.3f})")
        page.row([method, *cells])
    page.save()


if __name__ == "__main__":
    main()

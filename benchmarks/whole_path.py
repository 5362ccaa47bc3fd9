"""From jsonl to token shards: read, filter, deduplicate, score, select, tokenize, against datatrove's
equivalent blocks.

The text is the demo's domains of English prose and of web pages, which Gopher's rules were made for; what
scores best of what they leave goes to the tokenizer, on both sides by the same threshold.

python benchmarks/whole_path.py [--megabytes 20] [--repeats 3] [--keep 0.65]
"""

import argparse
import math
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
from measure import COLUMNS, compare, peer, sample, size_of, timed, write_jsonl
from page import Page
from scorer import table_of
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from mashbill.artifacts import Artifact
from mashbill.classifiers.fasttext_scorer import LOG_OFFSET
from mashbill.config import PipelineConfig, load_config
from mashbill.documents import DocumentStore
from mashbill.quality.scores import Scores
from mashbill.stages import job_of, stages_up_to

PROSE = ("licenses", "scripture", "speeches", "web", "wikipedia")
EVERYTHING = -1e9
LEAST_SHARE = 0.4
CONFIG = """
artifacts = "artifacts"
[corpus]
domains = [
  {{ name = "first", sources = [{{ path = "first.jsonl", id_field = "id" }}] }},
  {{ name = "second", sources = [{{ path = "second.jsonl", id_field = "id" }}] }},
]
[filters]
apply = ["gopher_repetition", "gopher_quality"]
[quality]
classifier = "model.bin"
[bootstrap]
models = 0
[selection]
method = "threshold"
threshold = {threshold!r}
[tokens]
tokenizer = "tokenizer.json"
"""


def prepare(folder: Path, documents: list[dict[str, str]], buckets: int = 2_000_000) -> PipelineConfig:
    """The text in two domains, a classifier and a tokenizer, and the config that names them."""
    half = set(sorted({d["domain"] for d in documents})[::2])
    write_jsonl(folder / "first.jsonl", [d for d in documents if d["domain"] in half])
    write_jsonl(folder / "second.jsonl", [d for d in documents if d["domain"] not in half])
    (folder / "train.txt").write_text(
        "".join(
            f"__label__{int(d['domain'] in half)} {' '.join(d['text'].split())}\n" for d in documents[:3_000]
        )
    )
    model = fasttext.train_supervised(
        str(folder / "train.txt"), dim=100, wordNgrams=2, bucket=buckets, epoch=1, thread=1, verbose=0
    )
    model.save_model(str(folder / "model.bin"))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=8_000, special_tokens=["<|endoftext|>"], show_progress=False)
    tokenizer.train_from_iterator((d["text"] for d in documents[:3_000]), trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    return configure(folder, EVERYTHING)


def configure(folder: Path, threshold: float) -> PipelineConfig:
    """The config that keeps what scores above a margin."""
    (folder / "config.toml").write_text(CONFIG.format(threshold=threshold))
    return load_config(folder / "config.toml")


def run(config: PipelineConfig) -> dict[str, Artifact]:
    """All stages up to the shards, anew."""
    shutil.rmtree(config.resolve("artifacts"), ignore_errors=True)
    done: dict[str, Artifact] = {}
    for stage in stages_up_to("tokenize"):
        done[stage.name] = job_of(stage, config, done).run()
    return done


def threshold_for(done: dict[str, Artifact], domains: tuple[str, ...], share: float) -> float:
    """The margin above which lies a share of the bytes that were scored, half way between two documents."""
    scores = [Scores.read(DocumentStore.of(done["score"]), domain) for domain in domains]
    margin, size = np.concatenate([s.margin for s in scores]), np.concatenate([s.bytes for s in scores])
    order = np.argsort(-margin)
    last = int(np.searchsorted(np.cumsum(size[order]), share * size.sum()))
    return float(margin[order[last : last + 2]].mean())


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--keep", type=float, default=0.65, help="share of the scored bytes that is tokenized"
    )
    arguments = parser.parse_args()
    documents = sample(arguments.megabytes, only=PROSE)
    size = size_of(documents)
    page = Page("whole_path", f"The whole path, {len(documents):,} documents, {size:.1f} MB; peer: datatrove")
    page.table(COLUMNS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = prepare(folder, documents)
        threshold = threshold_for(run(config), config.domain_names, arguments.keep)
        config = configure(folder, threshold)
        ours = timed(
            lambda: run(config), arguments.repeats, table_of(folder / "model.bin").unlink
        )  # each run collapses the model
        done = run(config)
        theirs, ids = peer(
            "whole",
            documents,
            arguments.repeats,
            model=str(folder / "model.bin"),
            tokenizer=str(folder / "tokenizer.json"),
            threshold=1 / (1 + math.exp(-threshold)) + LOG_OFFSET,
        )
        what = "read, filter, deduplicate, score, select, tokenize"
        compare(page, what, (size, len(documents)), ours=ours, theirs=theirs, target=20)
        stages(page, done, theirs[0])
        mine = DocumentStore.of(done["select"])
        chosen = {i for d in config.domain_names for i in mine.read(d, columns=["id"])["id"].to_pylist()}
        shares = [
            reached / (size * 1e6)
            for reached in (done["tokenize"].manifest.counts["bytes_in"], theirs[0]["entered"]["tokenize"][1])
        ]
        page.say(
            f"Of the text {shares[0]:.0%} reaches our tokenizer and {shares[1]:.0%} theirs; "
            f"{len(chosen & set(ids)):,} documents are the same.",
            share_tokenized=shares[0],
            share_tokenized_by_peer=shares[1],
        )
        seconds = ", ".join(f"{stage} {artifact.manifest.seconds:.2f} s" for stage, artifact in done.items())
        page.say(f"Ours by stage, wall: {seconds}.")
        if min(shares) < LEAST_SHARE:
            sys.exit(f"less than {LEAST_SHARE:.0%} of the text was tokenized: raise --keep")
        page.save()


def stages(page: Page, done: dict[str, Artifact], theirs: dict[str, Any]) -> None:
    """What went into each stage, and the tokens that came out."""
    page.say("Documents and MB into each stage:")
    page.table(["stage", "ours", "datatrove"])
    for stage in ("filter", "deduplicate", "score", "tokenize"):
        documents, size = theirs["entered"][stage]
        counts = done[stage].manifest.counts
        ours = f"{counts['documents_in']:,}, {counts['bytes_in'] / 1e6:.2f} MB"
        page.row([stage, ours, f"{documents:,}, {size / 1e6:.2f} MB"])
    tokens = done["tokenize"].manifest.counts["tokens"]
    page.row(["tokens that came out", f"{tokens:,}", f"{theirs['tokens']:,}"])


if __name__ == "__main__":
    main()

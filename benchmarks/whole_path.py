"""From jsonl to token shards: read, filter, deduplicate, score, select, tokenize, against datatrove's
equivalent blocks.

python benchmarks/whole_path.py [--megabytes 10] [--repeats 3]
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import fasttext
from measure import COLUMNS, compare, peer, sample, size_of, timed
from page import Page
from scorer import write_jsonl
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig, load_config
from mashbill.stages import job_of, stages_up_to

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
    (folder / "config.toml").write_text(CONFIG.format())
    return load_config(folder / "config.toml")


def run(config: PipelineConfig) -> dict[str, Artifact]:
    """All stages up to the shards, anew."""
    shutil.rmtree(config.resolve("artifacts"), ignore_errors=True)
    done: dict[str, Artifact] = {}
    for stage in stages_up_to("tokenize"):
        done[stage.name] = job_of(stage, config, done).run()
    return done


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    documents = sample(arguments.megabytes)
    size = size_of(documents)
    page = Page("whole_path", f"The whole path, {len(documents):,} documents, {size:.1f} MB; peer: datatrove")
    page.table(COLUMNS)
    with tempfile.TemporaryDirectory() as name:
        config = prepare(Path(name), documents)
        ours = timed(lambda: run(config), arguments.repeats)
        done = run(config)
        theirs, _ = peer(
            "whole",
            documents,
            1,
            model=str(Path(name) / "model.bin"),
            tokenizer=str(Path(name) / "tokenizer.json"),
        )
        what = "read, filter, deduplicate, score, select, tokenize"
        compare(page, what, (size, len(documents)), ours=ours, theirs=theirs, target=10)
        seconds = ", ".join(f"{stage} {artifact.manifest.seconds:.2f} s" for stage, artifact in done.items())
        page.say(f"Ours by stage, wall: {seconds}.")
        page.save()


if __name__ == "__main__":
    main()

"""Files of every setting that takes a path, and configs that name them, on a disk or at an address."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fasttext

from builders.corpus import corpus_config, run_stage, run_stages, write_jsonl
from builders.tokenizers import byte_tokenizer
from mashbill.artifacts import Artifact
from mashbill.config import ModelShape, PipelineConfig, load_config
from mashbill.storage.s3_client import s3_client

TEXTS = [f"{i} the mill beside the river grinds what the farmers bring to it, number {i}" for i in range(60)]
CONFIG = """
artifacts = "artifacts"
[corpus]
domains = [
  {{ name = "a", sources = [{{ path = "{0}", metadata_fields = ["url"] }}] }},
  {{ name = "b", sources = [{{ path = "b.jsonl" }}] }},
]
{1}
"""
SET = '{ name = "r", sources = [{ path = "PLACE" }] }'
LABELS = (
    (("1", "the mill grinds"), ("0", "river farmers bring")),
    (("1", "beside the number"), ("0", "what to it")),
)


@dataclass(frozen=True)
class Case:
    """A setting that names something.

    Attributes:
        stage: which reads it.
        made: writes what it names into a folder.
        extra: TOML in which PLACE stands for the folder or the address that has it.
        texts: source of the first domain.
    """

    stage: str
    made: Callable[[Path], None]
    extra: str = ""
    texts: str = "a.jsonl"


def blocklist(folder: Path) -> None:
    (folder / "sites.txt").write_text("bad.example\n")


def classifiers(folder: Path) -> None:
    """Two classifiers, and the rule that belongs to the first."""
    for i, name in enumerate(("one", "two")):
        lines = [f"__label__{label} {words} {j}" for j in range(40) for label, words in LABELS[i]]
        (folder / "lines").write_text("\n".join(lines))
        options: dict[str, Any] = {"dim": 4, "bucket": 100, "thread": 1, "verbose": 0, "minCount": 1}
        fasttext.train_supervised(str(folder / "lines"), **options).save_model(str(folder / f"{name}.bin"))
    (folder / "lines").unlink()
    (folder / "one.bin.json").write_text('{"lowercase": true, "newlines": "space"}')


def family(folder: Path) -> None:
    """Model folders of two tiny models."""
    import torch

    from mashbill.models.huggingface import save_model
    from mashbill.models.transformer import Transformer

    byte_tokenizer().save(str(folder.parent / "tokenizer.json"))
    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        shape = ModelShape(layers=1, width=16, heads=2, kv_heads=2, feed_forward=16, context=16)
        save_model(Transformer(shape, 257), folder / name, folder.parent / "tokenizer.json", end_of_text=256)


def tokenizer(folder: Path) -> None:
    byte_tokenizer().save(str(folder / "t.json"))


def sources(folder: Path) -> None:
    """Files of a source, one in a folder."""
    (folder / "deep +=%").mkdir()
    write_jsonl(folder / "one.jsonl", TEXTS[:20])
    write_jsonl(folder / "deep +=%" / "two é.jsonl", TEXTS[20:])


def finished(folder: Path) -> None:
    """A finished corpus that has some of the texts."""
    write_jsonl(folder / "a.jsonl", TEXTS[:30])
    write_jsonl(folder / "b.jsonl", ["some other text that nobody else has"])
    extra = "[deduplication]\nnear = false"
    config = corpus_config(folder, {"a": "a.jsonl", "b": "b.jsonl"}, extra=extra)
    run_stages(config, "deduplicate")["deduplicate"].path.rename(folder / "corpus")


CASES = {
    "corpus.domains.sources.path": Case("ingest", sources, texts="PLACE"),
    "corpus.references.sources.path": Case("ingest", sources, f"references = [{SET}]"),
    "corpus.evaluations.sources.path": Case("ingest", sources, f"evaluations = [{SET}]"),
    "filters.url.blocklist": Case(
        "filter", blocklist, '[filters]\napply = ["url"]\n[filters.url]\nblocklist = "PLACE/sites.txt"'
    ),
    "filters.language.classifier": Case(
        "filter",
        classifiers,
        '[filters]\napply = ["language"]\n[filters.language]\nclassifier = "PLACE/one.bin"\n'
        'labels = ["__label__1"]\nmin_probability = 0.5',
    ),
    "deduplication.against": Case(
        "deduplicate", finished, '[deduplication]\nnear = false\nagainst = ["PLACE/corpus"]'
    ),
    "quality.classifier": Case("score", classifiers, '[quality]\nclassifier = "PLACE/one.bin"'),
    "quality.ensemble": Case(
        "score", classifiers, '[quality]\nclassifier = "PLACE/one.bin"\nensemble = ["PLACE/two.bin"]'
    ),
    "quality.family": Case(
        "score",
        family,
        '[quality]\nfamily = ["PLACE/one", "PLACE/two"]\nsample_documents = 50\nsample_characters = 100\n'
        "dimension = 4\nbuckets = 1_000\nepochs = 1\nabilities = { one = 0.1, two = 0.9 }\n"
        "[deduplication]\nnear = false",
    ),
    "tokens.tokenizer": Case("tokenize", tokenizer, '[tokens]\ntokenizer = "PLACE/t.json"'),
}


def configured(folder: Path, case: Case, place: str, **artifacts: str) -> PipelineConfig:
    """A config whose setting names what is at a folder or an address."""
    rows = [
        {"text": text, "url": f"http://{'bad' if i % 3 else 'good'}.example/"} for i, text in enumerate(TEXTS)
    ]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_jsonl(folder / "b.jsonl", [f"{i} of the others, which say less" for i in range(20)])
    (folder / "config.toml").write_text(CONFIG.format(case.texts, case.extra).replace("PLACE", place))
    return load_config(folder / "config.toml", artifacts)


def put(folder: Path, place: str) -> None:
    """Have the files of a folder at an address."""
    bucket, _, key = place.removeprefix("s3://").partition("/")
    for path in folder.rglob("*"):
        if path.is_file():
            body = path.read_bytes()
            s3_client().put_object(Bucket=bucket, Key=f"{key}/{path.relative_to(folder)}", Body=body)


def made_by(config: PipelineConfig, stage: str) -> Artifact:
    """The artifact of a stage; what is tokenized is not selected before."""
    if stage != "tokenize":
        return run_stages(config, stage)[stage]
    done = run_stages(config, "deduplicate")
    return run_stage(config, stage, {**done, "select": done["deduplicate"]})  # the same layout


def spelt(setting: str) -> str:
    """What a problem of a setting begins with."""
    return re.sub(r"^corpus\.(\w+)\.sources", r"corpus.\1[0].sources[0]", setting)

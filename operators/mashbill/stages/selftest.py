"""The planted self-test: known flaws are put into a sample of the user's own corpus, and the pipeline says
what it caught.

Planted are exact and near duplicates, passages of an evaluation set, and records that are no documents. The
same settings clean the sample with and without the plants, so that what was removed anyway is not counted.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mashbill.artifacts import Artifact
from mashbill.config import CorpusConfig, Domain, PipelineConfig, Source
from mashbill.corpus.readers import read_source_file
from mashbill.corpus.sources import all_sources, source_files
from mashbill.documents import REMOVED, DocumentStore
from mashbill.errors import DataError
from mashbill.stages.local_run import job_of, stages_up_to

PLANT_TAG = 611
LEAST_EDITED = 20
MIN_WORDS = 80
EVALUATION = "planted-evaluation"
QUESTION_WORDS = 40


@dataclass(frozen=True)
class Finding:
    """What became of one kind of plant.

    Attributes:
        kind: what was planted.
        planted: how many.
        caught: how many were removed or rejected, for whatever reason.
        expected: least share that should be caught.
    """

    kind: str
    planted: int
    caught: int
    expected: float

    @property
    def passed(self) -> bool:
        """Whether enough was caught."""
        return self.caught >= self.expected * self.planted


def selftest(config: PipelineConfig, documents: int) -> list[Finding]:
    """Plant flaws in a sample of the corpus and clean it with the config's own settings.

    Args:
        config: the user's config; its artifacts are not touched.
        documents: size of the sample.
    Raises:
        DataError: the corpus has too few documents of some length.
    """
    with tempfile.TemporaryDirectory(prefix="mashbill-selftest-") as name:
        folder = Path(name)
        texts = _sample(config, documents)
        random = np.random.default_rng([config.seed, PLANT_TAG])
        count = max(4, len(texts) // 20)
        texts, apart = (
            texts[count:],
            texts[:count],
        )  # no copies of originals, so that only decontamination can catch them
        plants = _plants(texts, apart, count, random=random)
        _write(folder / "clean.jsonl", {f"original-{i}": text for i, text in enumerate(texts)})
        before = _removed(
            _clean(config, folder / "clean.jsonl", folder, name="before", questions=[plants["question"][0]])
        )
        with (folder / "clean.jsonl").open("ab") as file:
            for kind in ("exact", "near", "contaminated"):
                for i, text in enumerate(plants[kind]):
                    file.write(json.dumps({"id": f"{kind}-{i}", "text": text}).encode() + b"\n")
            broken = list(_broken(count))
            file.writelines(line + b"\n" for line in broken)
        artifacts = _clean(
            config, folder / "clean.jsonl", folder, name="after", questions=[plants["question"][0]]
        )
        after = _removed(artifacts)
        rejected = sum(artifacts["ingest"].manifest.counts["rejected"].values())
        originals = len({n for n in after if n.startswith("original-")} - before)
        found = {
            kind: sum(n.startswith(f"{kind}-") for n in after) for kind in ("exact", "near", "contaminated")
        }
    return [
        Finding(
            "exact duplicates",
            len(plants["exact"]),
            found["exact"],
            1.0 if config.deduplication.exact else 0.0,
        ),
        Finding(
            "near duplicates (1% of the words changed)",
            len(plants["near"]),
            found["near"],
            0.8 if config.deduplication.near else 0.0,
        ),
        Finding("documents with an evaluation text", len(plants["contaminated"]), found["contaminated"], 1.0),
        Finding("malformed records", len(broken), rejected, 1.0),
        Finding("originals lost to the plants", 0, originals, 0.0),
    ]


def _sample(config: PipelineConfig, documents: int) -> list[str]:
    """Documents of some length, evenly over the domains' sources."""
    sources = [(source, where) for kind, _, source, where in all_sources(config) if kind == "documents"]
    texts: list[str] = []
    for source, where in sources:
        wanted = -(-documents // len(sources))
        for text in _long_texts(config, source, where):
            texts.append(text)
            wanted -= 1
            if wanted == 0:
                break
    if len(texts) < 40:
        raise DataError(
            "the corpus",
            f"has {len(texts)} documents of {MIN_WORDS} words or more",
            "name more text, or raise --documents",
        )
    return texts


def _long_texts(config: PipelineConfig, source: Source, where: str) -> Iterator[str]:
    for file in source_files(config, source, where).files:
        with file.opened() as path:
            for batch, *_ in read_source_file(path, source):
                yield from (text for text in batch["text"].to_pylist() if len(text.split()) >= MIN_WORDS)


def _plants(
    texts: list[str], apart: list[str], count: int, *, random: np.random.Generator
) -> dict[str, list[str]]:
    edits = min(
        max(count, LEAST_EDITED), len(texts) - count
    )  # MinHash misses one now and then: a share needs several
    chosen = random.choice(len(texts), count + edits, replace=False)
    words = " ".join(texts[i] for i in random.choice(len(texts), 10)).split()
    question = " ".join(random.choice(words, QUESTION_WORDS))
    near = []
    for i in chosen[count:]:
        edited = texts[i].split()
        places = random.choice(len(edited), max(1, len(edited) // 100), replace=False)
        for place in places:
            edited[place] = "planted"
        near.append(" ".join(edited))
    contaminated = []
    for text in apart:
        middle = len(text) // 2
        contaminated.append(f"{text[:middle]} {question} {text[middle:]}")
    return {
        "exact": [texts[i] for i in chosen[:count]],
        "near": near,
        "contaminated": contaminated,
        "question": [question],
    }


def _broken(count: int) -> Iterator[bytes]:
    kinds = (
        b'{"text": "cut off',
        b'{"text": "bad \xff bytes"}',
        b'{"body": "no text"}',
        b'{"text": "   "}',
        b"[1, 2, 3]",
        b'{"text": 7}',
    )
    for i in range(count):
        yield kinds[i % len(kinds)]


def _write(path: Path, texts: Mapping[str, str]) -> None:
    path.write_bytes(
        b"".join(json.dumps({"id": i, "text": text}).encode() + b"\n" for i, text in texts.items())
    )


def _clean(
    config: PipelineConfig, path: Path, folder: Path, *, name: str, questions: list[str]
) -> dict[str, Artifact]:
    """Ingest, filter and deduplicate the sample with the config's settings."""
    _write(folder / "evaluation.jsonl", {f"question-{i}": text for i, text in enumerate(questions)})
    _write(folder / "companion.jsonl", {"companion": " ".join(f"word{i}" for i in range(200))})

    def domain(of: str, file: Path) -> Domain:
        return Domain(name=of, sources=(Source(path=str(file), id_field="id"),))

    corpus = CorpusConfig(
        domains=(domain("sample", path), domain("companion", folder / "companion.jsonl")),
        evaluations=(domain(EVALUATION, folder / "evaluation.jsonl"),),
        max_rejected_share=1.0,
    )
    apply = tuple(f for f in config.filters.apply if f != "decontamination")
    changes = {"apply": (*apply, "decontamination"), "domains": ("sample",), "dry_run": False}
    rules = config.filters.decontamination.model_copy(update={"sets": (EVALUATION,)})
    filters = config.filters.model_copy(update={**changes, "decontamination": rules})
    update = {
        "corpus": corpus,
        "filters": filters,
        "artifacts": str(folder / name),
        "scratch": str(folder / "scratch"),
    }
    trial = config.model_copy(update=update)
    done: dict[str, Artifact] = {}
    for stage in stages_up_to("deduplicate"):
        done[stage.name] = job_of(stage, trial, done).run()
    return done


def _removed(artifacts: Mapping[str, Artifact]) -> set[str]:
    names: set[str] = set()
    for stage in ("filter", "deduplicate"):
        store = DocumentStore.of(artifacts[stage])
        names.update(store.read(*store.sets(REMOVED), kind=REMOVED, columns=["id"])["id"].to_pylist())
    return names

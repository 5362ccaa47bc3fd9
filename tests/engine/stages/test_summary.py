"""What schedulers and catalogues are told of an artifact: which of its parts are new, and what it holds."""

from pathlib import Path

from builders.corpus import corpus_config, documents, run_stage, run_stages, write_jsonl
from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig
from mashbill.stages.summary import ArtifactSummary


def texts(word: str, count: int) -> list[str]:
    return [f"{word} number {i} of {count} is no other's text at all" for i in range(count)]


def three_sets(folder: Path, extra: str = "") -> PipelineConfig:
    for name in ("web", "papers", "target"):
        if not (folder / f"{name}.jsonl").exists():
            write_jsonl(folder / f"{name}.jsonl", texts(name, 12))
    return corpus_config(
        folder, {n: f"{n}.jsonl" for n in ("web", "papers")}, {"target": "target.jsonl"}, extra
    )


def ingested(folder: Path, extra: str = "") -> Artifact:
    return run_stages(three_sets(folder, extra), "ingest")["ingest"]


def test_only_the_domain_whose_documents_changed_is_another_partition(tmp_path: Path) -> None:
    before = ArtifactSummary.of(ingested(tmp_path))
    write_jsonl(tmp_path / "papers.jsonl", texts("papers", 13))
    after = ArtifactSummary.of(ingested(tmp_path))
    assert list(before.partitions) == list(after.partitions) == ["papers", "web"]
    assert before.partitions["web"] == after.partitions["web"]
    assert before.partitions["papers"] != after.partitions["papers"]
    assert before.fingerprint != after.fingerprint


def test_a_setting_that_changes_no_document_makes_no_partition_another(tmp_path: Path) -> None:
    before = ArtifactSummary.of(ingested(tmp_path))
    after = ArtifactSummary.of(ingested(tmp_path, "max_rejected_share = 0.125\n"))
    assert after.fingerprint != before.fingerprint
    assert after.partitions == before.partitions


def test_rows_are_documents_of_domains_and_files_are_what_lies_on_the_disk(tmp_path: Path) -> None:
    made = ingested(tmp_path)
    told = ArtifactSummary.of(made)
    assert told.rows == len(documents(made, "web")) + len(documents(made, "papers")) == 24
    lying = [path for path in made.path.rglob("*") if path.is_file() and path.name != "manifest.json"]
    assert (told.files, told.bytes) == (len(lying), sum(path.stat().st_size for path in lying))
    assert dict(told.columns)["id"] == "string"
    assert all(isinstance(value, int | float | str) for value in told.counts.values())


def test_tokens_have_the_domains_as_partitions_and_no_reference(tmp_path: Path) -> None:
    config = three_sets(tmp_path, "[tokens]\nvocabulary = 300\nvalidation_share = 0.2\n")
    done = run_stages(config, "ingest")
    done["select"] = done["ingest"]
    told = ArtifactSummary.of(run_stage(config, "tokenize", done))
    assert list(told.partitions) == ["papers", "web"]


def test_quality_bins_are_parts_of_their_domain(tmp_path: Path) -> None:
    binned = "[selection]\nbins = 2\n[quality]\npositives = ['target']\n[bootstrap]\nmodels = 0\n"
    done = run_stages(three_sets(tmp_path, binned + "[filters]\napply = []\n"), "select")
    assert list(ArtifactSummary.of(done["select"]).partitions) == ["papers", "web"]

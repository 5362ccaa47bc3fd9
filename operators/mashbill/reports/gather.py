"""What the report says, read from the artifacts: one dictionary that the template walks."""

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig
from mashbill.config.view import HOW_IT_RUNS

REASON_SAMPLES = 3
VERSIONS = (
    "airflow-provider-mashbill",
    "apache-airflow-core",
    "torch",
    "deepspeed",
    "transformers",
    "daft",
    "fasttext-community",
    "lightgbm",
)


def gather(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> dict[str, Any]:
    """Everything but the figures."""
    choice, evaluation = _json(inputs["mix"], "choice.json"), _json(inputs["evaluate"], "evaluation.json")
    schedule = _json(inputs["schedule"], "schedule.json")
    return {
        "name": config.name,
        "choice": choice,
        "evaluation": evaluation,
        "predicted_against_measured": _losses(choice, schedule, evaluation),
        "stages": [_stage(name, artifact) for name, artifact in inputs.items()],
        "domains": _domains(config, inputs),
        "weights": [
            {"name": name, "chosen": weight, "natural": choice["baselines"]["natural"]["mixture"][name]}
            for name, weight in choice["mixture"].items()
        ],
        "rejected": _rejected(inputs["ingest"]),
        "filters": _json(inputs["filter"], "filters.json"),
        "clusters": _json(inputs["deduplicate"], "duplicates.json"),
        "duplicates": _duplicates(inputs["deduplicate"]),
        "samples": _json(inputs["select"], "samples.json"),
        "quality": _json(inputs["score"], "quality.json"),
        "validation": _json(inputs["fit"], "cross_validation.json"),
        "settings": _json(inputs["sweep"], "settings.json"),
        "reuse": reused(inputs["plan"]),
        "ladder": _json(inputs["ladder"], "ladder.json"),
        "measured_again": _json(inputs["validate"], "validation.json"),
        "rounds": _json(inputs["refine"], "rounds.json"),
        "schedule": schedule,
        "decision": _json(inputs["gate"], "decision.json"),
        "recipes": _json(inputs["train"], "recipes.json"),
        "config": config.model_dump_json(indent=2, exclude=set(HOW_IT_RUNS)),
        "versions": {name: _version(name) for name in VERSIONS},
    }


def summary(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The main figures, for machines and for the last lines of a run."""
    evaluation = facts["evaluation"]
    return {
        "mixture": facts["choice"]["mixture"],
        "predicted": evaluation["predicted"],
        "measured": evaluation["measured"],
        "gain_predicted": evaluation["gain_predicted"],
        "gain_measured": evaluation["gain_measured"],
        "schedule_gain_measured": evaluation["schedule_gain_measured"],
        "counts": {stage["name"]: stage["counts"] for stage in facts["stages"]},
    }


def reused(plan: Artifact) -> Any:
    """What a plan kept of an earlier search; None where none was asked for."""
    return _json(plan, "reuse.json") if (plan.path / "reuse.json").exists() else None


def _losses(
    choice: Mapping[str, Any], schedule: Mapping[str, Any], evaluation: Mapping[str, Any]
) -> list[dict[str, Any]]:
    scheduled = {"scheduled": schedule["predicted"]} if schedule["taken"] else {}
    entries = {"chosen": choice["predicted"], **scheduled, **choice["baselines"]}
    return [
        {
            "name": name,
            "loss": entry["loss"],
            "interval": entry["interval"],
            "measured": evaluation["measured"].get(name),
        }
        for name, entry in entries.items()
    ]


def _stage(name: str, artifact: Artifact) -> dict[str, Any]:
    manifest = artifact.manifest
    counts = {key: value for key, value in manifest.counts.items() if isinstance(value, int | float | str)}
    size = sum(file.bytes for file in manifest.files)
    return {
        "name": name,
        "counts": counts,
        "seconds": manifest.seconds,
        "bytes": size,
        "fingerprint": manifest.fingerprint[:12],
    }


def _domains(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> list[dict[str, Any]]:
    """How each domain fared from stage to stage."""
    tables = {
        s: inputs[s].manifest.counts["by_domain"]
        for s in ("ingest", "filter", "deduplicate", "select", "tokenize")
    }
    choice = _json(inputs["mix"], "choice.json")
    rows = []
    for name in config.domain_names:
        bins = config.binned_names(name)
        rows.append(
            {
                "name": name,
                "records": tables["ingest"][name]["documents_in"],
                "ingested": tables["ingest"][name]["documents_out"],
                "filtered": tables["filter"][name]["documents_out"],
                "unique": tables["deduplicate"][name]["documents_out"],
                "selected": tables["select"][name]["documents_out"],
                "megabytes": tables["select"][name]["bytes_out"] / 1e6,
                "tokens": sum(tables["tokenize"][b]["tokens_train"] for b in bins),
                "natural": sum(choice["baselines"]["natural"]["mixture"][b] for b in bins),
                "chosen": sum(choice["mixture"][b] for b in bins),
                "epochs": max(choice["epochs"][b] for b in bins),
            }
        )
    return rows


def _rejected(ingest: Artifact) -> dict[str, Any]:
    """Rejected records by reason, with some of each."""
    import pyarrow.parquet as pq

    rows = pq.read_table(ingest.path / "rejected" / "rejected.parquet").to_pylist()
    found: dict[str, Any] = {}
    for row in rows:
        entry = found.setdefault(row["reason"], {"count": 0, "samples": []})
        entry["count"] += 1
        if len(entry["samples"]) < REASON_SAMPLES:
            entry["samples"].append({**row, "source": Path(row["source"]).name})
    return found


def _duplicates(deduplicate: Artifact) -> dict[str, Any]:
    """Removed documents by reason and domain, with some of each reason."""
    import pyarrow.parquet as pq

    table = pq.read_table(deduplicate.path / "removed.parquet")
    found: dict[str, Any] = {}
    for reason in sorted(set(table["reason"].to_pylist())):
        rows = table.filter(_equals(table["reason"], reason))
        step = max(1, len(rows) // REASON_SAMPLES)
        samples = [rows.slice(i * step, 1).to_pylist()[0] for i in range(min(REASON_SAMPLES, len(rows)))]
        across = sum(
            a != b for a, b in zip(rows["domain"].to_pylist(), rows["kept_domain"].to_pylist(), strict=True)
        )
        found[reason] = {"count": len(rows), "across_domains": across, "samples": samples}
    return found


def _equals(column: Any, value: str) -> Any:
    import pyarrow.compute as pc

    return pc.equal(column, value)


def _json(artifact: Artifact, name: str) -> Any:
    return json.loads((artifact.path / name).read_text(encoding="utf-8"))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"

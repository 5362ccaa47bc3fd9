"""Paths and addresses are the config file's: overrides that whoever starts a run gives do not change them."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from mashbill.config import PipelineConfig, load_config
from mashbill.config.protected import is_protected, protected_settings
from mashbill.errors import ConfigError

CONFIG = """
artifacts = "lake"
[corpus]
domains = [
  { name = "a", sources = [{ path = "a.jsonl", license = "MIT" }] },
  { name = "b", sources = [{ path = "b.jsonl" }, { path = "more.jsonl" }] },
]
references = [{ name = "r", sources = [{ path = "r.jsonl" }] }]
[quality]
classifier = "good.bin"
[filters.url]
field = "address"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "c.toml").write_text(CONFIG)
    return tmp_path / "c.toml"


def domains(first: str) -> list[dict[str, Any]]:
    """The config's domains, the first read from elsewhere."""
    return [
        {"name": "a", "sources": [{"path": first}]},
        {"name": "b", "sources": [{"path": "b.jsonl"}, {"path": "more.jsonl"}]},
    ]


@pytest.mark.parametrize(
    "overrides, named",
    [
        ({"root": "/"}, "root"),
        ({"artifacts": "/tmp/planted"}, "artifacts"),
        ({"artifacts": "lake/../../elsewhere"}, "artifacts"),
        ({"scratch": "/tmp"}, "scratch"),
        ({"quality.classifier": "bad.bin"}, "quality.classifier"),
        ({"quality.classifier": None}, "quality.classifier"),
        ({"quality": {"epochs": 3}}, "quality.classifier"),
        ({"quality": {"classifier": "bad.bin"}}, "quality.classifier"),
        ({"quality": {"family": ["/tmp/one", "/tmp/two"]}}, "quality.family"),
        ({"quality.ensemble": ["bad.bin"]}, "quality.ensemble"),
        ({"tokens.tokenizer": "tokenizer.json"}, "tokens.tokenizer"),
        ({"tokens": {"tokenizer": "tokenizer.json"}}, "tokens.tokenizer"),
        ({"filters.url.blocklist": "/etc/passwd"}, "filters.url.blocklist"),
        ({"filters": {"url": {"blocklist": "/etc/passwd"}}}, "filters.url.blocklist"),
        ({"filters.language.classifier": "lid.bin"}, "filters.language.classifier"),
        ({"deduplication.against": ["/tmp/other"]}, "deduplication.against"),
        ({"engine.ray_address": "evil:6379"}, "engine.ray_address"),
        ({"training.rendezvous": "evil:1"}, "training.rendezvous"),
        ({"corpus.domains": domains("/etc/passwd")}, "corpus.domains[0].sources[0].path"),
        ({"corpus": {"domains": domains("a.jsonl")}}, "corpus.references[0].sources[0].path"),
        (
            {"corpus.evaluations": [{"name": "e", "sources": [{"path": "e.jsonl"}]}]},
            "corpus.evaluations[0].sources[0].path",
        ),
        ({"sweep.tokens": 2000, "artifacts": "/tmp/planted"}, "artifacts"),
    ],
)
def test_an_override_of_a_path_is_refused_with_its_name_and_mend(
    overrides: Mapping[str, Any], named: str, path: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(path, overrides, allow=())
    mend = f"set it in {path}, or let the DAG's author name it in allow"
    assert str(refused.value) == (
        f"overrides: {named}: is a path or an address, which the overrides of a run may not change; {mend}"
    )
    load_config(path, json.loads(json.dumps(overrides)), allow=None)


@pytest.mark.parametrize(
    "overrides",
    [
        {"sweep.tokens": 2000},
        {"plan.reuse": "last"},
        {"artifacts": "lake"},
        {"filters.url.field": "link"},
        {"filters.url": {"field": "link"}},
        {"corpus.domains": domains("a.jsonl")},
        {"corpus.partition_bytes": 200_000},
    ],
)
def test_other_overrides_are_as_they_were(overrides: Mapping[str, Any], path: Path) -> None:
    assert load_config(path, overrides, allow=()) == load_config(path, overrides)


@pytest.mark.parametrize(
    "allow, overrides",
    [
        ("artifacts", {"artifacts": "other"}),
        ("quality", {"quality.classifier": "other.bin"}),
        ("quality.classifier", {"quality.classifier": "other.bin"}),
        ("corpus.domains", {"corpus.domains": domains("other.jsonl")}),
        ("corpus", {"corpus.domains": domains("other.jsonl")}),
    ],
)
def test_what_the_author_allows_may_change_and_nothing_else(
    allow: str, overrides: Mapping[str, Any], path: Path
) -> None:
    assert load_config(path, overrides, allow=[allow]) == load_config(path, overrides)
    with pytest.raises(ConfigError, match="overrides: root"):
        load_config(path, {**overrides, "root": "/"}, allow=[allow])
    with pytest.raises(ConfigError, match="may not change"):
        load_config(path, overrides, allow=[f"{allow}s", "art", ""])


def settings(model: type[BaseModel] = PipelineConfig, at: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting, with its field."""
    for name, field in model.model_fields.items():
        yield f"{at}{name}", field
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from settings(inner, f"{at}{name}.")


SPEAKS_OF_PLACES = re.compile(r"\b(files?|folders?|paths?|address|host:port)\b")
NO_PLACES = {
    "corpus.domains.sources.id_field": "a column",
    "plan.reuse": "an artifact under the root, or last",
    "filters.url.field": "a key of the metadata",
    "filters.personal_data.email": "a mask",
    "filters.personal_data.ip": "a mask",
    "quality.abilities": "a number by name",
}


def test_every_setting_that_speaks_of_files_or_addresses_is_protected() -> None:
    speaking = {
        n: f for n, f in settings() if "str" in str(f.annotation) and SPEAKS_OF_PLACES.search(f.description)
    }
    told = {name for name, field in speaking.items() if not is_protected(field)}
    told = {re.sub(r"^corpus\.(references|evaluations)\.", "corpus.domains.", name) for name in told}
    assert told == set(NO_PLACES)
    assert {"root", "artifacts", "scratch", "tokens.tokenizer"} <= set(protected_settings(PipelineConfig))


JOB = {"backend": "job", "image": "registry.example/mashbill:1"}
LAUNCHED = """
[launch.train]
backend = "job"
image = "registry.example/mashbill:1"
"""


@pytest.mark.parametrize(
    "overrides, named",
    [
        ({"launch.train.image": "evil"}, "launch.train.image"),
        ({"launch.train": {**JOB, "image": "evil"}}, "launch.train.image"),
        ({"launch": {"train": {**JOB, "image": "evil"}}}, "launch.train.image"),
        ({"launch": {}}, "launch.train.image"),
        ({"launch.sweep": JOB}, "launch.sweep.image"),
        ({"launch.train.environment.LD_PRELOAD": "/tmp/evil.so"}, "launch.train.environment"),
        ({"launch.train.kubernetes.template": "/tmp/pod.yaml"}, "launch.train.kubernetes.template"),
        ({"launch.train.kubernetes.context": "other"}, "launch.train.kubernetes.context"),
        (
            {"launch.train.kubernetes": {"service_account": "admin"}},
            "launch.train.kubernetes.service_account",
        ),
        ({"launch.train.kubernetes.environment_from": ["root"]}, "launch.train.kubernetes.environment_from"),
        (
            {"launch.train.kubernetes.volumes": [{"claim": "others", "path": "/lake"}]},
            "launch.train.kubernetes.volumes[0].claim",
        ),
        ({"launch.train.local.folder": "/etc"}, "launch.train.local.folder"),
        ({"launch.train.ssh.hosts": ["evil"]}, "launch.train.ssh.hosts"),
        ({"launch.train.ray.address": "http://evil"}, "launch.train.ray.address"),
    ],
)
def test_what_a_job_runs_sees_and_writes_to_is_protected_in_each_stages_table(
    overrides: Mapping[str, Any], named: str, tmp_path: Path
) -> None:
    path = tmp_path / "c.toml"
    path.write_text(CONFIG + LAUNCHED)
    with pytest.raises(ConfigError, match=re.escape(f"overrides: {named}: is a path or an address")):
        load_config(path, overrides, allow=())
    load_config(path, json.loads(json.dumps(overrides)), allow=["launch"])


def test_how_much_a_job_takes_may_be_overridden(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(CONFIG + LAUNCHED)
    overrides = {"launch.train.nodes": 4, "launch.train.gpus": 8, "launch.train.queue": "research"}
    launched = load_config(path, overrides, allow=())
    assert (launched.launch["train"].nodes, launched.launch["train"].image) == (4, JOB["image"])
    one = {"launch.train.image": "other"}
    assert load_config(path, one, allow=["launch.train.image"]).launch["train"].image == "other"
    with pytest.raises(ConfigError, match=r"launch\.train\.image"):
        load_config(path, one, allow=["launch.sweep", "launch.train.kubernetes"])

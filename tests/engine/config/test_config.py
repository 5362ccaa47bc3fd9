"""A config that is wrong says so in one line that names file, field and mend."""

from pathlib import Path

import pytest

from builders.checkout import CONFIGS
from mashbill.config import load_config, parse_overrides
from mashbill.errors import ConfigError
from mashbill.models.sizes import parameter_count

MINIMAL = """
[corpus]
domains = [{ name = "a", sources = [{ path = "a.jsonl" }] }, { name = "b", sources = [{ path = "b.jsonl" }] }]
references = [{ name = "r", sources = [{ path = "r.jsonl" }] }]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_configs_are_valid(path: Path) -> None:
    assert load_config(path).domain_names


@pytest.mark.parametrize(
    "addition, fragments",
    [
        ("[sweep]\ntoken = 5", ["config.toml: sweep.token", "is not a setting", "did you mean tokens?"]),
        ("[sweep]\ntokens = 'many'", ["config.toml: sweep.tokens", "valid integer", "'many'"]),
        ("[sweep]\ntokens = 1", ["config.toml: sweep.tokens", "greater than or equal to 1000"]),
        ("[plan]\nmixtures = 1", ["config.toml: plan.mixtures:", "greater than or equal to 2"]),
        ("[plan]\nmixtures = 'many'", ["config.toml: plan.mixtures:", "'many'"]),
        ("[mix]\ntarget = { r = 0.7 }", ["config.toml: mix", "sum to 0.7", "sum 1"]),
        ("[mix]\ntarget = { nobody = 1.0 }", ["nobody", "known: a, b, r"]),
        ("[mix]\ntarget = { 'x*' = 1.0 }", ["mix.target", "'x*'", "known: a, b, r"]),
        ("[proxy.model]\nheads = 3", ["config.toml: proxy.model", "multiple of heads 3"]),
        ("[quality]\nfamily = ['one']", ["at least two models"]),
        ("[filters]\napply = ['lengths']", ["filters.apply: names 'lengths'", "choose among length, url"]),
        ("[filters]\napply = ['url']", ["filters: apply names url, and url.blocklist is empty", "set it"]),
        (
            "[training]\nmixtures = ['scheduled']",
            ["'scheduled', and schedule.phases is 1", "set schedule.phases"],
        ),
        (
            "[plan]\nphases = 2\n[schedule]\nphases = 3",
            ["schedule.phases is 3 and plan.phases 2", "make them the same"],
        ),
        ("[schedule]\nphases = 3", ["sweep.evaluations 4", "a multiple"]),
        (
            "[validation]\nmixtures = ['scheduled']",
            ["validation.mixtures names 'scheduled'", "known: chosen"],
        ),
    ],
)
def test_wrong_field_is_named_with_its_mend(tmp_path: Path, addition: str, fragments: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, MINIMAL + addition))
    message = str(caught.value)
    assert "\n" not in message
    assert all(fragment in message for fragment in fragments), message


def test_missing_file_and_bad_toml_are_config_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_config(write(tmp_path, "a = ["))


def test_overrides_win_and_are_validated(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL)
    config = load_config(path, parse_overrides(["sweep.tokens=4000", "name=other", 'mix.target={"a": 1.0}']))
    assert (config.sweep.tokens, config.name, config.target) == (4000, "other", {"a": 1.0})
    with pytest.raises(ConfigError, match="not an assignment"):
        parse_overrides(["sweep.tokens"])


def test_relative_paths_start_from_the_root(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, 'root = ".."\n' + MINIMAL))
    assert config.resolve("x/y.jsonl") == str(tmp_path.parent / "x" / "y.jsonl")
    assert config.resolve("s3://bucket/key") == "s3://bucket/key"


def test_target_defaults_to_all_references_evenly(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, MINIMAL)).target == {"r": 1.0}


def test_a_pattern_of_sets_shares_its_weight(tmp_path: Path) -> None:
    config = load_config(
        write(
            tmp_path, MINIMAL + "[selection]\nbins = 2\n[mix]\ntarget = { 'a.*' = 0.5, r = 0.25, '?' = 0.25 }"
        )
    )
    assert config.target == {"a.q1": 0.25, "a.q2": 0.25, "r": 0.5}


@pytest.mark.parametrize("bins, mixtures, planned", [(1, '"auto"', 16), (4, '"auto"', 32), (4, "5", 5)])
def test_a_sweep_is_sized_by_what_is_mixed(bins: int, mixtures: str, planned: int, tmp_path: Path) -> None:
    config = load_config(
        write(tmp_path, MINIMAL + f"[selection]\nbins = {bins}\n[plan]\nmixtures = {mixtures}")
    )
    assert config.plan.count(len(config.mixture_names)) == planned


def test_research_proxies_are_as_large_as_they_say() -> None:
    config = load_config(CONFIGS / "research.toml")
    shape, vocabulary = config.proxy.model, config.tokens.vocabulary
    assert parameter_count(shape, vocabulary) == 20_453_760
    assert parameter_count(shape, vocabulary) - vocabulary * shape.width == 14_162_304

"""What is wrong with a config is said in words of the config: no tuples, models or constraints."""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from mashbill.config import PipelineConfig, load_config, load_proxy_run
from mashbill.config.section import Section
from mashbill.config.wrong import config_error
from mashbill.errors import ConfigError

DOMAINS = '[corpus]\ndomains = [{name="a", sources=[{path="a"}]}, {name="b", sources=[{path="b"}]}]\n'
CHECKERS_WORDS = re.compile(
    r"tuple|pydantic|dictionar|validation|parse|instance|input|constrained|\bstring\b|boolean"
)


def refused(folder: Path, text: str) -> list[str]:
    """What is said of a config, without the file."""
    path = folder / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


@pytest.mark.parametrize(
    "text, said",
    [
        (
            '[corpus]\ndomains = [{name="a", sources=[{path="a"}]}]',
            "corpus.domains: has one domain, and a mixture is made of at least two; add another, or split "
            "this one by its kinds of text",
        ),
        ("[corpus]\ndomains = []", "corpus.domains: has no entry, and needs at least 2; add what is missing"),
        ("", "corpus: is required and missing; add it"),
        ('[corpus]\ndomains = "a"', "corpus.domains: is 'a', where a list is needed; put it in brackets"),
        ('[corpus.domains]\na = "x"', "corpus.domains: is a table, where a list is needed"),
        (
            DOMAINS.replace('[{path="a"}]', '"a"'),
            "corpus.domains[0].sources: is 'a', where a list is needed",
        ),
        (
            DOMAINS.replace('[{path="a"}]', '["a"]'),
            "corpus.domains[0].sources[0]: is 'a', where a table is needed; write it as a section, or as {",
        ),
        (
            DOMAINS.replace('[{path="a"}]', "[]"),
            "corpus.domains[0].sources: has no entry, and needs at least 1; add what is missing",
        ),
        (
            DOMAINS.replace('"a"', '"a b"', 1),
            "corpus.domains[0].name: is 'a b', which is no name; use letters, digits, dots, dashes",
        ),
        (DOMAINS.replace('"a"', f'"{"a" * 130}"', 1), "', of 130 characters; write at most 100"[3:]),
        (DOMAINS + '[sweep]\ntokens = "many"', "sweep.tokens: is 'many', where a valid integer is needed"),
        (DOMAINS + "[sweep]\ntokens = 2000.5", "sweep.tokens: is 2000.5, where a valid integer is needed"),
        (
            DOMAINS + "[sweep]\ntokens = 5",
            "sweep.tokens: is 5, and must be greater than or equal to 1000; change it",
        ),
        (
            DOMAINS + "[selection]\nkeep_share = 1.5",
            "is 1.5, and must be less than or equal to 1; change it",
        ),
        (DOMAINS + "[selection]\nkeep_share = 0", "keep_share: is 0, and must be greater than 0; change it"),
        (DOMAINS + '[deduplication]\nexact = "so"', "exact: is 'so', where true or false is needed"),
        (
            DOMAINS + '[selection]\nmethod = "best"',
            "selection.method: is 'best'; choose 'share', 'threshold' or 'temperature'",
        ),
        (
            DOMAINS + '[plan]\nmixtures = "some"',
            "plan.mixtures: is 'some', where a valid integer is needed, or 'auto'; write one of them",
        ),
        (
            DOMAINS + "[plan]\nmixtures = 1",
            "is 1, and must be greater than or equal to 2; change it",
        ),
        (
            DOMAINS + "[plan]\nmixtures = 1000000",
            "is 1000000, and must be less than or equal to 100000",
        ),
        ("sweep = 3\n" + DOMAINS, "sweep: is 3, where a table is needed"),
        (DOMAINS + '[mix]\ntarget = ["a"]', "mix.target: is a list, where a table is needed"),
        (DOMAINS + '[mix]\ntarget = {a = "x"}', "mix.target.a: is 'x', where a number is needed"),
        (DOMAINS + "[tokens]\ntokenizer = 3", "tokens.tokenizer: is 3, where text is needed; put it in"),
        (DOMAINS + "[tokens]\ntokenizer = 2020-01-01", "tokens.tokenizer: is 2020-01-01, where text is"),
        (DOMAINS + "[tokens]\ntokenizer = true", "tokens.tokenizer: is true, where text is needed"),
        (DOMAINS + '[tokens]\nend_of_text = ""', "tokens.end_of_text: is '', and needs at least 1 character"),
        (DOMAINS + "[training]\nmixtures = []", "training.mixtures: has no entry, and needs at least 1"),
        (
            DOMAINS + "[filters.gopher_repetition]\nmax_top_ngrams = [0.1, 0.2]",
            "filters.gopher_repetition.max_top_ngrams[2]: is required and missing; add it",
        ),
        (DOMAINS + "[proxy.model]\nlayer = 3", "proxy.model.layer: is not a setting; did you mean layers?"),
        (DOMAINS + "[launch.train]\ngpu = 8", "launch.train.gpu: is not a setting; did you mean gpus?"),
        (
            DOMAINS + '[launch.train.kubernetes]\nname_space = "a"',
            "launch.train.kubernetes.name_space: is not a setting; did you mean namespace?",
        ),
        (
            DOMAINS + '[launch.train.kubernetes]\nvolumes = [{ claim = "a", mount = "/b", path = "/b" }]',
            "launch.train.kubernetes.volumes[0].mount: is not a setting; remove it; known here: claim, path",
        ),
        (DOMAINS + '[launch.train]\nmemory = "64 GB"', "launch.train.memory: is '64 GB', which is no amount"),
        (DOMAINS + '[launch]\nbackend = "local"', "launch: backend stands in [launch]; name the stage that"),
    ],
)
def test_a_wrong_setting_is_told_in_a_users_words(text: str, said: str, tmp_path: Path) -> None:
    (line,) = refused(tmp_path, text)
    assert said in line
    assert not CHECKERS_WORDS.search(line), line
    assert line.count("; ") >= 1


def test_all_wrong_settings_are_told_a_line_each(tmp_path: Path) -> None:
    text = DOMAINS.replace('[{path="a"}]', '"a"') + "[sweep]\ntokens = 5\ntoken = 3\n"
    text += '[selection]\nmethod = "x"'
    fields = [line.partition(": ")[0] for line in refused(tmp_path, text)]
    assert sorted(fields) == ["corpus.domains[0].sources", "selection.method", "sweep.token", "sweep.tokens"]


def test_an_override_is_told_as_a_setting_is(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(DOMAINS)
    with pytest.raises(ConfigError, match=r"sweep\.tokens: is 'x', where a valid integer is needed"):
        load_config(tmp_path / "c.toml", {"sweep.tokens": "x"})
    with pytest.raises(ConfigError, match=r"^--set: sweep\.tokens: is 1, and must be greater than"):
        load_proxy_run(None, {"sweep.tokens": 1})


def test_no_value_of_any_setting_is_told_in_the_checkers_words() -> None:
    """Whatever stands where it should not: each setting of each section, with one of each kind of value."""
    plain = tomllib.loads(DOMAINS)
    for section, field in PipelineConfig.model_fields.items():
        model = field.annotation
        nested = isinstance(model, type) and issubclass(model, Section)
        for name in model.model_fields if nested else [None]:
            for value in ("x y/", -7, True, [[]], {"x": "y"}, ""):
                raw = plain | {section: {**plain.get(section, {}), name: value} if name else value}
                try:
                    PipelineConfig.model_validate(raw)
                except ValidationError as error:
                    for line in str(config_error("c", error)).splitlines():
                        said = line.split(": ", 2)[2].partition("known here")[0]
                        assert not CHECKERS_WORDS.search(said), (section, name, value, line)

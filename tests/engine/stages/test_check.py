"""What a config names is looked at before the first stage runs, and all that will not do is told at once."""

import json
from collections.abc import Callable
from pathlib import Path

import fasttext
import pytest

from builders.corpus import corpus_config, easy_and_hard, run_stages, write_jsonl
from builders.shell import mashbill
from builders.tokenizers import byte_tokenizer
from mashbill.config import PipelineConfig
from mashbill.config.protected import protected_settings
from mashbill.errors import ConfigError, DataError, MashbillError, Problems
from mashbill.stages import STAGES
from mashbill.stages.check import Finding, check_config, refuse_problems

TEXTS = [f"The mill beside the river, number {i}. " * 5 for i in range(30)]


def configured(folder: Path, extra: str = "", **sources: str) -> PipelineConfig:
    """A config of two domains and a reference, whose texts are there."""
    for name in ("a", "b", "r"):
        write_jsonl(folder / f"{name}.jsonl", TEXTS)
    given = {"a": "a.jsonl", "b": "b.jsonl", "r": "r.jsonl", **sources}
    reference = {"r": given.pop("r")}
    return corpus_config(folder, given, reference, extra)


def findings(config: PipelineConfig) -> dict[str, Finding]:
    """What is found of each setting."""
    return {finding.setting: finding for finding in check_config(config, STAGES.values())}


def problems(config: PipelineConfig) -> list[str]:
    """What will not do."""
    return [str(finding.problem) for finding in findings(config).values() if finding.problem]


def classifier(path: Path, labels: tuple[str, ...] = ("hq", "lq")) -> Path:
    """A trained classifier with these labels."""
    lines = [f"__label__{label} a {label} text of number {i}" for i in range(60) for label in labels]
    path.with_suffix(".txt").write_text("\n".join(lines))
    options = {"dim": 4, "bucket": 100, "thread": 1, "verbose": 0, "minCount": 1}
    fasttext.train_supervised(str(path.with_suffix(".txt")), **options).save_model(str(path))
    return path


def model_folder(folder: Path) -> Path:
    """A Hugging Face folder of a tiny model."""
    from mashbill.config import ModelShape
    from mashbill.models.huggingface import save_model
    from mashbill.models.transformer import Transformer

    shape = ModelShape(layers=1, width=16, heads=2, kv_heads=2, feed_forward=16, context=16)
    byte_tokenizer().save(str(folder.with_suffix(".json")))
    save_model(Transformer(shape, 257), folder, folder.with_suffix(".json"), end_of_text=256)
    return folder


def test_a_config_whose_things_are_all_there_has_a_line_for_each_and_no_problem(tmp_path: Path) -> None:
    classifier(tmp_path / "good.bin")
    classifier(tmp_path / "languages.bin", ("en", "de", "fr"))
    byte_tokenizer("<|doc|>").save(str(tmp_path / "t.json"))
    (tmp_path / "sites.txt").write_text("bad.example\nworse.example\n")
    config = configured(
        tmp_path,
        '[tokens]\ntokenizer = "t.json"\nend_of_text = "<|doc|>"\n'
        '[quality]\nclassifier = "good.bin"\npositive_label = "__label__hq"\n'
        '[filters]\napply = ["url", "language"]\n[filters.url]\nblocklist = "sites.txt"\n'
        '[filters.language]\nclassifier = "languages.bin"\nlabels = ["__label__en"]\n'
        "[sweep]\ngroup_size = 1\n[plan]\nmixtures = 1_100\n",
    )
    found = findings(config)
    assert not [f for f in found.values() if f.problem]
    size = (tmp_path / "a.jsonl").stat().st_size
    assert {name: f.found for name, f in found.items() if name not in ("artifacts", "scratch")} == {
        "corpus.domains[0].sources[0].path": f"a: 1 file, {size:,} bytes",
        "corpus.domains[1].sources[0].path": f"b: 1 file, {size:,} bytes",
        "corpus.references[0].sources[0].path": f"r: 1 file, {size:,} bytes",
        "filters.url.blocklist": "sites.txt: 2 sites",
        "filters.language.classifier": "languages.bin: 3 languages, of which 1 stay",
        "quality.classifier": "good.bin: 2 labels; __label__hq stands for good text",
        "tokens.tokenizer": "t.json: ids from 0 to 256; <|doc|> ends a document",
        "plan.mixtures": "1,100 mixtures, 1 in a part: 1,100 parts",
        "mix.target": "r 1.00",
        "forecast.sizes": "9 runs, 25.7% of a final model's FLOPs",
        "training.batch_sequences": "processes 2, micro-batches of each for a step 1",
        "training.rate_schedule": "cosine, 732 steps, 37 of them warm-up",
    }
    assert not (tmp_path / "artifacts").exists()


def test_all_problems_are_told_at_once_and_nothing_is_run(tmp_path: Path) -> None:
    configured(
        tmp_path,
        '[tokens]\ntokenizer = "none.json"\n[quality]\nclassifier = "none.bin"\n'
        '[filters]\napply = ["url"]\n[filters.url]\nblocklist = "none.txt"\n',
        b="lost/*.jsonl",
        r="gone.jsonl",
    )
    said = [
        r"corpus.domains[1].sources[0].path: no file matches",
        r"corpus.references[0].sources[0].path: no file matches",
        r"filters.url.blocklist: ",
        r"quality.classifier: ",
        r"tokens.tokenizer: ",
    ]
    for command in (["check"], ["run", "all"], ["run", "mix"], ["train"]):
        done = mashbill(*command, "--config", tmp_path / "config.toml")
        lines = done.stderr.splitlines()
        assert done.returncode == 2, done.stderr
        assert [line.startswith(f"error: {start}") for line, start in zip(lines, said, strict=True)] == [
            True
        ] * len(said), done.stderr
        assert not (tmp_path / "artifacts").exists()
    told = json.loads(mashbill("check", "--config", tmp_path / "config.toml", "--json").stdout)
    assert [row["setting"] for row in told if row["problem"]] == [line.split(": ")[0] for line in said]
    assert {row["stage"] for row in told if row["problem"]} == {
        "ingest",
        "filter",
        "score",
        "tokenize",
    }
    only = mashbill("run", "ingest", "--config", tmp_path / "config.toml")
    assert only.stderr.count("\n") == 2  # what later stages read is none of ingest's business


def test_a_pipeline_that_is_checked_runs(tmp_path: Path) -> None:
    configured(tmp_path)
    checked = mashbill("check", "--config", tmp_path / "config.toml")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "corpus.domains[0].sources[0].path: a: 1 file" in checked.stdout
    assert mashbill("run", "ingest", "--config", tmp_path / "config.toml").returncode == 0


def _empty(folder: Path) -> PipelineConfig:
    config = configured(folder)
    (folder / "b.jsonl").write_text("")
    return config


def _odd_ending(folder: Path) -> PipelineConfig:
    (folder / "b.docx").write_text("words")
    return configured(folder, b="b.docx")


def _no_end(folder: Path) -> PipelineConfig:
    byte_tokenizer("<|im_end|>").save(str(folder / "t.json"))
    return configured(folder, '[tokens]\ntokenizer = "t.json"')


def _half_classifier(folder: Path) -> PipelineConfig:
    content = classifier(folder / "c.bin").read_bytes()
    (folder / "c.bin").write_bytes(content[: len(content) // 2])
    return configured(folder, '[quality]\nclassifier = "c.bin"')


def _one_label(folder: Path) -> PipelineConfig:
    classifier(folder / "c.bin", ("hq",))
    return configured(folder, '[quality]\nclassifier = "c.bin"')


def _wrong_label(folder: Path) -> PipelineConfig:
    classifier(folder / "c.bin")
    return configured(folder, '[quality]\nclassifier = "c.bin"')


def _wrong_ensemble(folder: Path) -> PipelineConfig:
    classifier(folder / "c.bin")
    classifier(folder / "d.bin", ("good", "bad"))
    extra = '[quality]\nclassifier = "c.bin"\nensemble = ["d.bin"]\npositive_label = "__label__hq"'
    return configured(folder, extra)


def _unknown_language(folder: Path) -> PipelineConfig:
    classifier(folder / "l.bin", ("de", "fr"))
    return configured(folder, '[filters]\napply = ["language"]\n[filters.language]\nclassifier = "l.bin"')


def _blank_blocklist(folder: Path) -> PipelineConfig:
    (folder / "s.txt").write_text("\n\n")
    return configured(folder, '[filters]\napply = ["url"]\n[filters.url]\nblocklist = "s.txt"')


def _binary_blocklist(folder: Path) -> PipelineConfig:
    (folder / "s.txt").write_bytes(b"\x80\xff\x00\xfe" * 9)
    return configured(folder, '[filters]\napply = ["url"]\n[filters.url]\nblocklist = "s.txt"')


def _no_model(folder: Path) -> PipelineConfig:
    model_folder(folder / "one")
    (folder / "two").mkdir()
    return configured(folder, '[quality]\nfamily = ["one", "two"]')


def _half_model(folder: Path) -> PipelineConfig:
    for name in ("one", "two"):
        model_folder(folder / name)
    weights = folder / "two" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    return configured(folder, '[quality]\nfamily = ["one", "two"]')


def _no_ability(folder: Path) -> PipelineConfig:
    for name in ("one", "two"):
        model_folder(folder / name)
    return configured(folder, '[quality]\nfamily = ["one", "two"]\nabilities = { one = 0.3 }')


def _one_proxy(folder: Path) -> PipelineConfig:
    return configured(folder, "[bootstrap]\nmodels = 1")


def _no_index(folder: Path) -> PipelineConfig:
    (folder / "corpus" / "index").mkdir(parents=True)
    return configured(folder, '[deduplication]\nagainst = ["corpus"]')


def _no_choice(folder: Path) -> PipelineConfig:
    return configured(folder, '[plan]\nreuse = "artifacts/mix/0123456789abcdef"')


def _no_target(folder: Path) -> PipelineConfig:
    config = configured(folder)
    return config.model_copy(update={"corpus": config.corpus.model_copy(update={"references": ()})})


def _uneven_batch(folder: Path) -> PipelineConfig:
    return configured(folder, "[training]\nbatch_sequences = 7")


def _file_for_artifacts(folder: Path) -> PipelineConfig:
    (folder / "artifacts").write_text("")
    return configured(folder)


@pytest.mark.parametrize(
    "made, said",
    [
        (_empty, "corpus.domains[1].sources[0].path: b has no document: all files of b.jsonl are empty"),
        (_odd_ending, "b.docx: has an ending that names no format"),
        (_no_end, "has no end-of-text token that is known; name the token that ends a document in"),
        (_half_classifier, "c.bin: ends before the model does"),
        (_one_label, "c.bin: knows 1 label"),
        (_wrong_label, "quality.positive_label: '__label__1' is no label of c.bin; choose one of __label__"),
        (_wrong_ensemble, "quality.positive_label: '__label__hq' is no label of d.bin"),
        (_unknown_language, "filters.language.labels: names __label__en, which the model does not know"),
        (_blank_blocklist, "s.txt names no site"),
        (_binary_blocklist, "s.txt cannot be read"),
        (_no_model, "two: has no config.json"),
        (_half_model, "model.safetensors: ends before its tensors do"),
        (_no_ability, "quality.abilities.two: is missing"),
        (_one_proxy, "bootstrap.models: is 1, and predictive strength needs at least two models"),
        (_no_index, "corpus holds no index"),
        (_no_choice, "plan.reuse: artifacts/mix/0123456789abcdef cannot be used"),
        (_no_target, "mix.target: is empty and corpus.references too"),
        (_uneven_batch, "training.batch_sequences: 7 is no multiple"),
        (_file_for_artifacts, "artifacts is a file; give a folder"),
    ],
)
def test_each_thing_that_will_not_do_is_one_problem(
    made: Callable[[Path], PipelineConfig], said: str, tmp_path: Path
) -> None:
    (problem,) = problems(made(tmp_path))
    assert said in problem
    assert "\n" not in problem


def test_a_problem_in_a_file_names_the_setting_that_gives_it(tmp_path: Path) -> None:
    (problem,) = problems(_half_classifier(tmp_path))
    assert problem.startswith("quality.classifier: ")
    config = configured(tmp_path, '[quality]\nclassifier = "folder"')
    (tmp_path / "folder").mkdir()
    (problem,) = problems(config)
    assert problem.startswith("quality.classifier: ")


def test_an_index_and_a_choice_that_are_there_will_do(tmp_path: Path) -> None:
    config, done = easy_and_hard(tmp_path, "")
    section = config.deduplication.model_copy(update={"against": (done["deduplicate"].address,)})
    good = config.model_copy(update={"deduplication": section})
    assert findings(good)["deduplication.against"].problem is None
    other = section.model_copy(update={"bands": 3})
    bad = findings(config.model_copy(update={"deduplication": other}))["deduplication.against"]
    assert "was made with bands = 14, not 3" in str(bad.problem)
    plan = config.plan.model_copy(update={"reuse": done["ingest"].address})
    bad = findings(config.model_copy(update={"plan": plan}))["plan.reuse"]
    assert "is a result of ingest" in str(bad.problem)


def test_several_problems_are_one_error_of_as_many_lines() -> None:
    one, two = ConfigError("a", "is wrong", "mend it"), DataError("b", "is bad", "mend it too")
    with pytest.raises(ConfigError, match=r"^a: is wrong; mend it$"):
        refuse_problems([Finding("s", "a", problem=one), Finding("s", "c", "good")])
    with pytest.raises(Problems) as caught:
        refuse_problems([Finding("s", "a", problem=one), Finding("s", "b", problem=two)])
    assert str(caught.value) == "a: is wrong; mend it\nb: is bad; mend it too"
    assert caught.value.exit_code == 2
    refuse_problems([Finding("s", "c", "good")])


def test_every_setting_that_is_a_path_is_looked_at_or_is_no_file_of_a_run() -> None:
    """A new path in the config must be looked at, or said here why not."""
    looked_at = {
        "artifacts",
        "scratch",
        "corpus.domains.sources.path",
        "corpus.references.sources.path",
        "corpus.evaluations.sources.path",
        "filters.url.blocklist",
        "filters.language.classifier",
        "deduplication.against",
        "quality.classifier",
        "quality.ensemble",
        "quality.family",
        "tokens.tokenizer",
        "training.deepspeed",
        "training.offload.folder",
        "training.initial",
        "evaluation.tasks_path",
    }
    not_files = {"root": "made absolute when the config is read"}
    not_files |= {"engine.ray_address": "a cluster", "training.rendezvous": "a host and a port"}
    not_files |= {"training.address": "an address of this machine"}
    not_files |= {"training.metrics.mlflow.uri": "a server, which training goes on without"}
    named = {name for name in protected_settings(PipelineConfig) if not name.startswith("launch.")}
    assert named == looked_at | not_files.keys()


def test_run_tells_problems_as_the_stages_would(tmp_path: Path) -> None:
    """A look is no other opinion: what it refuses, the stage refuses."""
    config = _blank_blocklist(tmp_path)
    with pytest.raises(MashbillError, match="names no site"):
        run_stages(config, "filter")


def test_a_family_of_two_will_do(tmp_path: Path) -> None:
    two = configured(tmp_path, "[bootstrap]\nmodels = 2\ngroup_size = 2")
    assert not [said for said in problems(two) if "bootstrap" in said]

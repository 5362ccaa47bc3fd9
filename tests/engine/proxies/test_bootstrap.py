"""The bootstrap's family: mixtures around the natural one of a sample, other than a sweep's, within the limit
of repeats."""

import numpy as np
import pytest

from builders.corpus import corpus_config, run_stage, run_stages, write_jsonl
from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig
from mashbill.mixtures import MixtureTable
from mashbill.tokens import TokenStore

SETTINGS = """
[tokens]
vocabulary = 300
[proxy]
model = { layers = 1, width = 8, heads = 2, kv_heads = 2, feed_forward = 8, context = 16 }
[bootstrap]
models = 6
group_size = 6
tokens = 2_000
sample_bytes = 20_000
[plan]
mixtures = 6
min_strength = 300.0
max_strength = 300.0
max_epochs = 1000
[sweep]
tokens = 2_000
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[PipelineConfig, dict[str, Artifact]]:
    """A small domain of short documents and a large one of long ones."""
    folder, random = tmp_path_factory.mktemp("bootstrap"), np.random.default_rng(0)
    for name, count, words in (("little", 600, 20), ("much", 1_300, 100)):
        drawn = random.integers(0, 90, (count, words))
        write_jsonl(folder / f"{name}.jsonl", (" ".join(f"w{word}" for word in row) for row in drawn))
    extra = f"[deduplication]\nnear = false\n{SETTINGS}"
    config = corpus_config(folder, {"little": "little.jsonl", "much": "much.jsonl"}, extra=extra)
    return config, run_stages(config, "deduplicate")


def changed(config: PipelineConfig, **sections: dict[str, object]) -> PipelineConfig:
    return config.model_copy(
        update={name: getattr(config, name).model_copy(update=update) for name, update in sections.items()}
    )


def family(config: PipelineConfig, done: dict[str, Artifact]) -> np.ndarray:
    """[models, domains] the family's mixtures."""
    return MixtureTable.read(run_stage(config, "bootstrap", done).path / "mixtures.csv").weights


def test_a_family_has_mixtures_of_its_own_by_the_seed(
    corpus: tuple[PipelineConfig, dict[str, Artifact]],
) -> None:
    config, done = corpus
    first = family(config, done)
    assert first.shape == (6, 2)
    assert len(np.unique(first.round(6), axis=0)) == 6
    other_seed = family(config.model_copy(update={"seed": 1}), done)
    assert np.abs(first - other_seed).max() > 0.01  # more than another split of the text would make of it
    tokenized = run_stage(config, "tokenize", {**done, "select": done["deduplicate"]})
    plan = run_stage(config, "plan", {"tokenize": tokenized})
    swept = MixtureTable.read(plan.path / "mixtures.csv").weights
    for others in (other_seed, swept):
        assert not (np.abs(first[:, None] - others[None]).max(axis=2) < 1e-6).any()


def test_it_is_made_around_the_natural_mixture_of_a_sample(
    corpus: tuple[PipelineConfig, dict[str, Artifact]],
) -> None:
    config, done = corpus
    whole = changed(config, bootstrap={"sample_bytes": 10**9})
    read = {}
    for name, settings in (("sample", config), ("whole", whole)):
        artifact = run_stage(settings, "bootstrap", done)
        store = TokenStore(artifact.path.with_name(f"{artifact.path.name}.parts") / "group-0000-0005")
        splits = ("train", "validation")
        read[name] = [sum(store.counts(d, s)["documents"] for s in splits) for d in store.domains]
        tokens = store.train_amounts()
        roots = np.sqrt(tokens / tokens.sum())  # tempered, as the plan is
        found = MixtureTable.read(artifact.path / "mixtures.csv").weights.mean(axis=0)
        assert found == pytest.approx(roots / roots.sum(), abs=0.04)
        assert found[1] > 0.6
    assert read == {"sample": [512, 512], "whole": [600, 1_300]}  # whole batches, the last past the limit


def test_no_model_of_it_repeats_a_domain_more_often_than_the_plan_allows(
    corpus: tuple[PipelineConfig, dict[str, Artifact]],
) -> None:
    config, done = corpus
    tight = changed(
        config,
        plan={"min_strength": 0.5, "max_strength": 0.5, "max_epochs": 0.04},
        bootstrap={"tokens": 4_000, "models": 5},
    )
    mixtures = family(tight, done)
    artifact = run_stage(tight, "bootstrap", done)
    have = TokenStore(
        artifact.path.with_name(f"{artifact.path.name}.parts") / "group-0000-0004"
    ).train_amounts()
    assert mixtures[:, 0].max() <= 0.04 * have[0] / 4_000 + 1e-6

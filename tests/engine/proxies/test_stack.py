"""Proxies trained together are the proxies that training alone gives; a diverged one spoils no other; a
killed loop goes on."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from builders.corpus import SMALL_SWEEP, easy_and_hard, run_stage
from mashbill.artifacts import Artifact
from mashbill.config import ModelShape, PipelineConfig, ProxyConfig
from mashbill.models.capacity import LOGITS_BYTES, members_within, training_bytes
from mashbill.models.huggingface import load_model
from mashbill.models.transformer import Transformer
from mashbill.proxies.learners import SingleLearner, StackedLearner
from mashbill.proxies.proxy import CHECKPOINT, Member, ProxyResult, train_members
from mashbill.stages import job_of, stage_named
from mashbill.tokens import TokenStore

VOCABULARY, STEPS = 90, 20
SHAPES = [
    ModelShape(layers=2, width=32, heads=4, kv_heads=2, feed_forward=48, context=24, tied=False),
    ModelShape(layers=1, width=16, heads=2, kv_heads=2, feed_forward=32, context=16),
    ModelShape(
        layers=3,
        width=32,
        heads=4,
        kv_heads=2,
        head_width=12,
        feed_forward=512,
        context=16,
        qk_norm=True,
        attention_from=0.5,
        feed_forward_from=0.5,
    ),
]
CONFIG = (
    SMALL_SWEEP.replace("[proxy]", '[proxy]\nprecision = "fp32"')
    + """[sweep]
tokens = 10000
group_size = 3
evaluations = 2
[mix]
target = { easy = 1.0 }
"""
)


def configs(shape: ModelShape) -> list[ProxyConfig]:
    """Four proxies that differ in all that members may differ in."""
    settings = [(1e-2, 0.1, 1.0), (3e-3, 0.0, 0.05), (1e-3, 0.3, 10.0), (2e-2, 0.1, 0.5)]
    return [
        ProxyConfig(
            model=shape,
            batch_sequences=3,
            learning_rate=rate,
            weight_decay=decay,
            gradient_clip=clip,
            precision="fp32",
        )
        for rate, decay, clip in settings
    ]


def batches(shape: ModelShape, members: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, VOCABULARY, (STEPS, members, 3, shape.context + 1))


@pytest.mark.parametrize("shape", SHAPES, ids=["untied grouped", "tied", "growing normed"])
def test_stacked_equals_alone(shape: ModelShape) -> None:
    settings, text = configs(shape), batches(shape, 4)
    models = [Transformer(shape, VOCABULARY, seed) for seed in range(4)]
    together = StackedLearner(models, settings, "cpu")
    alone = [SingleLearner(model, config) for model, config in zip(models, settings, strict=True)]
    for step in range(STEPS):
        rates = np.array([c.learning_rate * (step + 1) / STEPS for c in settings])
        together.learn(text[step], rates)
        for k, one in enumerate(alone):
            one.learn(text[step, k : k + 1], rates[k : k + 1])
        assert together.losses() == pytest.approx(np.concatenate([one.losses() for one in alone]), abs=1e-5)
    stream = text.reshape(-1)[:500]
    assert together.measure(stream, 900) == pytest.approx(
        [float(one.measure(stream, 900)[0]) for one in alone], abs=2e-2
    )
    for k, one in enumerate(alone):
        for name, value in together.member_state(k).items():
            assert torch.allclose(value, one.member_state(0)[name], atol=1e-4), name


def test_a_diverged_member_spoils_no_other() -> None:
    shape, text = SHAPES[0], batches(SHAPES[0], 3)
    models = [Transformer(shape, VOCABULARY, seed) for seed in range(3)]
    healthy = StackedLearner(models, configs(shape)[:3], "cpu")
    with torch.no_grad():
        models[1].model.layers[0].mlp.up_proj.weight.fill_(float("inf"))  # type: ignore[union-attr, operator]
    spoilt = StackedLearner(models, configs(shape)[:3], "cpu")
    for step in range(STEPS):
        for learner in (healthy, spoilt):
            learner.learn(text[step], np.full(3, 1e-2))
    assert healthy.failed_at().tolist() == [-1, -1, -1]
    assert spoilt.failed_at().tolist() == [-1, 0, -1]
    assert np.isnan(spoilt.losses()[1])
    assert spoilt.losses()[[0, 2]].tolist() == healthy.losses()[[0, 2]].tolist()


@pytest.fixture(scope="module")
def tokenized(tmp_path_factory: pytest.TempPathFactory) -> tuple[PipelineConfig, dict[str, Artifact]]:
    return easy_and_hard(tmp_path_factory.mktemp("stack"), CONFIG)


def members(store: TokenStore, folder: Path, count: int, config: ProxyConfig) -> list[Member]:
    easy, hard = store.domains
    return [Member({easy: 1 - 0.2 * i, hard: 0.2 * i}, 10 + i, config, folder / str(i)) for i in range(count)]


def train(
    store: TokenStore,
    some: Sequence[Member],
    scratch: Path,
    kill_at: float = 2.0,
    checkpoint_seconds: float = 1e9,
) -> list[ProxyResult]:
    class Killed(Exception):
        pass

    def progress(share: float, words: str) -> None:
        if share >= kill_at:
            raise Killed

    try:
        return train_members(
            store,
            some,
            tokens=20_000,
            evaluations=4,
            scratch=scratch,
            progress=progress,
            checkpoint_seconds=checkpoint_seconds,
        )
    except Killed:
        return []


@pytest.mark.parametrize("count", [1, 3])
def test_a_killed_loop_goes_on_to_the_same_models(
    count: int, tokenized: tuple[PipelineConfig, dict[str, Artifact]], tmp_path: Path
) -> None:
    config, done = tokenized
    store = TokenStore(done["tokenize"].path)
    whole = train(store, members(store, tmp_path / "whole", count, config.proxy), tmp_path / "whole")
    some = members(store, tmp_path / "killed", count, config.proxy)
    assert train(store, some, tmp_path, kill_at=0.5, checkpoint_seconds=0.0) == []
    kept = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert 0 < kept["step"] < 78
    killed = train(store, some, tmp_path)
    assert [r.trajectory for r in killed] == [r.trajectory for r in whole]
    assert not (tmp_path / CHECKPOINT).exists()
    for i in range(count):
        one, other = (load_model(tmp_path / folder / str(i)).state_dict() for folder in ("whole", "killed"))
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_checkpoint_of_other_proxies_is_not_used(
    tokenized: tuple[PipelineConfig, dict[str, Artifact]], tmp_path: Path
) -> None:
    config, done = tokenized
    store = TokenStore(done["tokenize"].path)
    train(store, members(store, tmp_path, 1, config.proxy), tmp_path, kill_at=0.5, checkpoint_seconds=0.0)
    faster = config.proxy.model_copy(update={"learning_rate": 2e-2})
    resumed = train(store, members(store, tmp_path, 1, faster), tmp_path)
    fresh = train(store, members(store, tmp_path / "b", 1, faster), tmp_path / "b")
    assert resumed[0].trajectory == fresh[0].trajectory


def sweep(config: PipelineConfig, done: dict[str, Artifact], **changes: object) -> Artifact:
    sections = {name: getattr(config, name).model_copy(update=update) for name, update in changes.items()}  # type: ignore[call-overload]
    changed = config.model_copy(update=sections)
    return run_stage(changed, "sweep", {**done, "plan": run_stage(changed, "plan", done)})


def test_a_stacked_sweep_measures_what_one_at_a_time_does(
    tokenized: tuple[PipelineConfig, dict[str, Artifact]],
) -> None:
    config, done = tokenized
    tables = [pd.read_csv(sweep(config, done, proxy={"stack": size}).path / "losses.csv") for size in (1, 2)]
    assert (
        np.abs(tables[0].to_numpy() - tables[1].to_numpy()).max() < 2e-2
    )  # measured in bf16 where the processor has it
    assert len(tables[0]) == 6


def test_two_settings_of_the_optimiser_are_swept_and_the_better_serve(
    tokenized: tuple[PipelineConfig, dict[str, Artifact]],
) -> None:
    config, done = tokenized
    also = (config.proxy.model_copy(update={"learning_rate": 1e-2, "min_learning_rate": 1e-3}),)
    swept = sweep(config, done, sweep={"also": also}, proxy={"stack": 2})
    facts = json.loads((swept.path / "settings.json").read_text())
    tables = [pd.read_csv(swept.path / f"losses_{place}.csv") for place in range(2)]
    means = [table.drop(columns="index").to_numpy().mean() for table in tables]
    assert facts["chosen"] == int(np.argmin(means))
    assert [row["mean_loss"] for row in facts["settings"]] == pytest.approx(means)
    assert facts["settings"][facts["chosen"]]["agreement"] == pytest.approx(1)
    chosen = pd.read_csv(swept.path / "losses.csv")
    assert chosen.equals(tables[facts["chosen"]])
    assert len(list((swept.path / "proxies").iterdir())) == 6
    assert swept.manifest.counts["tokens"] > 2 * 6 * 9_000


def test_a_gpu_holds_as_many_proxies_as_its_memory_allows() -> None:
    config = ProxyConfig(model=SHAPES[0])
    one = training_bytes(config.model, VOCABULARY, config.batch_sequences)
    assert members_within(LOGITS_BYTES + 10 * one, config, VOCABULARY) == 10
    assert members_within(0, config, VOCABULARY) == 1


def test_a_killed_group_retrains_no_finished_member(
    tokenized: tuple[PipelineConfig, dict[str, Artifact]],
) -> None:
    class Killed(Exception):
        pass

    config, done = tokenized
    config = config.model_copy(update={"seed": 5})
    inputs = {**done, "plan": run_stage(config, "plan", done)}
    finished: dict[Path, int] = {}

    def progress(share: float, words: str) -> None:
        if share > 0.5:  # the second of three members is at work
            finished.update({path: path.stat().st_mtime_ns for path in scratch.glob("*/result.json")})
            raise Killed

    job = job_of(stage_named("sweep"), config, inputs)
    scratch = job.store.scratch_folder("sweep", job.fingerprint, "group-0000-0002")
    job.progress = progress
    with pytest.raises(Killed):
        job.run_part("group-0000-0002")
    assert [path.parent.name for path in finished] == ["0000"]
    job.progress = lambda share, words: kept.update(
        {path: path.stat().st_mtime_ns for path in finished if path.exists()}
    )
    kept: dict[Path, int] = {}
    (scratch / "0001").mkdir(exist_ok=True)
    (scratch / "0001" / "checkpoint.part").touch()  # a checkpoint that the kill cut off
    part = job.run_part("group-0000-0002")
    assert kept == finished
    assert not [entry.path for entry in part.manifest.files if entry.path.endswith(".part")]


def test_a_sweep_goes_on_in_groups_of_another_size_and_retrains_nothing_that_is_finished(
    tokenized: tuple[PipelineConfig, dict[str, Artifact]],
) -> None:
    class Killed(Exception):
        pass

    config, done = tokenized
    config = config.model_copy(update={"seed": 6})
    inputs = {**done, "plan": run_stage(config, "plan", done)}

    def kill(share: float, words: str) -> None:
        if share > 0.5:  # the fifth of six is at work
            raise Killed

    job = job_of(stage_named("sweep"), config, inputs)
    first, second = job.part_names()
    job.run_part(first)
    job.progress = kill
    with pytest.raises(Killed):
        job.run_part(second)
    of_first = job.find_part(first)
    assert of_first is not None
    scratch = job.store.scratch_folder("sweep", job.fingerprint, second)
    places = [*of_first.path.glob("proxies/*/result.json"), *scratch.glob("*/result.json")]
    before = {path.parent.name: path.read_text() for path in places}
    assert sorted(before) == ["0000", "0001", "0002", "0003"]
    pairs = config.model_copy(update={"sweep": config.sweep.model_copy(update={"group_size": 2})})
    again = job_of(stage_named("sweep"), pairs, inputs)
    assert again.part_names() == ["group-0000-0001", "group-0002-0003", "group-0004-0005"]
    swept = again.run()
    assert {name: (swept.path / "proxies" / name / "result.json").read_text() for name in before} == before
    assert job.find() is not None

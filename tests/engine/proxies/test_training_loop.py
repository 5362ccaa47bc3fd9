"""The proxies' loop is a plain one: the batches that the loader gives, in turn, AdamW in numpy, each member
by its own settings; what it writes down is what was measured."""

import json
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from builders.known_models import bigram_table
from builders.plain_adamw import PlainAdamW, arrays_of, plain_gradients, put_into, target_losses
from builders.planted import Touching
from builders.token_stores import BYTES_A_TOKEN, VOCABULARY, markov_stream, write_store
from mashbill.config import ModelShape, ProxyConfig
from mashbill.mixtures import MixtureLoader, Schedule
from mashbill.models.huggingface import load_model
from mashbill.models.optimisation import learning_rate_at
from mashbill.models.transformer import Transformer
from mashbill.proxies.learners import SingleLearner, StackedLearner
from mashbill.proxies.proxy import CHECKPOINT, Member, train_members
from mashbill.proxies.result import ProxyResult
from mashbill.tokens import TokenStore

CONTEXT, BATCH, STEPS = 16, 3, 10
SHAPE = ModelShape(layers=1, width=16, heads=2, kv_heads=1, feed_forward=24, context=CONTEXT)
SETTINGS = [
    {"learning_rate": 2e-2, "min_learning_rate": 1e-3, "warmup_share": 0.4, "weight_decay": 0.5},
    {"learning_rate": 1e-2, "min_learning_rate": 5e-3, "warmup_share": 0.0, "gradient_clip": 0.05},
    {"learning_rate": 3e-2, "min_learning_rate": 0.0, "warmup_share": 0.2, "gradient_clip": 0.2},
]
TOKENS = STEPS * BATCH * CONTEXT


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    """Two domains with laws of their own, and a reference between them."""
    streams = {
        name: tuple(markov_stream(bigram_table(law), length, seed) for seed, length in ((1, 400), (2, 60)))
        for name, law in (("plain", 11), ("other", 12))
    }
    mixed = np.concatenate([streams["plain"][1], streams["other"][1]])
    return write_store(tmp_path_factory.mktemp("store"), streams, {"mixed": mixed})  # type: ignore[arg-type]


def configs(count: int) -> list[ProxyConfig]:
    shared = {"model": SHAPE, "batch_sequences": BATCH, "precision": "fp32", "device": "cpu"}
    return [ProxyConfig.model_validate({**shared, **settings}) for settings in SETTINGS[:count]]


def planned(folder: Path, count: int) -> list[Member]:
    """Members that differ in all that members may differ in."""
    schedule = Schedule(("plain", "other"), np.array([0.3, 0.7]), np.array([[1.0, 0.0], [0.2, 0.8]]))
    mixtures = [{"plain": 0.8, "other": 0.2}, schedule, {"plain": 0.3, "other": 0.7}]
    return [
        Member(mixture, seed, config, folder / str(seed))
        for seed, (mixture, config) in enumerate(zip(mixtures, configs(count), strict=False), 5)
    ]


def train(
    store: TokenStore, members: Sequence[Member], scratch: Path, evaluations: int = 2
) -> list[ProxyResult]:
    return train_members(
        store,
        members,
        tokens=TOKENS + CONTEXT,  # rounded to whole batches
        evaluations=evaluations,
        scratch=scratch,
        progress=lambda *_: None,
    )


def plain_bits(model: Transformer, store: TokenStore, name: str) -> float:
    """Bits per byte of a set: every token but the first, in windows of the context one after the other."""
    tokens = torch.from_numpy(store.validation(name).tokens.astype(np.int64))
    with torch.no_grad():
        nats = sum(
            float(target_losses(model, tokens[None, start : start + CONTEXT + 1]).sum())
            for start in range(0, len(tokens) - 1, CONTEXT)
        )
    return nats / np.log(2) / (BYTES_A_TOKEN * len(tokens))


def plainly_trained(store: TokenStore, member: Member, look_at: Sequence[int]) -> tuple[Transformer, dict]:  # type: ignore[type-arg]
    """The model that a plain loop comes to, and bits per byte of every set after some steps."""
    config, model = member.config, Transformer(SHAPE, VOCABULARY, member.seed)
    loader = MixtureLoader(
        {name: store.train_tokens(name) for name in store.domains},
        member.mixture,
        context=CONTEXT,
        sequences=STEPS * BATCH,
        seed=member.seed,
    )
    text = loader.sequences_at(np.arange(STEPS * BATCH)).reshape(STEPS, BATCH, CONTEXT + 1)
    plain = PlainAdamW(arrays_of(model), weight_decay=config.weight_decay, gradient_clip=config.gradient_clip)
    measured = {}
    for step in range(STEPS):
        rate = learning_rate_at(
            step,
            STEPS,
            config.learning_rate,
            minimum=config.min_learning_rate,
            warmup_share=config.warmup_share,
        )
        loss = target_losses(model, torch.from_numpy(text[step])).mean()
        plain.step(plain_gradients(model, loss), rate)
        put_into(model, plain.weights)
        if step + 1 in look_at:
            measured[step + 1] = {name: plain_bits(model, store, name) for name in store.set_names}
    return model, measured


@pytest.mark.parametrize("count", [1, 3])
def test_proxies_become_what_a_plain_loop_makes_of_them(
    store: TokenStore, tmp_path: Path, count: int
) -> None:
    members = planned(tmp_path, count)
    results = train(store, members, tmp_path / "scratch")
    look_at = [5, 10] if count == 1 else [3, 5, 10]  # a schedule is measured at its phase's end, too
    for member, result in zip(members, results, strict=True):
        model, measured = plainly_trained(store, member, look_at)
        trained = dict(load_model(member.folder).named_parameters())
        for name, weight in model.named_parameters():
            assert trained[name].detach().numpy() == pytest.approx(weight.detach().numpy(), abs=2e-5), name
        assert [point["step"] for point in result.trajectory] == look_at
        for point in result.trajectory:
            assert point["tokens"] == point["step"] * BATCH * CONTEXT
            found = {name: point[name] for name in store.set_names}
            assert found == pytest.approx(measured[int(point["step"])], rel=1e-2)
        assert (result.tokens, result.failed) == (TOKENS, "")


def test_evaluations_that_do_not_divide_the_steps_are_at_the_nearest(
    store: TokenStore, tmp_path: Path
) -> None:
    (result,) = train(store, planned(tmp_path, 1), tmp_path / "scratch", evaluations=3)
    assert [point["step"] for point in result.trajectory] == [3, 7, 10]


def test_tokens_for_less_than_a_batch_are_one_step(store: TokenStore, tmp_path: Path) -> None:
    (result,) = train_members(
        store,
        planned(tmp_path, 1),
        tokens=1,
        evaluations=3,
        scratch=tmp_path / "scratch",
        progress=lambda *_: None,
    )
    assert [point["step"] for point in result.trajectory] == [1]
    assert result.tokens == BATCH * CONTEXT


def test_a_checkpoint_that_someone_else_planted_runs_nothing(store: TokenStore, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    torch.save({"identity": Touching(mark)}, tmp_path / CHECKPOINT)
    with pytest.raises(pickle.UnpicklingError, match="Weights only"):
        train(store, planned(tmp_path, 1), tmp_path)
    assert not mark.exists()


def test_proxies_of_equal_mixtures_and_other_seeds_differ_and_of_equal_seeds_do_not(
    store: TokenStore, tmp_path: Path
) -> None:
    config, mixture = configs(1)[0], {"plain": 0.5, "other": 0.5}
    ends = [
        train(store, [Member(mixture, seed, config, tmp_path / name)], tmp_path / name)[0].trajectory[-1]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert ends[0] == ends[1]
    assert ends[0] != ends[2]


@pytest.mark.parametrize("count", [1, 2])
def test_a_model_whose_loss_is_no_number_keeps_the_step_it_failed_at(count: int) -> None:
    models = [Transformer(SHAPE, VOCABULARY, seed) for seed in range(count)]
    learner = (
        SingleLearner(models[0], configs(1)[0])
        if count == 1
        else StackedLearner(models, configs(count), "cpu")
    )
    text = np.random.default_rng(0).integers(0, VOCABULARY, (6, count, BATCH, CONTEXT + 1))
    for step in range(6):
        if step == 3:
            state = learner.state()
            for weight in state["model"].values():
                weight[..., 0].fill_(float("nan"))
            learner.load(state)
        assert learner.failed_at().tolist() == [3 if step > 3 else -1] * count
        learner.learn(text[step], np.full(count, 1e-2))


def test_a_proxy_that_diverges_has_no_loss_and_no_model_and_counts_the_tokens_it_read(
    store: TokenStore, tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    def kill(share: float, words: str) -> None:
        raise Killed

    (member,) = planned(tmp_path, 1)
    options = {"tokens": TOKENS, "evaluations": 2, "scratch": tmp_path}
    with pytest.raises(Killed):
        train_members(store, [member], progress=kill, checkpoint_seconds=0.0, **options)  # type: ignore[arg-type]
    kept = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert kept["step"] == 4  # the kill came at the first evaluation, before the fifth step was saved
    kept["learner"]["model"]["model.norm.weight"].fill_(float("nan"))
    torch.save(kept, tmp_path / CHECKPOINT)
    said: list[str] = []
    (result,) = train_members(store, [member], progress=lambda _, words: said.append(words), **options)  # type: ignore[arg-type]
    assert said == ["step 5 of 10, diverged"]
    assert result.failed == "loss is no number at step 4"
    assert result.tokens == 5 * BATCH * CONTEXT
    assert result.trajectory == []
    assert not (member.folder / "model.safetensors").exists()
    assert np.isnan(result.target_loss({"plain": 1.0}))
    result.write(member.folder, 7)
    assert json.loads((member.folder / "result.json").read_text())["index"] == 7


def test_a_checkpoint_serves_only_the_proxy_it_was_made_for(store: TokenStore, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(share: float, words: str) -> None:
        raise Killed

    (made_for,) = planned(tmp_path, 1)
    others = {
        "seed": replace(made_for, seed=6),
        "mixture": replace(made_for, mixture={"plain": 0.2, "other": 0.8}),
        "settings": replace(made_for, config=made_for.config.model_copy(update={"weight_decay": 0.0})),
    }
    longer = {"tokens": 2 * TOKENS}
    for name, member in {**others, "length": made_for}.items():
        options = {"evaluations": 2, "tokens": TOKENS, "progress": lambda *_: None}
        with pytest.raises(Killed):
            train_members(
                store,
                [made_for],
                scratch=tmp_path / name,
                checkpoint_seconds=0.0,
                **{**options, "progress": kill},  # type: ignore[arg-type]
            )
        if name == "length":
            options.update(longer)
        (resumed,) = train_members(store, [member], scratch=tmp_path / name, **options)  # type: ignore[arg-type]
        (fresh,) = train_members(store, [member], scratch=tmp_path / "fresh", **options)  # type: ignore[arg-type]
        assert resumed.trajectory == fresh.trajectory
        assert len(resumed.trajectory) == 2

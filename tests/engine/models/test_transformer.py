"""The transformer is Llama: equal to Hugging Face's, its fused loss to the plain one, its sizes to the
published."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models

from builders.planted import malicious_pickle
from mashbill.config import ModelShape
from mashbill.errors import DataError
from mashbill.models.attention import Documents, causal_attention, packing
from mashbill.models.huggingface import load_model, save_model
from mashbill.models.measurement import FamilyModel
from mashbill.models.sizes import flops_per_token, memory_per_rank, parameter_count
from mashbill.models.transformer import Transformer

TINYLLAMA = ModelShape(
    layers=22, width=2048, heads=32, kv_heads=4, feed_forward=5632, context=2048, tied=False
)


@pytest.fixture
def tokenizer_path(tmp_path: Path) -> Path:
    path = tmp_path / "tokenizer.json"
    Tokenizer(models.BPE({"<|endoftext|>": 0, "a": 1}, [])).save(str(path))
    return path


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_logits_equal_those_of_transformers(
    tmp_path: Path, tokenizer_path: Path, tied: bool, kv_heads: int
) -> None:
    from transformers import AutoModelForCausalLM

    shape = ModelShape(
        layers=2,
        width=32,
        heads=4,
        kv_heads=kv_heads,
        feed_forward=48,
        context=16,
        tied=tied,
        rope_theta=50.0,
    )
    model = Transformer(shape, 50, seed=3).eval()
    with torch.no_grad():
        for weight in model.parameters():  # larger than at the start, norms too, so that every part shows
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) * 0.3 + 0.1)
        model.model.embed_tokens.weight.mul_(1e-2)  # so small that the norms' epsilon counts
    save_model(model, tmp_path / "model", tokenizer_path)
    tokens = torch.randint(0, 50, (2, 16), generator=torch.Generator().manual_seed(0))
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    with torch.no_grad():
        assert torch.allclose(model(tokens), theirs(tokens).logits, atol=1e-5)
        assert torch.equal(model(tokens), load_model(tmp_path / "model")(tokens))


def test_a_model_of_the_family_is_read_without_running_it(tmp_path: Path, tokenizer_path: Path) -> None:
    folder, mark = tmp_path / "model", tmp_path / "mark"
    shape = ModelShape(layers=1, width=32, heads=4, kv_heads=4, feed_forward=48, context=16)
    save_model(Transformer(shape, 2, seed=3), folder, tokenizer_path)
    for name in ("pytorch_model.bin", "model.bin", "modeling_llama.py"):
        (folder / name).write_bytes(malicious_pickle(mark))
    assert FamilyModel(folder).context == 16
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"model: is no causal language model .* with safetensors"):
        FamilyModel(folder)
    assert not mark.exists()


@pytest.mark.parametrize("tied", [True, False])
def test_fused_loss_and_gradients_equal_the_plain_ones(tied: bool) -> None:
    shape = ModelShape(layers=1, width=32, heads=2, kv_heads=1, feed_forward=48, context=600, tied=tied)
    model = Transformer(shape, 70, seed=1)
    tokens = torch.randint(0, 70, (2, 601), generator=torch.Generator().manual_seed(0))[:, :601]
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    plain = torch.nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
    expected = torch.autograd.grad(plain, list(model.parameters()))
    fused = model.loss(inputs, targets)
    got = torch.autograd.grad(3 * fused, list(model.parameters()))  # as where losses are weighted
    assert fused.item() == pytest.approx(plain.item(), abs=1e-6)
    for one, other in zip(got, expected, strict=True):
        assert torch.allclose(one, 3 * other, atol=3e-6)


def test_a_model_on_disk_says_what_transformers_and_we_must_know_of_it(tmp_path: Path) -> None:
    vocabulary = {"a": 0, "b": 1, "<eos>": 2}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.add_special_tokens(["<eos>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    shape = ModelShape(layers=1, width=16, heads=2, kv_heads=1, feed_forward=24, context=48)
    save_model(Transformer(shape, 3), tmp_path / "model", tmp_path / "tokenizer.json", end_of_text=2)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert [config[f"{name}_token_id"] for name in ("bos", "eos", "pad")] == [2, 2, 2]
    assert (config["rms_norm_eps"], config["max_position_embeddings"]) == (1e-5, 48)  # Llama's epsilon
    settings = json.loads((tmp_path / "model" / "tokenizer_config.json").read_text())
    assert (settings["eos_token"], settings["bos_token"]) == ("<eos>", "<eos>")
    assert settings["model_max_length"] == 48


def test_tinyllama_has_its_published_sizes() -> None:
    with torch.device("meta"):
        model = Transformer(TINYLLAMA, 32_000)
    assert sum(p.numel() for p in model.parameters()) == parameter_count(TINYLLAMA, 32_000) == 1_100_048_384
    assert flops_per_token(TINYLLAMA, 32_000) == pytest.approx(7.314e9, rel=1e-3)
    gigabytes = [memory_per_rank(1_100_048_384, 8, stage) / 2**30 for stage in range(4)]
    assert gigabytes == pytest.approx([16.4, 5.6, 3.8, 2.05], abs=0.06)


@pytest.mark.parametrize("length", [16, 300])  # of short sequences and of long ones
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_position_sees_what_is_yet_to_come(dtype: torch.dtype, length: int) -> None:
    shape = ModelShape(layers=2, width=32, heads=4, kv_heads=2, feed_forward=48, context=length)
    model = Transformer(shape, 50, seed=3).eval()
    tokens = torch.randint(0, 50, (1, length), generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[0, length // 2] = (tokens[0, length // 2] + 1) % 50
    with torch.no_grad(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        one, other = model(tokens)[0], model(changed)[0]
    assert torch.equal(one[: length // 2], other[: length // 2])
    assert all(not torch.equal(a, b) for a, b in zip(one[length // 2 :], other[length // 2 :], strict=True))


@pytest.mark.parametrize(("width", "deviation"), [(40, 0.1), (160, 0.05), (1_000, 0.02), (1_600, 0.02)])
def test_weights_start_as_the_seed_says_small_and_smaller_where_they_write_to_the_stream(
    width: int, deviation: float
) -> None:
    shape = ModelShape(layers=2, width=width, heads=4, kv_heads=4, feed_forward=64, context=16, tied=False)
    model, same, other = (Transformer(shape, 200, seed) for seed in (1, 1, 2))
    for name, weight in model.named_parameters():
        again, others = same.get_parameter(name), other.get_parameter(name)
        assert torch.equal(weight, again)
        if "norm" in name:
            assert (weight == 1).all()
            continue
        assert not torch.equal(weight, others)
        smaller = name.endswith(("o_proj.weight", "down_proj.weight"))
        expected = deviation / 2 if smaller else deviation  # sqrt(2 x 2 layers)
        chance = 5 / weight.numel() ** 0.5
        assert weight.std().item() == pytest.approx(expected, rel=chance)
        assert abs(weight.mean().item()) < chance * expected


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no model folder"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(DataError, match="holds a bert model"):
        load_model(tmp_path)


def test_a_folder_with_other_weights_than_its_config_says_is_named(
    tmp_path: Path, tokenizer_path: Path
) -> None:
    shape = ModelShape(layers=1, width=16, heads=2, kv_heads=1, feed_forward=24, context=16, tied=False)
    save_model(Transformer(shape, 5), tmp_path / "model", tokenizer_path)
    path = tmp_path / "model" / "model.safetensors"
    whole = load_file(path)
    for name in ("lm_head.weight", "model.layers.0.mlp.up_proj.weight"):
        save_file({key: value for key, value in whole.items() if key != name}, path)
        with pytest.raises(DataError, match=rf"other weights than its config says \({name}\)"):
            load_model(tmp_path / "model")
    save_file({**whole, "more": whole["lm_head.weight"].clone()}, path)
    with pytest.raises(DataError, match=r"other weights than its config says \(more\)"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("apart", [False, True])
def test_short_bf16_attention_is_torchs(kv_heads: int, apart: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, heads, 40, 20) for heads in (4, kv_heads, kv_heads)]
    ends = torch.randint(0, 5, (3, 40), generator=generator)
    packed = packing(Documents.of(ends, 0), torch.bfloat16) if apart else None
    mask = packed.mask.float() if packed is not None and packed.mask is not None else None
    exact = [torch.randn(shape, generator=generator).bfloat16().float().requires_grad_() for shape in shapes]
    short = [x.detach().bfloat16().requires_grad_() for x in exact]
    expected = torch.nn.functional.scaled_dot_product_attention(
        *exact, attn_mask=mask, is_causal=mask is None, enable_gqa=kv_heads != 4
    )
    got = causal_attention(*short, packed=packed)
    assert got.dtype == torch.bfloat16
    assert torch.allclose(got.float(), expected, atol=2e-2)
    for one, other in zip(
        torch.autograd.grad(got.sum(), short), torch.autograd.grad(expected.sum(), exact), strict=True
    ):
        assert (one.float() - other).norm() < 0.01 * other.norm()

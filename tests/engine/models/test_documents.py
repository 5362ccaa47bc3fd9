"""Documents that are packed into a sequence are to a model what each is alone."""

import math

import pytest
import torch

from mashbill.config import ModelShape
from mashbill.models.attention import Documents
from mashbill.models.measurement import bits_per_byte
from mashbill.models.transformer import Transformer

END, VOCABULARY = 7, 50
SHAPES = [
    ModelShape(layers=2, width=32, heads=4, kv_heads=2, feed_forward=48, context=64, tied=False),
    ModelShape(layers=2, width=32, heads=4, kv_heads=4, feed_forward=48, context=400, qk_norm=True),
    ModelShape(layers=3, width=32, heads=4, kv_heads=2, feed_forward=512, context=64, attention_from=0.5),
]


def large(shape: ModelShape) -> Transformer:
    """A model with weights so large that a position one off shows."""
    model = Transformer(shape, VOCABULARY, seed=3).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.2 + (weight.dim() == 1))
    return model


def packed(lengths: list[int], seed: int = 0) -> torch.Tensor:
    """[tokens] documents of so many tokens, the end of text among them."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for length in lengths:
        text = torch.randint(8, VOCABULARY, (length,), generator=generator)
        text[-1] = END
        parts.append(text)
    return torch.cat(parts)


def nats_alone(model: Transformer, text: torch.Tensor) -> float:
    """The cross-entropy of all tokens of a text but the first, read by itself."""
    if len(text) < 2:
        return 0.0
    with torch.no_grad():
        logarithms = model(text[None, :-1])[0].double().log_softmax(-1)
    return -float(logarithms.gather(1, text[1:, None]).sum())


@pytest.mark.parametrize("lengths", [[1, 2, 30, 70, 5, 1, 64, 40], [500], [64, 64, 64], [3] * 1_500])
def test_bits_of_documents_kept_apart_are_those_of_each_alone(lengths: list[int]) -> None:
    model, tokens = large(SHAPES[0]), packed(lengths)
    context, nats, first = model.shape.context, 0.0, 0
    for length in lengths:  # what of a document is in another window is read by itself
        start, end = first, first + length
        while start < end:
            cut = min(end, (start // context + 1) * context)
            nats += nats_alone(
                model, tokens[start : min(cut + 1, end)]
            )  # and the token after it is predicted
            start = cut
        first = end
    expected = nats / math.log(2) / 1_000
    measured = bits_per_byte(model, tokens.numpy(), 1_000, end_of_text=END)
    assert measured == pytest.approx(expected, rel=0.02)
    if len(lengths) > 4:
        assert bits_per_byte(model, tokens.numpy(), 1_000) > 1.02 * measured


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_of_packed_documents_are_those_of_each_alone(shape: ModelShape, dtype: torch.dtype) -> None:
    model, context = large(shape), shape.context
    lengths = [[9, 1, 1, 20, context - 31], [context - 3, 3]]  # a document may be the end of text alone
    rows = torch.stack([packed(row, seed) for seed, row in enumerate(lengths)])
    rows[1, -1] = 20  # the last document goes on in the next sequence
    products = torch.autocast("cpu", dtype, enabled=dtype != torch.float32)
    tolerance = 1e-5 if dtype == torch.float32 else 0.15
    with torch.no_grad(), products:
        together = model(rows, documents=Documents.of(rows, END)).float()
        for row, sizes in enumerate(lengths):
            first = 0
            for size in sizes:
                text = rows[row, first : first + size]
                alone = model(text[None])[0].float()
                scale = alone.abs().max()
                assert torch.allclose(
                    together[row, first : first + size] / scale, alone / scale, atol=tolerance
                )
                first += size
        apart = (together - model(rows).float()).abs().amax(-1)[0]
    assert (apart[:9] < tolerance).all()
    assert apart[10:].min() > tolerance


@pytest.mark.parametrize("shape", SHAPES)
def test_loss_and_gradients_are_those_of_documents_alone_without_their_first_tokens(
    shape: ModelShape,
) -> None:
    model = large(shape)
    lengths = [10, 1, 25, 12]
    stream = packed([*lengths, 30])[: sum(lengths) + 1]
    inputs, targets = stream[None, :-1], stream[None, 1:]
    loss = model(inputs, targets, documents=Documents.of(inputs, END))
    nats, first = [], 0
    for length in lengths:
        text = stream[None, first : first + length]
        first += length
        logits = model(text[:, :-1])
        nats.append(torch.nn.functional.cross_entropy(logits.flatten(0, 1), text[0, 1:], reduction="none"))
    expected = torch.cat(nats).mean()
    assert len(torch.cat(nats)) == sum(lengths) - len(lengths)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    parameters = list(model.parameters())
    for one, other in zip(
        torch.autograd.grad(loss, parameters), torch.autograd.grad(expected, parameters), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-5 * max(1, other.abs().max().item()))


def test_each_loss_is_zero_where_a_document_begins() -> None:
    model = large(SHAPES[0])
    stream = packed([10, 20, 5])
    inputs, targets = stream[None, :-1], stream[None, 1:]
    documents = Documents.of(inputs, END)
    losses = model.token_losses(inputs, targets, documents)[0]
    assert (losses == 0).nonzero().flatten().tolist() == [9, 29]
    assert losses.sum() / 32 == pytest.approx(model(inputs, targets, documents=documents).item(), rel=1e-5)


def test_documents_are_told_from_ends_of_text() -> None:
    documents = Documents.of(torch.tensor([[1, 2, END, 3, END, END], [END, 1, 2, 3, 4, 5]]), END)
    assert documents.numbers.tolist() == [[0, 0, 0, 1, 1, 2], [0, 1, 1, 1, 1, 1]]
    assert documents.positions.tolist() == [[0, 1, 2, 0, 1, 0], [0, 0, 1, 2, 3, 4]]
    assert documents.counted.tolist() == [[True, True, False, True, False, False], [False, *[True] * 5]]
    assert documents.starts.tolist() == [0, 3, 5, 6, 7, 12]


def test_a_batch_without_an_end_of_text_is_as_without_documents() -> None:
    model = large(SHAPES[0])
    tokens = torch.randint(8, VOCABULARY, (2, 41), generator=torch.Generator().manual_seed(0))
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    with_documents = model(inputs, targets, documents=Documents.of(inputs, END))
    assert with_documents.item() == pytest.approx(model(inputs, targets).item(), abs=1e-6)


def test_a_batch_of_ends_of_text_alone_has_no_loss() -> None:
    model, inputs = large(SHAPES[0]), torch.full((2, 16), END)
    loss = model(inputs, inputs, documents=Documents.of(inputs, END))
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and (p.grad == 0).all() for p in model.parameters())


def test_a_row_longer_than_the_context_holds_documents_that_fit() -> None:
    shape = SHAPES[0].model_copy(update={"context": 16})
    model = large(shape)
    lengths = [16, 9, 16, 12]
    row = packed(lengths)
    with torch.no_grad():
        together = model(row[None], documents=Documents.of(row[None], END))[0]
        alone = torch.cat([model(part[None])[0] for part in row.split(lengths)])
    assert torch.allclose(together, alone, atol=1e-4)

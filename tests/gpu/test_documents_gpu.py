"""On a GPU, too, packed documents are to a model what each is alone."""

import pytest
import torch

from mashbill.config import ModelShape
from mashbill.models.attention import Documents
from mashbill.models.transformer import Transformer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
END = 7
SHAPE = ModelShape(layers=2, width=256, heads=4, kv_heads=2, feed_forward=384, context=512, qk_norm=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_logits_and_gradients_of_packed_documents_are_those_of_each_alone(dtype: torch.dtype) -> None:
    model = Transformer(SHAPE, 100, seed=1).cuda()
    tokens = torch.randint(8, 100, (2, 512), generator=torch.Generator().manual_seed(0))
    lengths = [100, 1, 300, 111]
    for row in tokens:
        for i in range(1, 5):
            row[sum(lengths[:i]) - 1] = END
    documents = Documents.of(tokens, END).to("cuda")
    tokens = tokens.cuda()
    with torch.autocast("cuda", torch.bfloat16, enabled=dtype == torch.bfloat16):
        together = model(tokens, documents=documents)
        alone = [torch.cat([model(part[None])[0] for part in row.split(lengths)]) for row in tokens]
        assert torch.allclose(together, torch.stack(alone), atol=2e-2 if dtype == torch.bfloat16 else 1e-4)
        model(
            tokens[:, :-1], tokens[:, 1:], documents=Documents.of(tokens[:, :-1].cpu(), END).to("cuda")
        ).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())

"""The model that a training begins with: drawn from the seed, or one that was trained before."""

from pathlib import Path

from mashbill.config.model import ModelShape
from mashbill.errors import DataError
from mashbill.models.huggingface import check_tokenizer, load_model
from mashbill.models.transformer import Transformer
from mashbill.tokens import TokenStore
from mashbill.training.job import Job


def first_model(job: Job, store: TokenStore) -> Transformer:
    """The model with its first weights.

    Args:
        job: of the training.
        store: its text.
    Raises:
        DataError: the model to go on from has another shape or tokenizer.
    """
    shape = job.training.model
    if job.initial is None:
        return Transformer(shape, store.vocabulary, job.seed)
    folder = Path(job.initial)
    model = load_model(folder, context=shape.context)
    _refuse_another_shape(folder, model.shape, shape)
    check_tokenizer(folder, store.tokenizer_path, store.vocabulary)
    return model.train()


def _refuse_another_shape(folder: Path, found: ModelShape, wanted: ModelShape) -> None:
    for name in ModelShape.model_fields:
        has, asked = getattr(found, name), getattr(wanted, name)
        if name == "head_width":
            has, asked = found.head_dim, wanted.head_dim
        if has != asked:
            mend = f"set training.model.{name} to {has}"
            raise DataError(str(folder), f"has {name} {has} where training.model says {asked}", mend)

"""The evaluate stage: bits per byte of the exported models, whether transformers reads them as we do, what
they write."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mashbill.artifacts import Counts, StageRun
from mashbill.config import EvaluationConfig
from mashbill.config.training import SCHEDULED
from mashbill.errors import RunError
from mashbill.evaluation.record import Evaluation, MeasuredModel, Sample
from mashbill.mixtures import Choice, ScheduleChoice
from mashbill.mixtures.choice import CHOSEN, NATURAL
from mashbill.models.huggingface import MODELS, load_model
from mashbill.models.measurement import bits_per_byte
from mashbill.tokens import TokenStore

MAX_LOGIT_DIFFERENCE = 1e-3
OUTPUTS = {Evaluation.FILE: "bits per byte, predicted and measured; generated samples"}


def evaluate(run: StageRun) -> Counts:
    """Measure every final model on every set, and set the measured target beside the predicted.

    Raises:
        RunError: transformers computes other logits from an export than we do.
    """
    store, config = TokenStore(run.inputs["tokenize"]), run.config
    choice = Choice.read(run.inputs["mix"])
    models: dict[str, MeasuredModel] = {}
    folders = sorted(run.inputs["train"].folder(MODELS).iterdir())
    for i, folder in enumerate(folders):
        run.progress(i / len(folders), f"measuring {folder.name}")
        models[folder.name] = _measure(folder, store, config.evaluation, target=config.target)
    measured = {name: model.target for name, model in models.items()}
    predicted = {name: prediction.loss for name, prediction in choice.predictions.items()}
    if SCHEDULED in measured:
        followed = ScheduleChoice.read(run.inputs["schedule"]).predicted
        predicted[SCHEDULED] = followed.loss if followed else predicted[CHOSEN]
    gain = _gain(measured, CHOSEN, NATURAL)
    Evaluation(
        models=models,
        predicted=predicted,
        measured=measured,
        gain_predicted=choice.gain,
        gain_measured=gain,
        schedule_gain_measured=_gain(measured, SCHEDULED, CHOSEN),
    ).write(run.output)
    figures = {f"bits_per_byte_{name}": round(value, 4) for name, value in measured.items()}
    return {**figures, "gain_measured": gain}


def _gain(measured: Mapping[str, float], of: str, over: str) -> float | None:
    """What one model's target loss is below another's; None where either was not trained."""
    return measured[over] - measured[of] if of in measured and over in measured else None


def _measure(
    folder: Path, store: TokenStore, config: EvaluationConfig, *, target: dict[str, float]
) -> MeasuredModel:
    from transformers import AutoModelForCausalLM

    model = load_model(folder)
    values = {v.name: bits_per_byte(model, v.tokens, v.bytes) for v in map(store.validation, store.set_names)}
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True).eval()
    tokens = torch.from_numpy(
        store.validation(store.set_names[0]).tokens[: model.shape.context].astype("int64")
    )[None]
    with torch.no_grad():
        difference = float((theirs(tokens).logits - model(tokens)).abs().max())
    if difference > MAX_LOGIT_DIFFERENCE:
        raise RunError(
            str(folder),
            f"has logits that differ by {difference:g} under transformers",
            "report it: the export is wrong",
        )
    count = config.generate_tokens
    return MeasuredModel(
        bits_per_byte=values,
        target=sum(weight * values[name] for name, weight in target.items()),
        export_max_logit_difference=difference,
        samples=tuple(
            Sample(prompt=p, text=_continue(theirs, folder, p, count=count)) for p in config.prompts
        ),
    )


def _continue(model: Any, folder: Path, prompt: str, *, count: int) -> str:
    """What a model writes after a prompt, sampled with a fixed seed."""
    from transformers import PreTrainedTokenizerFast

    if count == 0:
        return ""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=False, return_token_type_ids=False)
    torch.manual_seed(0)
    room = min(count, model.config.max_position_embeddings - inputs["input_ids"].shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ids = model.generate(**inputs, max_new_tokens=max(1, room), do_sample=True, top_k=50, temperature=0.8)
    return str(tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))

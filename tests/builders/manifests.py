"""Whether Kubernetes would take a manifest: its own kinds by its schemas, JobSet and TrainJob by models."""

import importlib.util
import sys
from typing import Any

from builders.checkout import ROOT

VERSION = "1.37"


def refused(document: dict[str, Any]) -> str:
    """Why a manifest is none; empty where it is one. What a model does not know it drops: that counts too."""
    kinds = {"JobSet": "JobsetV1alpha2JobSet", "TrainJob": "TrainerV1alpha1TrainJob"}
    if document["kind"] not in kinds:
        return _by_schema(document)
    from kubeflow_trainer_api import models

    model = getattr(models, kinds[document["kind"]])
    try:
        kept = model.from_dict(document).to_dict()
    except ValueError as error:
        return str(error)
    return "; ".join(dropped(document, kept))


def dropped(given: Any, kept: Any, path: str = "") -> list[str]:
    """What of a document is not in what a model made of it."""
    if isinstance(given, dict):
        return [
            lost
            for name, value in given.items()
            for lost in (
                dropped(value, kept[name], f"{path}.{name}")
                if isinstance(kept, dict) and name in kept
                else [f"{path}.{name} is dropped"]
            )
        ]
    if isinstance(given, list):
        if not isinstance(kept, list) or len(given) != len(kept):
            return [f"{path} is another list"]
        pairs = enumerate(zip(given, kept, strict=True))
        return [lost for i, (one, other) in pairs for lost in dropped(one, other, f"{path}[{i}]")]
    return [] if given == kept else [f"{path} is {kept!r}"]


def _by_schema(document: dict[str, Any]) -> str:
    if "kubernetes_validate" not in sys.modules:
        path = ROOT / "tests" / "helm" / "tools.py"
        spec = importlib.util.spec_from_file_location("helm_tools", path)
        assert spec is not None
        assert spec.loader is not None
        tools = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tools)
        sys.path.append(str(tools.schemas_folder()))
    import kubernetes_validate

    try:
        kubernetes_validate.validate(document, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{list(error.path)}: {error.message}"
    return ""

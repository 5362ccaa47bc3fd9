"""What Airflow asks a provider package about itself: everything that it brings.

Names of modules and classes, not the things themselves: Airflow asks before it is ready to import them. There
are no connection types of our own: S3 and Kubernetes go by the connections of Airflow's own providers. The
plugin is an entry point of the package: those that are named here Airflow loads only where it does not load
providers lazily.
"""

from typing import Any

NAME = "mashbill"
GUIDES = ("airflow.md", "curate.md", "mixtures.md", "train.md", "forecast.md", "evaluate.md")
OPERATORS = ("base", "check", "curation", "gate", "mixture", "optional", "parts", "training")
"""Modules of operators; ``task_groups`` puts them together, and Airflow has no list of those."""
TRIGGERS = ("answer_trigger", "jobs_trigger")
LINKS = ("links.ArtifactLink",)


def get_provider_info() -> dict[str, Any]:
    """The provider's description, read through the ``apache_airflow_provider`` entry point."""
    return {
        "package-name": "airflow-provider-mashbill",
        "name": NAME,
        "description": "From raw text to a trained language model, with the best mixture of domains found "
        "on small models first.",
        "integrations": [
            {
                "integration-name": NAME,
                "external-doc-url": "https://arxiv.org/abs/2407.01492",
                "how-to-guide": [f"/docs/how-to/{guide}" for guide in GUIDES],
                "tags": ["software"],
            }
        ],
        "config": {NAME: {"description": "Settings of the mashbill provider.", "options": _options()}},
        "operators": [{"integration-name": NAME, "python-modules": _modules(OPERATORS)}],
        "triggers": [{"integration-name": NAME, "python-modules": _modules(TRIGGERS)}],
        "extra-links": _modules(LINKS),
    }


def _modules(names: tuple[str, ...]) -> list[str]:
    return [f"mashbill.operators.{name}" for name in names]


def _options() -> dict[str, Any]:
    return {
        "configs": {
            "description": "Folders of config files that a run may be started with, beside those in the "
            "folder of a DAG's own; with colons between them.",
            "version_added": "0.1.0",
            "type": "string",
            "example": "/opt/mashbill/configs",
            "default": "",
        },
        "mapped_tasks": {
            "description": "Tasks that the parts of a stage are shared among at most, where a task group "
            "says nothing of it.",
            "version_added": "0.1.0",
            "type": "integer",
            "example": "64",
            "default": "32",
        },
    }

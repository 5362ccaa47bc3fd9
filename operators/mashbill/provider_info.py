"""What Airflow asks a provider package about itself."""

from typing import Any

OPERATOR_MODULES = ("base", "curation", "search", "training")


def get_provider_info() -> dict[str, Any]:
    """The provider's description, read through the ``apache_airflow_provider`` entry point."""
    name = "mashbill"
    return {
        "package-name": "airflow-provider-mashbill",
        "name": name,
        "description": "From raw text to a trained language model, with the best mixture of domains found "
        "on small models first.",
        "integrations": [
            {
                "integration-name": name,
                "external-doc-url": "https://arxiv.org/abs/2407.01492",
                "tags": ["software"],
            }
        ],
        "operators": [
            {
                "integration-name": name,
                "python-modules": [f"mashbill.operators.{module}" for module in OPERATOR_MODULES],
            }
        ],
    }

"""What Airflow asks a provider package about itself."""

import pkgutil
from pathlib import Path
from typing import Any

# Listed from their files: Airflow asks before it is ready to import them.
OPERATORS = Path(__file__).with_name("operators")


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
        "config": {
            name: {
                "description": "Settings of the mashbill provider.",
                "options": {
                    "configs": {
                        "description": "Folders of config files that a run may be started with, beside "
                        "those in the folder of a DAG's own; with colons between them.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/opt/mashbill/configs",
                        "default": "",
                    }
                },
            }
        },
        "operators": [
            {
                "integration-name": name,
                "python-modules": [
                    f"mashbill.operators.{module.name}" for module in pkgutil.iter_modules([str(OPERATORS)])
                ],
            }
        ],
    }

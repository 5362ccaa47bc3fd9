"""Orders of commands, for tests of what launches them."""

from typing import Any

from mashbill.config.launch import LaunchConfig
from mashbill.launch.backend import Order


def order(
    backend: str = "job",
    *,
    name: str = "train-1b-0",
    token: str = "run-7/train/0",
    command: tuple[str, ...] = ("mashbill", "part", "train", "all", "--run", "s3://lake/runs/7"),
    environment: dict[str, str] | None = None,
    **takes: Any,
) -> Order:
    """An order on a Kubernetes backend, unless another is named."""
    settings: dict[str, Any] = {"backend": backend, "image": "registry.example/mashbill:0.2"}
    return Order(
        name=name,
        token=token,
        command=command,
        takes=LaunchConfig.model_validate(settings | takes),
        environment=environment or {},
        labels={"stage": "train", "run": "7"},
    )

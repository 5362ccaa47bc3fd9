"""Settings of evaluate: what the final models are asked, and how they are run for it."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mashbill.config.names import refuse_repeated
from mashbill.config.section import HowItRuns, Location, Section

HUB = "hub:"
"""How the name of a task begins that the harness knows itself and reads from the Hugging Face hub."""

TaskName = Annotated[str, Field(pattern=rf"^({HUB})?[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]


class EvaluationConfig(Section):
    """How the final models are measured."""

    tasks: tuple[TaskName, ...] = Field(
        (),
        description="Tasks that lm-evaluation-harness puts to the models, by name: of tasks_path, or "
        "hub:NAME for one that it reads from the Hugging Face hub.",
    )
    tasks_path: Location | None = Field(
        None,
        description="Folder or s3:// address of task files (NAME.yaml beside its examples), as "
        "mashbill tasks fetch writes it.",
    )
    task_examples: int | None = Field(
        None, ge=1, description="Examples of each task, drawn by the seed; none means all."
    )
    task_shots: int = Field(
        0, ge=0, le=64, description="Answered examples before each question, drawn from the other examples."
    )
    batch_size: HowItRuns[int | None] = Field(
        None, ge=1, le=4_096, description="Questions that a model reads at once; none means by memory."
    )
    accelerator: HowItRuns[Literal["auto", "cpu", "cuda"]] = Field(
        "auto", description="What the models run on; auto is the GPU where there is one."
    )
    generate_tokens: int = Field(
        48, ge=0, le=2_048, description="Tokens generated from each prompt for the report."
    )
    prompts: tuple[str, ...] = Field(
        ("The",), description="Beginnings that the exported models continue in the report."
    )

    @model_validator(mode="after")
    def _tasks_are_somewhere(self) -> Self:
        refuse_repeated("evaluation.tasks", self.tasks)
        local = [name for name in self.tasks if not name.startswith(HUB)]
        if local and self.tasks_path is None:
            raise ValueError(
                f"evaluation.tasks names {local[0]!r}, and evaluation.tasks_path is not set; give the folder "
                f"of task files, or write {HUB}{local[0]} for the hub's"
            )
        return self

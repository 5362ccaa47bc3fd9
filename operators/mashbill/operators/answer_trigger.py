"""The trigger that looks for an answer which a person has given to an earlier try of a task."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.sdk.execution_time.hitl import get_hitl_detail_content_detail
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

SETTLE_SECONDS = 15.0
"""Before the task goes on: until then the scheduler has heard that its worker ended. A task that goes on
sooner it takes for one that died."""


class EarlierAnswer(BaseTrigger):
    """Fire with the answer that is there, or with an empty event.

    Args:
        ti_id: of the task instance; an answer goes with it from try to try.
        settle_seconds: that are waited first.
    """

    def __init__(self, ti_id: str | UUID, settle_seconds: float = SETTLE_SECONDS) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ti_id, self.settle_seconds = str(ti_id), settle_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Where its class is, and its arguments."""
        arguments = {"ti_id": self.ti_id, "settle_seconds": self.settle_seconds}
        return f"{type(self).__module__}.{type(self).__name__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, look, and fire."""
        await asyncio.sleep(self.settle_seconds)
        yield TriggerEvent(await self._answer())  # type: ignore[no-untyped-call]

    async def _answer(self) -> dict[str, Any]:
        try:
            found = await sync_to_async(get_hitl_detail_content_detail)(ti_id=UUID(self.ti_id))
        except AirflowRuntimeError as error:
            self.log.info("no question was asked before (%s)", error)
            return {}
        if not (found.response_received and found.chosen_options):
            return {}
        user = found.responded_by_user
        return {
            "chosen_options": list(found.chosen_options),
            "params_input": found.params_input or {},
            "responded_at": found.responded_at,
            "responded_by_user": {"id": user.id, "name": user.name} if user else None,
        }

"""A cluster's API without threads: by the official client's asyncio form, for what waits for many jobs."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Any

from mashbill.errors import ConfigError, one_line
from mashbill.launch.kubernetes.connection import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    IN_CLUSTER,
    Place,
    Refused,
)
from mashbill.launch.kubernetes.objects import Object

TLS_SECONDS = 0.1
"""That the event loop has to take leave of a server: what closes an aiohttp session does not wait for it."""


class AsyncConnection:
    """The API of one namespace, within one event loop.

    Args:
        place: where it is.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._client: Any = None
        self._retired: list[Any] = []
        self._logging_in = asyncio.Lock()

    async def call(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Object | None = None
    ) -> Object:
        """One request.

        Raises:
            Refused: the API answers with an error.
            OSError, TimeoutError, aiohttp.ClientError: it does not answer.
        """
        answer: Object = json.loads(await self.text(method, path, query=query, body=body) or "{}")
        return answer

    async def text(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Object | None = None
    ) -> str:
        """One request whose answer is a text, as ``call``."""
        async with await self._answer(method, path, query=query, body=body) as answer:
            return (await answer.read()).decode(errors="replace")

    async def lines(
        self, path: str, *, query: Mapping[str, Any], silence: float
    ) -> AsyncGenerator[bytes, None]:
        """The lines of an answer that goes on, as they come.

        Args:
            path, query: of the request.
            silence: seconds without a byte after which nobody is there any more.
        """
        async with await self._answer("GET", path, query=query, silence=silence) as answer:
            rest = b""
            async for chunk in answer.content.iter_any():
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    yield line
            if rest:
                yield rest

    async def found(self, path: str) -> Object | None:
        """What is there; None where there is nothing."""
        try:
            return await self.call("GET", path)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    async def close(self) -> None:
        """End its connections."""
        clients = [*self._retired, *([self._client] if self._client else [])]
        self._client, self._retired = None, []
        for client in clients:
            await client.close()
        if clients:
            await asyncio.sleep(TLS_SECONDS)

    async def _answer(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None,
        body: Object | None = None,
        silence: float = ANSWER_SECONDS,
    ) -> Any:
        """An answer whose body is still to be read; a token that has run out is fetched anew, once."""
        for again in (True, False):
            client = await self._logged_in()
            answer = await client.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json, */*", "Content-Type": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=(CONNECT_SECONDS, silence),
            )
            if 200 <= answer.status < 300:
                return answer
            said = await answer.read()
            answer.release()
            if answer.status == 401 and again:
                self._retire(client)
                continue
            raise Refused(answer.status, said)
        raise AssertionError("not reached")

    def _retire(self, client: Any) -> None:
        """Use a client no more; what others ask by it just now goes on."""
        if self._client is client:
            self._client = None
            self._retired.append(client)

    async def _logged_in(self) -> Any:
        async with self._logging_in:
            if self._client is None:
                self._client = await self._new_client()
            return self._client

    async def _new_client(self) -> Any:
        from kubernetes_asyncio import config
        from kubernetes_asyncio.client import ApiClient, Configuration

        made = type.__call__(Configuration)
        try:
            if self.place.context == IN_CLUSTER:
                config.load_incluster_config(client_configuration=made)
            else:
                path = os.environ.get("KUBECONFIG") or None
                context = self.place.context
                await config.load_kube_config(config_file=path, context=context, client_configuration=made)
        except config.ConfigException as error:
            what = f"{self.place.context} can't be used ({one_line(error, 120)})"
            raise ConfigError("kubernetes.context", what, "set KUBECONFIG") from error
        self.place = replace(self.place, server=str(made.host).rstrip("/"))
        return ApiClient(made)


def is_no_answer(error: BaseException) -> bool:
    """Whether a cluster did not answer, as against a fault of ours."""
    from aiohttp import ClientError

    return isinstance(error, ClientError | OSError | asyncio.TimeoutError | ValueError)

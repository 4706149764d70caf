"""Runs Poetry from an environment of its own: `python3 tools/run_poetry.py install`.

Nothing has to be installed first. Poetry goes into `.poetry/` with the Python that runs this file, and fetches
packages from wherever pip does.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".poetry"
STAMP = HOME / "complete"
PYTHON = HOME / "bin" / "python"
REQUIREMENTS = "poetry==2.5.1 poetry-plugin-pypi-mirror==0.6.5"
OLDEST_PYTHON = (3, 11)

# Poetry asks the default index for JSON, which some mirrors answer in a form it cannot read; the plugin takes the
# plain pages instead, as pip does. The address is pip's own: a configured index, else pip's default.
PIP_INDEX = """
from pip._internal.commands.install import InstallCommand
print(InstallCommand("install", "").parse_args([])[0].index_url)
"""


def main() -> int:
    """Make `.poetry/` if it is missing or outdated, then run Poetry with this program's arguments."""
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        found = ".".join(map(str, sys.version_info[:3]))
        print(f"Python {wanted} or newer is needed, this is {found}. Name another: make PYTHON=python{wanted} ...")
        return 1
    if not STAMP.exists() or STAMP.read_text() != REQUIREMENTS:
        subprocess.run([sys.executable, "-m", "venv", "--clear", HOME], check=True)
        subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", *REQUIREMENTS.split()], check=True)
        STAMP.write_text(REQUIREMENTS)
    index = subprocess.run([PYTHON, "-c", PIP_INDEX], check=True, capture_output=True, text=True).stdout.strip()
    # An activated environment would be installed into instead of the project's own.
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "CONDA_PREFIX")}
    environment |= {"POETRY_PYPI_MIRROR_URL": index, "POETRY_VIRTUALENVS_IN_PROJECT": "true"}
    return subprocess.run([HOME / "bin" / "poetry", *sys.argv[1:]], cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())

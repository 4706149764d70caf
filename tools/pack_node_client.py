"""Make the Node client's package: `python -m tools.pack_node_client dist`."""

import shutil
import sys
from pathlib import Path

from tools.node import NPM, modules, run_node

CLIENT = Path(__file__).parents[1] / "clients" / "node"
PARTS = ("src", "package.json", "tsconfig.json", "README.md", "CHANGELOG.md", "LICENSE")


def pack(folder: Path) -> Path:
    """Compile the client and put its package into a folder; what is checked out stays as it is."""
    made = folder / "made"
    made.mkdir(parents=True)
    for part in PARTS:
        copy = shutil.copytree if (CLIENT / part).is_dir() else shutil.copy
        copy(CLIENT / part, made / part)
    (made / "node_modules").symlink_to(modules())
    printed = run_node(made, str(NPM), "pack", "--pack-destination", str(folder))
    shutil.rmtree(made)
    return folder / printed.split()[-1]


if __name__ == "__main__":
    print(pack(Path(sys.argv[1]).resolve()))

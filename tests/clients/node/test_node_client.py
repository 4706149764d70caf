"""The Node client, in tests of Node's own, and what is shipped of it."""

import json
import re
import tarfile
from pathlib import Path

import pytest
from tools.node import TSC, run_node

from tests.callers.conftest import Instance

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "clients" / "node"
README = (FOLDER / "README.md").read_text("utf-8")
PACKAGE = json.loads((FOLDER / "package.json").read_text("utf-8"))
SCRIPTS = sorted(Path(__file__).parent.glob("*.test.mjs"))
EXAMPLES = re.findall(r"```ts\n(.*?)```", README, re.S)
STRICT = ["--strict", "--exactOptionalPropertyTypes", "--noEmit", "--module", "nodenext", "--target", "es2022"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_client_does_what_its_tests_expect(
    instance: Instance, image_host: str, callers: Path, script: Path
) -> None:
    printed = run_node(
        callers,
        "--test",
        script.name,
        SERVICE_URL=instance.url,
        SERVICE_TOKEN=instance.token,
        SERVICE_MODEL=instance.model,
        IMAGE_URL=f"{image_host}/painting.png",
    )

    assert re.search(r"pass [1-9]", printed)


def test_callers_in_typescript_compile_against_the_package(callers: Path) -> None:
    for place, example in enumerate(EXAMPLES):
        (callers / f"example-{place}.ts").write_text(example)

    run_node(callers, str(TSC), *STRICT, "types.ts", *(f"example-{place}.ts" for place in range(len(EXAMPLES))))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text[:40])
def test_every_example_of_the_readme_runs(instance: Instance, callers: Path, example: str) -> None:
    program = example.replace("http://localhost:8002", instance.url).replace('"dev_token"', f'"{instance.token}"')
    (callers / "example.ts").write_text(program)

    assert run_node(callers, "example.ts")


def test_the_package_holds_the_client_and_nothing_else(tarball: Path) -> None:
    modules = {module.stem for module in (FOLDER / "src").glob("*.ts")}
    compiled = {f"dist/{module}{ending}" for module in modules for ending in (".js", ".d.ts")}

    with tarfile.open(tarball) as packed:
        names = {name.removeprefix("package/") for name in packed.getnames()}

    assert names == compiled | {"package.json", "README.md", "CHANGELOG.md", "LICENSE"}


def test_the_package_needs_nothing() -> None:
    assert {name for name in PACKAGE if name.endswith("ependencies")} == {"devDependencies"}
    imported = re.findall(r'from "(.*?)"', "".join(path.read_text("utf-8") for path in (FOLDER / "src").glob("*.ts")))
    assert all(name.startswith("./") for name in imported)


def test_the_version_is_one() -> None:
    assert re.findall(r"^## (\S+)", (FOLDER / "CHANGELOG.md").read_text("utf-8"), re.M)[0] == PACKAGE["version"]
    assert f"tate-embeddings-client-{PACKAGE['version']}.tgz" in README


def test_the_licence_is_the_one_of_the_project() -> None:
    assert (FOLDER / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_every_method_and_every_error_is_in_the_readme() -> None:
    methods = set(re.findall(r"^  async (\w+)\(", (FOLDER / "src" / "client.ts").read_text("utf-8"), re.M))
    errors = set(re.findall(r"^export class (\w+)", (FOLDER / "src" / "errors.ts").read_text("utf-8"), re.M))

    assert set(re.findall(r"^\| `(\w+)\(", README, re.M)) == methods
    assert errors <= set(re.findall(r"`(\w+)`", README))


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)

    assert all(link.startswith("https://") or (FOLDER / link).exists() for link in links)

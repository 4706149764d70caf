"""What the documents say is so: commands, settings, rooms, requests."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import respx
from app.config import Settings
from app.errors import HungUp, ServiceError
from starlette.testclient import TestClient
from tools.write_configuration import written

from tests.conftest import TOKEN
from tests.test_endpoints import as_png, painting

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
CONTEXT = (ROOT / "AI_CONTEXT.md").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
API = (ROOT / "docs" / "api.md").read_text("utf-8")
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text("utf-8")
COLLECTION = json.loads((ROOT / "postman_collection.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def client(searching: TestClient) -> TestClient:
    """A service with all routes that there are."""
    return searching


def requests(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The requests of a Postman folder and of the folders in it."""
    for item in items:
        if "item" in item:
            yield from requests(item["item"])
        else:
            yield item


def call(item: dict[str, Any]) -> tuple[str, str, str]:
    """What a Postman request calls, and the status that it expects."""
    (status,) = re.findall(r"have\.status\((\d+)\)", "".join(item["event"][-1]["script"]["exec"]))
    path = re.sub(r":(\w+)", r"{\1}", item["request"]["url"]["raw"].removeprefix("{{baseUrl}}").partition("?")[0])
    return item["request"]["method"].lower(), path, status


@pytest.fixture(autouse=True)
def _images_come_from_elsewhere() -> Iterator[None]:
    with respx.mock(assert_all_called=False) as outside:
        outside.get(host="upload.wikimedia.org").respond(content=as_png(painting()))
        yield


def test_the_postman_collection_has_every_answer_that_a_caller_can_cause(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    documented = {
        (method, path, status)
        for path, operations in paths.items()
        for method, operation in operations.items()
        for status in operation["responses"]
        if status < "500"
    }
    too_long_to_send = {("post", "/embed-image", "413")}
    # A rate limit is off unless it's set, and an index of another space is no caller's doing.
    by_operators = {(method, path, status) for method, path, status in documented if status in ("409", "429")}

    assert documented - too_long_to_send - by_operators <= set(map(call, requests(COLLECTION["item"])))


def test_the_files_that_the_postman_collection_uploads_are_there() -> None:
    files = re.findall(r'"src": "(.*?)"', json.dumps(COLLECTION))

    assert files
    assert all((ROOT / file).is_file() for file in files)


@pytest.mark.parametrize("command", re.findall(r"```sh\n(curl .*?)```", README, re.S), ids=lambda text: text[:60])
def test_every_curl_command_of_the_readme_works(client: TestClient, command: str) -> None:
    words = shlex.split(command.replace("\\\n", " ").replace("dev_token", TOKEN))
    options = list(zip(words[2::2], words[3::2], strict=True))
    headers = dict(value.split(": ", 1) for option, value in options if option == "-H")
    body = next((value for option, value in options if option == "-d"), None)
    uploads = [value.split("=@") for option, value in options if option == "-F"]
    files = {field: (name, as_png(painting())) for field, name in uploads}

    method = "POST" if body or files else "GET"
    path = words[1].removeprefix("http://localhost:8002")
    answer = client.request(method, path, content=body, files=files or None, headers=headers)

    assert answer.status_code == 200


@pytest.mark.parametrize("document", [README, CONTEXT], ids=["README", "AI_CONTEXT"])
def test_every_make_target_that_is_named_exists(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))

    assert set(re.findall(r"`make ([a-z-]+)`", document)) <= targets


def test_every_make_target_is_explained_by_help() -> None:
    phony = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.M)[0].split()

    assert set(phony) == set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.M))


def test_every_room_is_on_the_map() -> None:
    rooms = set(re.findall(r"^\| `([a-z_/.]+)` \|", CONTEXT, re.M))
    found = {f"app/{path.name}" + "/" * path.is_dir() for path in (ROOT / "app").iterdir()}

    assert all((ROOT / room).exists() for room in rooms)
    assert found - {"app/__init__.py", "app/__pycache__/"} <= rooms


def test_every_route_is_described(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}

    assert routes == set(re.findall(r"`((?:GET|POST|DELETE) /[a-z0-9/{}-]*)`", API))


def test_every_failure_is_described() -> None:
    rows = re.findall(r"^\| (\d{3}[^|]*) \| ([^|]+) \|", API, re.M)
    described = {
        (int(status), code)
        for statuses, codes in rows
        for status in re.findall(r"\d{3}", statuses)
        for code in re.findall(r"`(\w+)`", codes)
    }

    # Nobody gets to see the last.
    answered = {error for error in family(ServiceError) if hasattr(error, "code")} - {HungUp}
    assert described == {(error.status, error.code) for error in answered}


def family(ancestor: type[ServiceError]) -> Iterator[type[ServiceError]]:
    """The classes below one, all the way down."""
    for child in ancestor.__subclasses__():
        yield child
        yield from family(child)


def test_every_setting_is_described() -> None:
    described = set(re.findall(r"`([A-Z_]+)`", "".join(re.findall(r"^\| (`.*?) \|", CONFIGURATION, re.M))))

    assert described == {name.upper() for name in Settings.model_fields}


def test_the_page_of_the_settings_is_what_the_settings_say() -> None:
    assert written(CONFIGURATION) == CONFIGURATION, "run 'make docs'"


def test_every_setting_says_what_it_is_for() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_every_heading_that_is_linked_to_exists() -> None:
    for name in ("README.md", "docs/configuration.md", "docs/troubleshooting.md"):
        for page, heading in re.findall(r"\]\(([\w./]*)#([\w-]+)\)", (ROOT / name).read_text("utf-8")):
            linked = (ROOT / name).parent / page if page else ROOT / name
            headings = re.findall(r"^#+ (.*)$", linked.read_text("utf-8"), re.M)
            assert heading in {text.lower().replace(" ", "-") for text in headings}


def test_the_example_of_a_dot_env_file_names_only_settings() -> None:
    named = re.findall(r"^#? ?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.M)

    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_every_test_that_the_threats_name_exists() -> None:
    named = re.findall(r"`(tests/[a-z_/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / "security.md").read_text("utf-8"))

    assert named
    assert all(f"def {test}" in (ROOT / path).read_text("utf-8") for path, test in named)


@pytest.mark.parametrize(
    "name",
    ["README.md", "AI_CONTEXT.md", "CHANGELOG.md", *(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))],
)
def test_every_link_between_documents_leads_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text("utf-8"))

    assert all(link.startswith("https://") or ((ROOT / name).parent / link).exists() for link in links)

"""What `deploy/cloud-run.sh` asks of gcloud. A stand-in for it remembers what it was asked and what exists by now."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "deploy" / "cloud-run.sh"
TOKEN = "0123456789abcdef" * 4
ARGUMENTS = ("a-project", "europe-west1")

GCLOUD = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path

folder = Path(os.environ["STAND_IN"])
words = [word for word in sys.argv[1:] if not word.startswith("-")]
takes_input = "--data-file=-" in sys.argv
call = {{"argv": sys.argv[1:], "stdin": sys.stdin.read() if takes_input else ""}}
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps(call) + "\\n")

asked = " ".join(words)
if os.environ.get("FAILS") and asked.startswith(os.environ["FAILS"]):
    sys.exit("ERROR: (gcloud) PERMISSION_DENIED")
thing = folder / "-".join(word for word in words[:2] if word not in ("create", "describe"))
if asked.startswith("run services describe"):
    print("https://tate-embeddings-abc.a.run.app")
elif "describe" in words[:3]:
    sys.exit(0 if thing.exists() else "ERROR: (gcloud) NOT_FOUND")
elif "create" in words[:3] or words[:3] == ["secrets", "versions", "add"]:
    if thing.exists() and "create" in words:
        sys.exit("ERROR: (gcloud) ALREADY_EXISTS")
    thing.touch()
elif words[:3] == ["secrets", "versions", "list"] and thing.exists():
    print("1")
"""
OPENSSL = f"""#!/bin/sh
[ "$*" = "rand -hex 32" ] && echo {TOKEN}
"""


@dataclass
class CloudRun:
    """The script, with a Google Cloud that starts out empty."""

    folder: Path

    def run(self, *arguments: str, answer: str = "y\n", **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        given = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
        return subprocess.run(
            [shutil.which("bash") or "bash", SCRIPT, *arguments],
            input=answer,
            env=given | {"PATH": path, "STAND_IN": str(self.folder)} | environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def calls(self) -> list[dict[str, str | list[str]]]:
        file = self.folder / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def asked(self, words: str) -> list[list[str]]:
        """The arguments of the calls that began with these words."""
        return [list(call["argv"]) for call in self.calls if " ".join(call["argv"]).startswith(words)]

    def forget_calls(self) -> None:
        (self.folder / "calls").unlink()


@pytest.fixture
def cloud_run(tmp_path: Path) -> CloudRun:
    for name, program in {"gcloud": GCLOUD, "openssl": OPENSSL}.items():
        (tmp_path / name).write_text(program)
        (tmp_path / name).chmod(0o755)
    return CloudRun(tmp_path)


@pytest.mark.parametrize("answer", ["n\n", "\n", ""], ids=["no", "nothing", "the end of input"])
def test_without_a_yes_nothing_is_changed(cloud_run: CloudRun, answer: str) -> None:
    ended = cloud_run.run(*ARGUMENTS, answer=answer)

    assert ended.returncode == 1
    assert "Nothing was changed" in ended.stderr
    assert cloud_run.calls == []


@pytest.mark.parametrize("arguments", [(), ("a-project",), ("a", "b", "c"), ("a", ""), ("--help",), ("a", "b", "--no")])
def test_wrong_arguments_are_answered_with_the_usage(cloud_run: CloudRun, arguments: tuple[str, ...]) -> None:
    ended = cloud_run.run(*arguments)

    assert (ended.returncode, cloud_run.calls) == (2, [])
    assert ended.stderr == "usage: deploy/cloud-run.sh [--yes] PROJECT_ID REGION\n"


def test_a_tool_that_is_missing_is_named_before_anything_happens(cloud_run: CloudRun, tmp_path: Path) -> None:
    (tmp_path / "gcloud").unlink()
    (tmp_path / "date").symlink_to(shutil.which("date") or "")

    ended = cloud_run.run(*ARGUMENTS, PATH=str(tmp_path))  # this machine may have a gcloud of its own

    assert (ended.returncode, ended.stderr) == (1, "gcloud is needed and isn't on PATH\n")


def test_it_says_what_it_is_going_to_do_before_it_asks(cloud_run: CloudRun) -> None:
    said = cloud_run.run(*ARGUMENTS, answer="n\n", MODEL_NAME="ViT-L-14", PRETRAINED="openai").stdout

    for word in ("a-project", "europe-west1", "ViT-L-14 / openai", "tate-embeddings-auth-token", "2 vCPU", "internet"):
        assert word in said


def test_the_first_run_makes_everything_and_deploys(cloud_run: CloudRun) -> None:
    ended = cloud_run.run(*ARGUMENTS)

    assert ended.returncode == 0, ended.stderr
    (apis,) = cloud_run.asked("services enable")
    assert {api.partition(".")[0] for api in apis} >= {"run", "cloudbuild", "artifactregistry", "secretmanager"}
    assert len(cloud_run.asked("artifacts repositories create")) == 1
    assert len(cloud_run.asked("iam service-accounts create")) == 1
    assert len(cloud_run.asked("secrets create")) == 1
    assert len(cloud_run.asked("run deploy")) == 1
    assert all("--project=a-project" in call["argv"] for call in cloud_run.calls)


def test_yes_can_be_said_beforehand(cloud_run: CloudRun) -> None:
    assert cloud_run.run("--yes", *ARGUMENTS, answer="").returncode == 0
    assert cloud_run.asked("run deploy")


def test_the_token_goes_to_the_secret_and_nowhere_else(cloud_run: CloudRun) -> None:
    ended = cloud_run.run(*ARGUMENTS)

    given = {" ".join(call["argv"][:3]): call["stdin"] for call in cloud_run.calls if call["stdin"]}
    assert given == {"secrets versions add": TOKEN}
    assert not any(TOKEN in word for call in cloud_run.calls for word in call["argv"])
    assert TOKEN not in ended.stdout + ended.stderr


def test_a_second_run_keeps_what_is_there_and_deploys_anew(cloud_run: CloudRun) -> None:
    cloud_run.run(*ARGUMENTS)
    cloud_run.forget_calls()

    ended = cloud_run.run(*ARGUMENTS)

    assert ended.returncode == 0, ended.stderr
    assert not [call["argv"] for call in cloud_run.calls if {"create", "add"} & set(call["argv"])]
    assert len(cloud_run.asked("builds submit")) == len(cloud_run.asked("run deploy")) == 1


def test_a_secret_that_never_got_its_token_gets_it(cloud_run: CloudRun) -> None:
    failed = cloud_run.run(*ARGUMENTS, FAILS="secrets versions add")
    assert failed.returncode != 0

    assert cloud_run.run(*ARGUMENTS).returncode == 0
    assert len(cloud_run.asked("secrets create")) == 1
    assert cloud_run.calls[-1]["argv"][:3] == ["run", "services", "describe"]


def test_what_is_deployed(cloud_run: CloudRun) -> None:
    cloud_run.run(*ARGUMENTS, LOG_LEVEL="DEBUG")

    (deployed,) = cloud_run.asked("run deploy tate-embeddings")
    (variables,) = (word.partition("=")[2] for word in deployed if word.startswith("--update-env-vars="))
    assert {"--cpu=2", "--memory=2Gi", "--timeout=15m", "--cpu-boost", "--region=europe-west1"} <= set(deployed)
    assert {"WORKERS=1", "LOG_LEVEL=DEBUG"} <= set(variables.split(","))
    assert "--update-secrets=AUTH_TOKEN=tate-embeddings-auth-token:latest" in deployed
    assert "--allow-unauthenticated" in deployed  # the service has a token of its own


def test_instances_are_started_and_watched_by_the_service_s_own_word(cloud_run: CloudRun) -> None:
    cloud_run.run(*ARGUMENTS)

    (deployed,) = cloud_run.asked("run deploy")
    probes = {
        word.partition("-probe=")[0]: dict(pair.split("=") for pair in word.partition("-probe=")[2].split(","))
        for word in deployed
        if "-probe=" in word
    }
    assert (probes["--startup"]["httpGet.path"], probes["--liveness"]["httpGet.path"]) == ("/health", "/live")
    # More is refused.
    assert int(probes["--startup"]["periodSeconds"]) * int(probes["--startup"]["failureThreshold"]) <= 240


def test_requests_go_to_what_was_deployed_even_after_somebody_went_back(cloud_run: CloudRun) -> None:
    cloud_run.run(*ARGUMENTS)

    (moved,) = cloud_run.asked("run services update-traffic tate-embeddings")
    assert "--to-latest" in moved


def test_only_the_service_may_read_the_token(cloud_run: CloudRun) -> None:
    cloud_run.run(*ARGUMENTS)

    (granted,) = cloud_run.asked("secrets add-iam-policy-binding tate-embeddings-auth-token")
    (deployed,) = cloud_run.asked("run deploy")
    account = "tate-embeddings@a-project.iam.gserviceaccount.com"
    assert f"--member=serviceAccount:{account}" in granted
    assert "--role=roles/secretmanager.secretAccessor" in granted
    assert f"--service-account={account}" in deployed


def test_the_image_that_is_built_is_the_one_that_is_deployed(cloud_run: CloudRun) -> None:
    cloud_run.run(*ARGUMENTS, MODEL_NAME="ViT-L-14", PRETRAINED="openai")

    (built,) = cloud_run.asked("builds submit")
    (deployed,) = cloud_run.asked("run deploy")
    (substitutions,) = (word for word in built if word.startswith("--substitutions=^;^"))
    values = dict(pair.split("=", 1) for pair in substitutions.partition("^;^")[2].split(";"))
    assert (values["_MODEL_NAME"], values["_PRETRAINED"]) == ("ViT-L-14", "openai")
    assert f"--image={values['_IMAGE']}" in deployed
    assert "/a-project/tate-embeddings/tate-embeddings:" in values["_IMAGE"]


def test_the_build_uses_every_value_that_it_is_given(cloud_run: CloudRun) -> None:
    cloud_run.run(*ARGUMENTS)

    (built,) = cloud_run.asked("builds submit")
    (config,) = (word.partition("=")[2] for word in built if word.startswith("--config="))
    build = yaml.safe_load((ROOT / config).read_text())
    (step,) = build["steps"]
    given = set(re.findall(r"(_[A-Z_]+)=", " ".join(built)))
    assert {value.strip("$") for value in re.findall(r"\$_[A-Z_]+", " ".join(step["args"]))} == given
    assert build["images"] == ["$_IMAGE"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    for argument in re.findall(r"--build-arg=(\w+)", " ".join(step["args"])):
        assert f"\nARG {argument}=" in dockerfile
    assert "--target=slim" in step["args"]
    assert " AS slim\n" in dockerfile


def test_at_the_end_it_says_where_the_service_is_and_how_to_call_it(cloud_run: CloudRun) -> None:
    said = cloud_run.run(*ARGUMENTS).stdout

    assert "curl https://tate-embeddings-abc.a.run.app/health" in said
    assert "gcloud secrets versions access latest --secret=tate-embeddings-auth-token --project=a-project" in said
    assert 'curl https://tate-embeddings-abc.a.run.app/embed-text -H "Authorization: Bearer $TOKEN"' in said


STEPS = ["services enable", "artifacts repositories create", "iam service-accounts create", "secrets create",
         "secrets versions list", "secrets versions add", "builds submit", "secrets add-iam-policy-binding",
         "run deploy", "run services update-traffic", "run services describe"]  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_ends_it(cloud_run: CloudRun, step: str) -> None:
    ended = cloud_run.run(*ARGUMENTS, FAILS=step)

    assert ended.returncode != 0
    assert "PERMISSION_DENIED" in ended.stderr
    assert " ".join(cloud_run.calls[-1]["argv"]).startswith(step)


def test_without_a_token_to_give_none_is_given(cloud_run: CloudRun, tmp_path: Path) -> None:
    (tmp_path / "openssl").write_text("#!/bin/sh\nexit 1\n")

    assert cloud_run.run(*ARGUMENTS).returncode != 0
    assert not cloud_run.asked("secrets versions add")
    assert not cloud_run.asked("run deploy")

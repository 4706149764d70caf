"""Settings: what they are without an environment, and how a wrong one is told."""

import os
from pathlib import Path

import pytest
from app.config import MULTILINGUAL_PAIR, Settings, architecture, traces_are_asked_for
from app.errors import SettingsError


def test_without_an_environment_the_settings_are_the_documented_ones() -> None:
    settings = Settings.load()

    assert (settings.model_name, settings.pretrained) == ("ViT-B-32", "laion2b_s34b_b79k")
    assert (settings.host, settings.port, settings.workers) == ("0.0.0.0", 8000, "auto")
    assert (settings.engine, settings.device, settings.precision) == ("auto", "auto", "auto")
    assert settings.decoding == "exact"
    assert (settings.max_image_bytes, settings.max_image_pixels) == (20 * 2**20, 50_000_000)
    assert (settings.max_body_bytes, settings.max_queue_items) == (64 * 2**20, 512)
    assert (settings.fetch_timeout_s, settings.decode_timeout_s, settings.request_timeout_s) == (15, 10, 120)
    assert (settings.allow_private_networks, settings.docs_enabled) == (False, True)
    assert settings.allowed_image_hosts == settings.auth_token == ()


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_NAME", "ViT-L-14")
    monkeypatch.setenv("PORT", "9000")
    monkeypatch.setenv("AUTH_TOKEN", " one , two,")
    monkeypatch.setenv("ALLOWED_IMAGE_HOSTS", "media.example.org, *.example.com")
    monkeypatch.setenv("ENGINE", " OpenVINO ")
    monkeypatch.setenv("LOG_LEVEL", "warning")

    settings = Settings.load()

    assert (settings.model_name, settings.port, settings.engine) == ("ViT-L-14", 9000, "openvino")
    assert settings.auth_token == ("one", "two")
    assert settings.allowed_image_hosts == ("media.example.org", "*.example.com")
    assert settings.log_level == "WARNING"


def test_a_dot_env_file_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=9000\nHOST=127.0.0.1\nSOMETHING_ELSE=1\n")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    monkeypatch.setenv("PORT", "9001")

    assert (Settings.load().host, Settings.load().port) == ("127.0.0.1", 9001)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERS", "")

    assert Settings.load().workers == "auto"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "0"),
        ("WORKERS", "many"),
        ("PORT", "http"),
        ("PORT", "70000"),
        ("ENGINE", "onnx"),
        ("DEVICE", "tpu"),
        ("PRECISION", "int8"),
        ("DECODING", "quick"),
        ("MAX_BODY_BYTES", "-1"),
        ("MAX_IMAGE_PIXELS", "0"),
        ("FETCH_TIMEOUT_S", "inf"),
        ("REQUEST_TIMEOUT_S", "nan"),
        ("ALLOW_PRIVATE_NETWORKS", "perhaps"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("DOCS_ENABLED", "2"),
        ("HEADER_TIMEOUT_S", "0"),
        ("MAX_CONNECTIONS", "0"),
        ("RATE_LIMIT", "600"),
        ("RATE_LIMIT", "0/minute"),
        ("RATE_LIMIT", "10/fortnight"),
        ("RATE_LIMIT", "1/second, 10/minute"),
        ("CORS_ORIGINS", "www.example.org"),
        ("CORS_ORIGINS", "https://www.example.org/"),
        ("CORS_ORIGINS", "https://www.example.org/page"),
        ("CORS_ORIGINS", "https://*.example.org"),
    ],
)
def test_a_wrong_value_is_told_in_one_line_with_an_example(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as refusal:
        Settings.load()

    message = str(refusal.value)
    assert message.startswith(f"{name} is wrong: ")
    assert f"Example: {name}=" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("value", "limit"), [("600/minute", (600, 60)), ("5 per 2 hours", (5, 7200)), (" 10/second ", (10, 1))]
)
def test_a_rate_is_so_many_requests_in_so_many_seconds(
    monkeypatch: pytest.MonkeyPatch, value: str, limit: tuple[int, int]
) -> None:
    monkeypatch.setenv("RATE_LIMIT", value)

    assert Settings.load().rate_limit == limit


def test_origins_are_read_as_browsers_send_them() -> None:
    origins = "https://WWW.Example.org, http://localhost:3000, capacitor://localhost, http://[::1]:8080, *"

    assert Settings.load(cors_origins=origins).cors_origins == (
        "https://www.example.org", "http://localhost:3000", "capacitor://localhost", "http://[::1]:8080", "*"
    )  # fmt: skip


def test_every_setting_has_examples() -> None:
    assert all(field.examples for field in Settings.model_fields.values())


def test_tokens_do_not_appear_where_settings_are_printed() -> None:
    assert "secret" not in repr(Settings.load(auth_token="secret"))


@pytest.mark.parametrize(
    ("model_name", "expected"),
    [
        ("ViT-B-32", "ViT-B-32"),
        ("ViT-B/32", "ViT-B-32"),
        ("openai/clip-vit-base-patch32", "ViT-B-32"),
        ("local-dir:/models/mine", "local-dir:/models/mine"),
        ("hf-hub:laion/CLIP-ViT-B-32", "hf-hub:laion/CLIP-ViT-B-32"),
    ],
)
def test_model_names_lead_to_architectures(model_name: str, expected: str) -> None:
    assert architecture(model_name) == expected


ALIAS = "openai/clip-vit-base-patch32"


def test_an_alias_brings_its_weights() -> None:
    assert Settings.load(model_name=ALIAS).pretrained == "openai"


def test_an_alias_takes_weights_from_a_file(tmp_path: Path) -> None:
    checkpoint = tmp_path / "weights.pt"
    checkpoint.touch()

    assert Settings.load(model_name=ALIAS, pretrained=str(checkpoint)).pretrained == str(checkpoint)


def test_an_alias_with_the_weights_of_another_model_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="PRETRAINED is wrong: openai/clip-vit-base-patch32 stands for"):
        Settings.load(model_name=ALIAS, pretrained="laion2b_s34b_b79k")


def test_the_multilingual_pair_brings_the_weights_of_its_image_tower_and_takes_others(tmp_path: Path) -> None:
    pair = Settings.load(model_name=MULTILINGUAL_PAIR)

    assert pair.pretrained == "laion400m_e32"
    assert architecture(pair.model_name) == MULTILINGUAL_PAIR
    for weights in ("laion400m_e31", str(tmp_path / "image-tower.pt")):
        assert Settings.load(model_name=MULTILINGUAL_PAIR, pretrained=weights).pretrained == weights


@pytest.fixture
def _no_variables_of_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("_no_variables_of_opentelemetry")
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "mine"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "false"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
    ],
)
def test_opentelemetry_s_own_variables_ask_for_traces(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert traces_are_asked_for() is expected


@pytest.mark.usefixtures("_no_variables_of_opentelemetry")
@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_TRACES_EXPORTER": "jaeger"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_TRACES_EXPORTER": "otlp"},
        {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"},
    ],
)
def test_a_way_to_send_traces_that_is_not_there_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=f"^{next(iter(variables))} is wrong: "):
        traces_are_asked_for()

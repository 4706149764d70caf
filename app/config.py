"""Settings: the one place that reads the environment."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from platformdirs import user_cache_path
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import SettingsError

MIB = 1024 * 1024

# The demonstration model, which ships inside the package: a folder in the form that OpenCLIP reads, exported already.
DEMONSTRATION = "tiny-gallery"
BUNDLED = Path(__file__).parent / "bundled" / DEMONSTRATION

# The text tower of that repository with the image tower that it was trained for; PRETRAINED is the latter's.
MULTILINGUAL_PAIR = "M-CLIP/XLM-Roberta-Large-Vit-B-16Plus"

ALIASES = {
    "openai/clip-vit-base-patch32": ("ViT-B-32", "openai"),
    DEMONSTRATION: (f"local-dir:{BUNDLED}", "bundled"),
    MULTILINGUAL_PAIR: (MULTILINGUAL_PAIR, "laion400m_e32"),
}

Engine = Literal["openvino", "torch"]
Device = Literal["cpu", "cuda", "mps"]
Precision = Literal["float32", "bfloat16", "float16"]
CommaSeparated = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """What an operator can choose. Every name is an environment variable in upper case (docs/configuration.md)."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, protected_namespaces=()
    )

    auth_token: CommaSeparated = Field(default=(), repr=False, examples=["<the output of: openssl rand -hex 32>"])
    admin_token: CommaSeparated = Field(default=(), repr=False, examples=["<the output of: openssl rand -hex 32>"])
    metrics_token: CommaSeparated = Field(default=(), repr=False, examples=["<the output of: openssl rand -hex 32>"])
    model_name: str = Field(default="ViT-B-32", min_length=1, examples=["ViT-B-32"])
    pretrained: str = Field(default="laion2b_s34b_b79k", min_length=1, examples=["laion2b_s34b_b79k"])
    workers: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(default="auto", examples=["auto", "2"])
    host: str = Field(default="0.0.0.0", min_length=1, examples=["0.0.0.0"])
    port: int = Field(default=8000, ge=0, le=65535, examples=["8000"])
    engine: Literal["auto"] | Engine = Field(default="auto", examples=["auto", "openvino", "torch"])
    device: Literal["auto"] | Device = Field(default="auto", examples=["auto", "cpu", "cuda"])
    precision: Literal["auto"] | Precision = Field(default="auto", examples=["auto", "float32", "bfloat16"])
    model_cache_dir: Path = Field(
        default_factory=lambda: user_cache_path("tate-embeddings"), examples=["/var/cache/tate-embeddings"]
    )
    allowed_image_hosts: CommaSeparated = Field(default=(), examples=["media.example.org,*.example.com"])
    allow_private_networks: bool = Field(default=False, examples=["false"])
    max_image_bytes: int = Field(default=20 * MIB, ge=1, examples=["20971520"])
    max_image_pixels: int = Field(default=50_000_000, ge=1, examples=["50000000"])
    max_body_bytes: int = Field(default=64 * MIB, ge=1, examples=["67108864"])
    fetch_timeout_s: float = Field(default=15, gt=0, allow_inf_nan=False, examples=["15"])
    decode_timeout_s: float = Field(default=10, gt=0, allow_inf_nan=False, examples=["10"])
    decoding: Literal["exact", "fast"] = Field(default="exact", examples=["exact", "fast"])
    inference_timeout_s: float = Field(default=30, gt=0, allow_inf_nan=False, examples=["30"])
    max_batch_items: int = Field(default=256, ge=1, examples=["256"])
    max_queue_items: int = Field(default=512, ge=1, examples=["512"])
    request_timeout_s: float = Field(default=120, gt=0, allow_inf_nan=False, examples=["120"])
    cache_items: int = Field(default=10_000, ge=0, examples=["10000"])
    header_timeout_s: float = Field(default=10, gt=0, allow_inf_nan=False, examples=["10"])
    body_timeout_s: float = Field(default=30, gt=0, allow_inf_nan=False, examples=["30"])
    max_connections: int = Field(default=4096, ge=1, examples=["4096"])
    rate_limit: str = Field(default="", examples=["600/minute"])
    cors_origins: CommaSeparated = Field(default=(), examples=["https://www.example.org"])
    grace_s: float = Field(default=25, ge=0, allow_inf_nan=False, examples=["25"])
    max_memory_growth: int = Field(default=1024 * MIB, ge=0, examples=["1073741824"])
    trace_image_hosts: bool = Field(default=False, examples=["false"])
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(default="INFO", examples=["INFO"])
    log_format: Literal["auto", "json", "console"] = Field(default="auto", examples=["json", "console"])
    docs_enabled: bool = Field(default=True, examples=["true"])

    @field_validator("auth_token", "admin_token", "metrics_token", "allowed_image_hosts", "cors_origins", mode="before")
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("workers", "engine", "device", "precision", "decoding", "log_format", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.strip().upper() if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _alias_brings_its_weights(cls, values: dict[str, Any]) -> dict[str, Any]:
        alias = ALIASES.get(values.get("model_name", ""))
        return {"pretrained": alias[1], **values} if alias else values

    @model_validator(mode="after")
    def _alias_keeps_its_weights(self) -> Self:
        alias = ALIASES.get(self.model_name)
        if self.model_name == MULTILINGUAL_PAIR:
            return self  # only a default: the image tower has other weights too
        if alias and self.pretrained != alias[1] and (self.demonstration or not Path(self.pretrained).is_file()):
            raise PydanticCustomError(
                "alias",
                "{name} stands for the weights '{weights}'; leave PRETRAINED unset{otherwise}",
                {
                    "name": self.model_name,
                    "weights": alias[1],
                    "otherwise": "" if self.demonstration else ", or name a checkpoint file",
                },
            )
        return self

    @property
    def demonstration(self) -> bool:
        """Whether the model is the bundled one, whose vectors are of use for a demonstration only."""
        return self.model_name == DEMONSTRATION

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the environment and `.env`; `overrides` win.

        Raises:
            SettingsError: a value is wrong; the message names the variable, what is wrong, and an example.
        """
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise SettingsError(_in_one_line(error)) from None


def architecture(model_name: str) -> str:
    """The OpenCLIP architecture that a model name stands for; a name with a schema (`local-dir:`) stands for itself."""
    if model_name in ALIASES:
        return ALIASES[model_name][0]
    return model_name if ":" in model_name else model_name.replace("/", "-")


def _in_one_line(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False)
    field = str(problems[0]["loc"][0]) if problems[0]["loc"] else "pretrained"  # the one that depends on another
    wrong = ", or ".join(problem["msg"] for problem in problems if problem["loc"][:1] in ((), (field,)))
    examples = " or ".join(f"{field.upper()}={example}" for example in Settings.model_fields[field].examples or ())
    return f"{field.upper()} is wrong: {wrong}. Example: {examples}"

"""Settings: the one place that reads the environment."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

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

RANDOM = "<the output of: openssl rand -hex 32>"
# Where vectors can be searched, by the scheme of a URL.
INDEXES = re.compile(
    r"faiss:///.+|postgres(ql)?://.+|elasticsearch(\+https?)?://.+|milvus:///.+\.db(\?.*)?|milvus\+https?://.+"
)
# As browsers send it: no path, no user, no upper case.
ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/?#@*\s]+")


class RateLimit(NamedTuple):
    """So many requests in so many seconds."""

    requests: int
    seconds: int


class Settings(BaseSettings):
    """What an operator can choose. Every name is an environment variable in upper case.

    What stands below each becomes docs/configuration.md (`make docs`), and the comments its headings.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        protected_namespaces=(),
        use_attribute_docstrings=True,
    )

    # Who may call
    auth_token: CommaSeparated = Field(default=(), repr=False, examples=[RANDOM])
    """shared secret; several, comma-separated, while one is being replaced. A short one is warned of"""
    admin_token: CommaSeparated = Field(default=(), repr=False, examples=[RANDOM])
    """if set, the only token for the routes that change an index; several, comma-separated. Unset, `AUTH_TOKEN` opens
    these too"""
    metrics_token: CommaSeparated = Field(default=(), repr=False, examples=[RANDOM])
    """if set, the only token for `/metrics`; several, comma-separated. Unset, `AUTH_TOKEN` opens that too"""
    rate_limit: Annotated[RateLimit | None, NoDecode] = Field(default=None, examples=["600/minute"])
    """how many requests for vectors each token may make, such as `600/minute`, in a time that begins with a request;
    beyond it 429 with `Retry-After`. Each worker lets its part of them through, rounded down. Empty: as many as it
    likes"""
    cors_origins: CommaSeparated = Field(default=(), examples=["https://www.example.org"])
    """comma-separated origins whose pages may call the service from a browser, or `*`. Empty: none"""

    # The model
    model_name: str = Field(default="ViT-B-32", min_length=1, examples=["ViT-B-32"])
    """an OpenCLIP architecture. `/` reads as `-`; `local-dir:` and `hf-hub:` names work as in OpenCLIP;
    `openai/clip-vit-base-patch32` stands for `ViT-B-32` with the weights `openai`. `tiny-gallery` is the
    demonstration's model, which ships in the package. [Which one to choose](#many-languages)"""
    pretrained: str = Field(default="laion2b_s34b_b79k", min_length=1, examples=["laion2b_s34b_b79k"])
    """a tag of that architecture, or the path of a checkpoint file; `bundled` for `tiny-gallery`, where it may be left
    out; for the M-CLIP pair a tag of its image tower, `laion400m_e32` if it's left out"""
    engine: Literal["auto"] | Engine = Field(default="auto", examples=["auto", "openvino", "torch"])
    """`openvino` (CPU) or `torch`. `auto`: torch if there is a GPU"""
    device: Literal["auto"] | Device = Field(default="auto", examples=["auto", "cpu", "cuda"])
    """`cpu`, `cuda`, or `mps` on a Mac. `auto`: a CUDA GPU if torch sees one"""
    precision: Literal["auto"] | Precision = Field(default="auto", examples=["auto", "float32", "bfloat16"])
    """`float32`, `bfloat16`, `float16`. `auto`: float16 on CUDA; on a CPU bfloat16 if it computes in it natively and
    the prepared weights keep a cosine of 0.9995 to OpenCLIP, else float32. `prepare` measures that: on a CPU without
    bfloat16 it can't, and `auto` then means float32. How fast it is depends on the CPU: on AMD's since Zen 4 nearly
    twice as fast as float32; on an Intel one that has bfloat16 but whose AMX is hidden by the virtual machine it was
    slower, and `float32` is the better choice there"""
    decoding: Literal["exact", "fast"] = Field(default="exact", examples=["exact", "fast"])
    """`exact`: pixels are OpenCLIP's, bit for bit. `fast`: large JPEGs are decoded to less, and `space` is another.
    [When to use it](#fast-decoding)"""
    model_cache_dir: Path = Field(
        default_factory=lambda: user_cache_path("tate-embeddings"), examples=["/var/cache/tate-embeddings"]
    )
    """where prepared models lie; may be read-only once they do"""

    # The processes
    host: str = Field(default="0.0.0.0", min_length=1, examples=["0.0.0.0"])
    """where `tate-embeddings serve` listens"""
    port: int = Field(default=8000, ge=0, le=65535, examples=["8000"])
    """at which port it does"""
    workers: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(default="auto", examples=["auto", "2"])
    """processes; each holds the model once. `auto`: 4, but never more than half of the cores or memory ÷ 1.3 GB of what
    the container may use, at least 1 (of a model whose exported weights are over 0.6 GB: memory ÷ their size and
    0.7 GB); on CUDA one for each visible GPU. `serve --workers N` overrides it"""
    grace_s: float = Field(default=25, ge=0, allow_inf_nan=False, examples=["25"])
    """how long a worker that stops works on the requests that it has"""
    inference_timeout_s: float = Field(default=30, gt=0, allow_inf_nan=False, examples=["30"])
    """how long the engine may take for one batch; then the worker is taken for hung and replaced"""
    max_memory_growth: int = Field(default=1024 * MIB, ge=0, examples=["1073741824"])
    """a worker that has grown by so many bytes since it was ready is replaced, without a failed request; 0: never"""

    # Requests
    max_body_bytes: int = Field(default=64 * MIB, ge=1, examples=["67108864"])
    """larger request bodies are refused while they are read"""
    max_batch_items: int = Field(default=256, ge=1, examples=["256"])
    """how many texts and images a list route takes in one request; `/v1/embeddings` takes as many images, but 2,048
    texts at least, into which OpenAI's clients split their lists"""
    max_queue_items: int = Field(default=512, ge=1, examples=["512"])
    """how many single texts, pictures to decode and pictures to embed may wait, each kind for itself, in each worker;
    beyond it they get 503 with a `Retry-After` by the pace of the queue. Items of lists aren't counted: they wait
    outside, and few at a time come in"""
    request_timeout_s: float = Field(default=120, gt=0, allow_inf_nan=False, examples=["120"])
    """how long a request may take once its body is read"""
    cache_items: int = Field(default=10_000, ge=0, examples=["10000"])
    """how many vectors of texts, and as many of pictures, each worker remembers: 2 to 3 kB each. They are found again
    by a digest of what was embedded and of the embedding space; an image behind a URL is fetched again, and only
    computed if it has changed. 0: none"""
    header_timeout_s: float = Field(default=10, gt=0, allow_inf_nan=False, examples=["10"])
    """how long a client may take to send a request's headers"""
    body_timeout_s: float = Field(default=30, gt=0, allow_inf_nan=False, examples=["30"])
    """how long it may take to send the body, which gets a second more for every 64 KiB that have arrived"""
    keep_alive_s: int = Field(default=75, ge=1, examples=["75"])
    """how long a connection is kept on which nothing is asked. Longer than whatever is before the service keeps it, or
    a request may meet its end: AWS' load balancers and nginx take 60 seconds, Google's 600"""
    max_connections: int = Field(default=4096, ge=1, examples=["4096"])
    """connections that a worker has open at once; beyond it new ones get 503"""

    # Images
    allowed_image_hosts: CommaSeparated = Field(default=(), examples=["media.example.org,*.example.com"])
    """comma-separated host names, in ASCII (`xn--…`); `*.example.org` stands for every name below it. Empty: any public
    host"""
    allow_private_networks: bool = Field(default=False, examples=["false"])
    """`true` lets image URLs reach private and loopback addresses on any port, for compose networks and tests, and so
    the service itself and whatever else listens there; never a cloud's metadata"""
    max_image_bytes: int = Field(default=20 * MIB, ge=1, examples=["20971520"])
    """larger images are refused while they are read. A worker holds eight times as much at once, or `MAX_BODY_BYTES` if
    that is more; beyond it images get 503, texts don't"""
    max_image_pixels: int = Field(default=50_000_000, ge=1, examples=["50000000"])
    """larger pictures are refused before they are decoded"""
    fetch_timeout_s: float = Field(default=15, gt=0, allow_inf_nan=False, examples=["15"])
    """deadline of one image's download: waiting for a turn, name look-up, redirects, and up to three tries included"""
    decode_timeout_s: float = Field(default=10, gt=0, allow_inf_nan=False, examples=["10"])
    """how long decoding and resizing one image may take; then its process is killed and replaced"""

    # Search
    index_url: str = Field(default="", repr=False, examples=["faiss:///var/lib/tate-embeddings/catalogue"])
    """where vectors are searched, which opens `/search`, `/ingest`, `/items` and `/index`. Empty: search is off.
    [What can stand here](#indexes)"""

    # The page
    gallery_access: Literal["password", "public"] = Field(default="password", examples=["password", "public"])
    """who sees the page at `/gallery`, which is there where `INDEX_URL` is set: who knows `GALLERY_PASSWORD` (without
    one the page is off), or everybody: `public`"""
    gallery_password: str = Field(default="", repr=False, examples=["<the output of: openssl rand -hex 12>"])
    """what visitors enter. A change of it, and one of `AUTH_TOKEN`, lets nobody in who had entered it before"""
    gallery_title: str = Field(default="Search the collection", min_length=1, examples=["The museum's paintings"])
    """what stands above the page"""
    gallery_examples: CommaSeparated = Field(
        default=("a stormy sea at night", "flowers in a vase", "a portrait of a woman", "snow on mountains"),
        examples=["a stormy sea at night,flowers in a vase"],
    )
    """comma-separated queries that the first screen proposes"""
    gallery_pictures_dir: Path | None = Field(default=None, examples=["/var/lib/tate-embeddings/catalogue/images"])
    """where the catalogue's images lie, of which the page shows thumbnails. Unset: the folder of a `faiss:` index, in
    which they lie by default; what isn't there is fetched from its URL"""
    gallery_cache_dir: Path = Field(
        default_factory=lambda: user_cache_path("tate-embeddings") / "thumbnails",
        examples=["/var/cache/tate-embeddings/thumbnails"],
    )
    """where thumbnails are kept"""
    gallery_cache_bytes: int = Field(default=1024 * MIB, ge=0, examples=["1073741824"])
    """how much room they may take; then those go that nobody has asked for in the longest time"""
    gallery_hotlink: bool = Field(default=False, examples=["false"])
    """`true` lets visitors' browsers load pictures from where they are, which tells those hosts who visits; `false`:
    they get thumbnails from here and nothing else"""
    vector_api_url: str = Field(default="", examples=["http://vector_api:8000"])
    """the service that `tate-embeddings gallery`, the page alone, asks with the first `AUTH_TOKEN`"""

    # What can be seen of it
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(default="INFO", examples=["INFO"])
    """`DEBUG`, `INFO`, `WARNING`, `ERROR`, `CRITICAL`"""
    log_format: Literal["auto", "json", "console"] = Field(default="auto", examples=["json", "console"])
    """`json` or `console`; `auto`: console on a terminal"""
    trace_image_hosts: bool = Field(default=False, examples=["false"])
    """whether image hosts are told of a request's [trace](#traces), by a `traceparent` header"""
    docs_enabled: bool = Field(default=True, examples=["true"])
    """`/docs`, `/redoc`, `/openapi.json`"""

    @field_validator(
        "auth_token", "admin_token", "metrics_token", "allowed_image_hosts", "cors_origins", "gallery_examples",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        values = tuple(value.lower() for value in values)
        for value in values:
            if not ORIGIN.fullmatch(value):
                raise PydanticCustomError("origin", "'{value}' is no origin, or more than that", {"value": value})
        return values

    @field_validator("index_url")
    @classmethod
    def _index(cls, value: str) -> str:
        if value and not INDEXES.fullmatch(value):
            raise PydanticCustomError(
                "index",
                "it must be faiss:///FOLDER, postgresql://…, elasticsearch://…, elasticsearch+https://…, "
                "milvus:///FILE.db, milvus+http://… or milvus+https://…",
            )
        return value

    @field_validator("rate_limit", mode="before")
    @classmethod
    def _rate(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        from limits import parse_many  # which takes a fifth of a second, and most have no use for it

        try:
            (limit,) = parse_many(value)
        except ValueError:
            raise PydanticCustomError("rate", "it must be a number of requests, '/', and a time") from None
        if not limit.amount:
            raise PydanticCustomError("rate", "it would let no request through")
        return RateLimit(limit.amount, limit.get_expiry())

    @field_validator(
        "workers", "engine", "device", "precision", "decoding", "log_format", "gallery_access", mode="before"
    )
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
    def has_gallery(self) -> bool:
        """Whether the page is on, where there is something to search."""
        return self.gallery_access == "public" or bool(self.gallery_password)

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


def traces_are_asked_for() -> bool:
    """Whether OpenTelemetry's own variables ask for traces. Its SDK, which reads the rest of them, looks for no `.env`.

    Raises:
        SettingsError: they ask for another exporter or protocol than OTLP over HTTP.
    """
    _, disabled = _first_set("OTEL_SDK_DISABLED")
    _, exporter = _first_set("OTEL_TRACES_EXPORTER")
    _, endpoint = _first_set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    if disabled.lower() == "true" or exporter == "none" or not (exporter or endpoint):
        return False
    if exporter not in ("", "otlp"):
        raise SettingsError(f"OTEL_TRACES_EXPORTER is wrong: not {exporter}, but otlp or none is there")
    name, protocol = _first_set("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in ("", "http/protobuf"):
        raise SettingsError(f"{name} is wrong: not {protocol}, but http/protobuf is there")
    return True


def _first_set(*names: str) -> tuple[str, str]:
    """The first of these variables that isn't empty, and its value."""
    values = ((name, os.environ.get(name, "").strip()) for name in names)
    return next((found for found in values if found[1]), ("", ""))


def _in_one_line(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False)
    field = str(problems[0]["loc"][0]) if problems[0]["loc"] else "pretrained"  # the one that depends on another
    wrong = ", or ".join(problem["msg"] for problem in problems if problem["loc"][:1] in ((), (field,)))
    examples = " or ".join(f"{field.upper()}={example}" for example in Settings.model_fields[field].examples or ())
    return f"{field.upper()} is wrong: {wrong}. Example: {examples}"

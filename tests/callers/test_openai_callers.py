"""OpenAI's Python package, and LangChain's on top of it, unmodified, with the one running instance."""

import asyncio
import functools
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import open_clip
import openai
import pytest
import tiktoken
from app.embeddings.engines import Vectors
from langchain_openai import OpenAIEmbeddings

from tests.callers.conftest import Instance
from tests.callers.expected import BASE64, DATA_URI, SEA, WOMAN, close, model, seen, texts

pytestmark = pytest.mark.slow

VOCABULARY = 49408

Create = Callable[..., Vectors]
MakeEmbeddings = Callable[..., OpenAIEmbeddings]


@pytest.fixture
def client(instance: Instance) -> Iterator[openai.OpenAI]:
    """OpenAI's client, told nothing but where and who. It would wait before it tries again, and so doesn't here."""
    with openai.OpenAI(base_url=f"{instance.url}/v1", api_key=instance.token, max_retries=0) as client:
        yield client


@pytest.fixture
def create(client: openai.OpenAI, instance: Instance) -> Create:
    """`client.embeddings.create` for the model that is served; gives the vectors alone, a row each."""

    def call(given: Any, **options: Any) -> Vectors:
        answer = client.embeddings.create(model=instance.model, input=given, **options)
        assert [item.index for item in answer.data] == [*range(len(answer.data))]
        return np.array([item.embedding for item in answer.data], np.float32)

    return call


@pytest.fixture
def langchain(instance: Instance) -> Iterator[MakeEmbeddings]:
    """LangChain's `OpenAIEmbeddings` for the model that is served, with connections that are closed afterwards."""
    with httpx.Client() as connections:
        yield functools.partial(
            OpenAIEmbeddings,
            model=instance.model,
            openai_api_base=f"{instance.url}/v1",
            openai_api_key=instance.token,
            max_retries=0,
            http_client=connections,
        )


def tokenised(text: str) -> list[int]:
    """A text as OpenCLIP gives it to the model: its ids between start and end token, and padding to the context."""
    ids: list[int] = open_clip.get_tokenizer("ViT-B-32")(text)[0].tolist()
    return ids


def encoding(first: int) -> tiktoken.Encoding:
    """What tiktoken would download is played by a token for each byte, numbered from `first` on."""
    ranks = {bytes([byte]): first + byte for byte in range(256)}
    return tiktoken.Encoding("bytes", pat_str=r".", mergeable_ranks=ranks, special_tokens={})


def test_a_text_gets_its_vector(create: Create) -> None:
    assert close(create(SEA), texts(SEA))


def test_the_package_asks_for_base64_and_reads_the_same_numbers_from_it_as_from_floats(
    client: openai.OpenAI, create: Create, instance: Instance
) -> None:
    raw = client.embeddings.with_raw_response.create(model=instance.model, input=SEA)

    assert isinstance(raw.http_response.json()["data"][0]["embedding"], str)
    assert np.array_equal(create(SEA), create(SEA, encoding_format="float"))


def test_the_asynchronous_client_gets_the_same(instance: Instance) -> None:
    async def call() -> list[float]:
        async with openai.AsyncOpenAI(base_url=f"{instance.url}/v1", api_key=instance.token) as client:
            answer = await client.embeddings.create(model=instance.model, input=SEA)
            return answer.data[0].embedding

    assert close([asyncio.run(call())], texts(SEA))


def test_a_list_gets_vectors_in_its_order(create: Create) -> None:
    assert close(create([SEA, WOMAN, SEA]), texts(SEA, WOMAN, SEA))


def test_a_list_may_be_as_long_as_openai_allows(create: Create) -> None:
    many = [f"a stormy sea, {number}" for number in range(2048)]

    assert close(create(many), texts(*many))


def test_a_longer_list_is_refused(create: Create) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        create([SEA] * 2049)

    assert (caught.value.status_code, caught.value.code) == (413, "too_large")


def test_dimensions_keeps_the_first_numbers_as_a_vector_of_length_1(create: Create) -> None:
    first = texts(SEA)[:, :256]

    assert close(create(SEA, dimensions=256), first / np.linalg.norm(first))


def test_more_dimensions_than_the_model_has_are_refused(create: Create) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        create(SEA, dimensions=513)

    assert (caught.value.code, caught.value.param) == ("invalid_request", "dimensions")


@pytest.mark.parametrize("form", ["padded", "not padded", "without its end", "without start and end"])
def test_the_models_own_token_ids_get_the_vector_of_their_text(create: Create, form: str) -> None:
    padded = tokenised(SEA)
    bare = padded[: padded.index(0)]
    forms = {"padded": padded, "not padded": bare, "without its end": bare[:-1], "without start and end": bare[1:-1]}

    assert close(create(forms[form]), texts(SEA))


def test_a_list_of_token_ids_gets_vectors_in_its_order(create: Create) -> None:
    assert close(create([tokenised(WOMAN), tokenised(SEA)]), texts(WOMAN, SEA))


@pytest.mark.parametrize("ids", [[320, VOCABULARY], [-1, 320], [100_256]])
def test_ids_that_the_model_hasnt_are_refused(create: Create, ids: list[int]) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        create([[320], ids])

    assert (caught.value.code, caught.value.param) == ("invalid_request", "input[1]")


@pytest.mark.parametrize(
    "image", [DATA_URI, {"image": BASE64}, {"url": "painting.png"}], ids=["data URI", "image", "url"]
)
def test_an_image_gets_its_vector(create: Create, image_host: str, image: Any) -> None:
    if "url" in image:
        image = {"url": f"{image_host}/{image['url']}"}

    assert close(create([image]), seen())


def test_images_stand_among_texts(create: Create) -> None:
    assert close(create([SEA, DATA_URI, WOMAN]), [*texts(SEA), *seen(), *texts(WOMAN)])


def test_usage_counts_what_the_model_has_read(client: openai.OpenAI, instance: Instance) -> None:
    usage = client.embeddings.create(model=instance.model, input=[SEA, DATA_URI]).usage

    assert (usage.prompt_tokens, usage.total_tokens) == (7, 7)


def test_the_space_is_handed_on(client: openai.OpenAI, instance: Instance) -> None:
    answer = client.embeddings.create(model=instance.model, input=SEA)

    assert answer.model_extra == {"space": model().space}


def test_what_only_openai_knows_is_ignored(create: Create) -> None:
    assert close(create(SEA, user="a visitor", extra_body={"service_tier": "flex"}), texts(SEA))


def test_the_served_model_is_listed(client: openai.OpenAI, instance: Instance) -> None:
    assert [listed.id for listed in client.models.list()] == [instance.model]


def test_another_token_is_an_authentication_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        client.with_options(api_key="another").models.list()

    assert (caught.value.code, caught.value.type) == ("unauthorized", "invalid_request_error")


def test_another_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="text-embedding-3-small", input=SEA)

    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("given", ["", [], [SEA, " "], {"url": 1}], ids=repr)
def test_input_that_says_nothing_is_a_bad_request(create: Create, given: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        create(given)

    assert (caught.value.code, caught.value.param) == ("invalid_request", "input")


def test_an_image_that_cant_be_used_is_named(create: Create, image_host: str) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        create([SEA, {"url": f"{image_host}/text.txt"}])

    assert (caught.value.code, caught.value.param) == ("not_an_image", "input[1]")


def test_an_image_host_that_fails_is_the_servers_error(create: Create, free_port: int) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        create([{"url": f"http://127.0.0.1:{free_port}/painting.png"}])

    assert (caught.value.status_code, caught.value.code) == (502, "image_host_failed")
    assert caught.value.type == "server_error"


def test_langchains_query_gets_its_vector(langchain: MakeEmbeddings) -> None:
    embeddings = langchain(check_embedding_ctx_length=False)

    assert close([embeddings.embed_query(SEA)], texts(SEA))


def test_langchains_documents_get_vectors_in_their_order(langchain: MakeEmbeddings) -> None:
    embeddings = langchain(check_embedding_ctx_length=False)
    documents = [f"a stormy sea, {number}" for number in range(300)]

    assert close(embeddings.embed_documents(documents), texts(*documents))


def test_langchains_asynchronous_calls_get_the_same(langchain: MakeEmbeddings) -> None:
    async def call() -> list[list[float]]:
        async with httpx.AsyncClient() as connections:
            embeddings = langchain(check_embedding_ctx_length=False, http_async_client=connections)
            return [await embeddings.aembed_query(SEA), *await embeddings.aembed_documents([WOMAN])]

    assert close(asyncio.run(call()), texts(SEA, WOMAN))


def test_langchain_left_to_itself_sends_ids_that_mean_other_words_here(
    langchain: MakeEmbeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bytes_alone = encoding(first=0)
    monkeypatch.setattr(tiktoken, "get_encoding", lambda _: bytes_alone)

    assert not close([langchain().embed_query(SEA)], texts(SEA))


def test_langchain_left_to_itself_is_refused_where_its_ids_are_none_of_the_models(
    langchain: MakeEmbeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    beyond = encoding(first=VOCABULARY)
    monkeypatch.setattr(tiktoken, "get_encoding", lambda _: beyond)

    with pytest.raises(openai.BadRequestError):
        langchain().embed_query(SEA)

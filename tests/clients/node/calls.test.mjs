// What calls send, and what they make of answers.

import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { EmbeddingsClient, isFailure, SpaceChanged, UnexpectedAnswer, WrongDimensions } from "tate-embeddings-client";
import { ADDRESS, answer, clientOf, image, origin, refusal, rejected, text, TOKEN } from "./stub.mjs";

const PNG = Uint8Array.of(0x89, 0x50, 0x4e, 0x47);

function json({ body }) {
  return JSON.parse(body);
}

/** What the service says of a request for many images: all have a vector but those that `fails` tells. */
function images(request, fails = () => false) {
  const form = request.body instanceof FormData;
  const sent = form ? request.body.getAll("files") : (json(request).images ?? json(request).urls);
  const places = [...sent.keys()].filter((place) => !fails(sent[place]));
  return answer({
    ...origin,
    embeddings: places.map(() => image.embedding),
    indices: places,
    failed: [...sent.keys()]
      .filter((place) => fails(sent[place]))
      .map((index) => ({ index, code: "image_host_failed", detail: "Later." })),
    sha256: places.map((place) => String(sent[place].size ?? sent[place])),
    width: places.map(() => 3),
    height: places.map(() => 2),
  });
}

function texts(request) {
  const sent = json(request).texts;
  return answer({ ...origin, embeddings: sent.map(() => [0.6, 0.8]), truncated: sent.map((each) => each === "long") });
}

test("a text goes to the service in the client's name", async () => {
  const { client, sent } = clientOf([answer(text)], { url: `${ADDRESS}/below/` });

  const { vector, ...rest } = await client.embedText("a dog");

  const [{ url, method, headers, body }] = sent;
  assert.deepEqual([url, method, JSON.parse(body)], [`${ADDRESS}/below/embed-text`, "POST", { query: "a dog" }]);
  assert.equal(headers.Authorization, `Bearer ${TOKEN}`);
  assert.deepEqual(vector, [0.6, 0.8]);
  assert.deepEqual(rest, { ...origin, truncated: false });
});

const forms = [
  ["a URL", "https://media.example.org/1.jpg", { url: "https://media.example.org/1.jpg" }],
  ["what is no URL, for the service to say so,", "iVBORw==", { url: "iVBORw==" }],
  ["a data: URI", "data:image/png;base64,iVBORw==", { image: "data:image/png;base64,iVBORw==" }],
  ["marked base64", { base64: "iVBORw==" }, { image: "iVBORw==" }],
];
for (const [what, given, expected] of forms) {
  test(`${what} goes as JSON`, async () => {
    const { client, sent } = clientOf([answer(image)]);

    await client.embedImage(given);

    assert.deepEqual(json(sent[0]), expected);
  });
}

for (const bytes of [PNG, Buffer.from(PNG), new Blob([PNG])]) {
  test(`a ${bytes.constructor.name} goes as it is`, async () => {
    const { client, sent } = clientOf([answer(image)]);

    const { sha256, width, height } = await client.embedImage(bytes);

    assert.equal(sent[0].body, bytes);
    assert.equal(sent[0].headers["Content-Type"], "image/unknown");
    assert.deepEqual([sha256, width, height], ["9f86", 3, 2]);
  });
}

test("images of a list keep their places, whatever form they have and however they fail", async () => {
  const { client, sent } = clientOf([(request) => images(request, (each) => /gone/.test(each))]);
  const list = [PNG, "https://a.example/1", new Blob([PNG, PNG]), "https://a.example/gone", { base64: "iVBORw==" }];

  const results = await client.embedImages(list);

  assert.deepEqual(
    results.map((result) => (isFailure(result) ? result : result.sha256)),
    [
      "4",
      "https://a.example/1",
      "8",
      { index: 3, code: "image_host_failed", detail: "Later.", url: "https://a.example/gone", retryable: true },
      "iVBORw==",
    ],
  );
  assert.equal(sent.length, 3);
});

test("a list has 256 items in a request at most", async () => {
  const { client, sent } = clientOf([texts]);
  const list = Array.from({ length: 513 }, (_, place) => (place === 512 ? "long" : `text ${place}`));

  const results = await client.embedTexts(list);

  assert.deepEqual(sent.map((request) => json(request).texts.length), [256, 256, 1]);
  assert.deepEqual(results.map(({ truncated }) => truncated).lastIndexOf(true), 512);
});

test("a list has 64 MiB in a request at most", async () => {
  const { client, sent } = clientOf([images]);
  const large = new Blob([new Uint8Array(30 * 2 ** 20)]);

  const results = await client.embedImages([large, large, large, PNG]);

  assert.deepEqual(sent.map(({ body }) => body.getAll("files").length), [2, 2]);
  assert.deepEqual(results.map(({ sha256 }) => sha256), [large.size, large.size, large.size, 4].map(String));
});

test("an image that no request can hold fails alone, and isn't sent", async () => {
  const { client, sent } = clientOf([images]);

  const [failure, other] = await client.embedImages([new Uint8Array(64 * 2 ** 20), PNG]);

  assert.deepEqual([failure.code, failure.index, failure.retryable, other.sha256], ["too_large", 0, false, "4"]);
  assert.equal(sent[0].body.getAll("files").length, 1);
});

test("the bytes of a text count as they are sent", async () => {
  const { client, sent } = clientOf([texts]);
  const euros = "€".repeat(8 * 2 ** 20); // of three bytes each

  await client.embedTexts([euros, euros, euros]);

  assert.equal(sent.length, 2);
});

test("an empty list asks nothing", async () => {
  const { client, sent } = clientOf([texts]);

  assert.deepEqual([await client.embedTexts([]), await client.embedImages([]), sent.length], [[], [], 0]);
});

test("a request that fails as a whole fails its list", async () => {
  const { client } = clientOf([refusal(422, "invalid_request")]);

  assert.equal((await rejected(client.embedTexts(["a", " "]))).code, "invalid_request");
});

test("vectors of another space than the first are refused", async () => {
  const { client } = clientOf([answer(text), answer({ ...image, space: "another" })]);
  await client.embedText("a dog");

  const error = await rejected(client.embedImage(PNG));

  assert.ok(error instanceof SpaceChanged);
  assert.deepEqual([error.code, error.retryable, error.requestId], ["space_changed", false, "r-1"]);
  assert.deepEqual([error.expected, error.found, client.space], [origin.space, "another", origin.space]);
});

test("vectors of another space than the stored ones are refused from the start", async () => {
  const { client } = clientOf([answer(text)], { space: "stored" });

  assert.ok((await rejected(client.embedText("a dog"))) instanceof SpaceChanged);
});

test("one vector of another space refuses its list", async () => {
  const { client } = clientOf([images], { space: "stored" });

  assert.ok((await rejected(client.embedImages([PNG]))) instanceof SpaceChanged);
});

test("vectors of another length than the stored ones are refused", async () => {
  const { client } = clientOf([answer(text)], { dimensions: 512 });

  const error = await rejected(client.embedText("a dog"));

  assert.ok(error instanceof WrongDimensions);
  assert.deepEqual([error.code, error.expected, error.found, client.space], ["wrong_dimensions", 512, 2, undefined]);
});

const found = {
  ...origin,
  results: [{ id: "a/1", score: 0.31, metadata: { year: 1842 } }],
  took_ms: 2.5,
  truncated: false,
};

test("a search is for a text unless it says otherwise", async () => {
  const { client, sent } = clientOf([answer(found)]);

  const results = await client.search("a dog", { k: 5, offset: 2, minScore: 0.2, filter: { year: { gte: 1800 } } });

  const wanted = { queries: [{ text: "a dog" }], k: 5, offset: 2, min_score: 0.2, filter: { year: { gte: 1800 } } };
  assert.deepEqual(json(sent[0]), wanted);
  const { model, pretrained, space } = origin;
  assert.deepEqual(results, { results: found.results, tookMs: 2.5, truncated: false, model, pretrained, space });
});

test("a search is for several things by their weights, with images in base64", async () => {
  const { client, sent } = clientOf([answer(found)]);
  const large = new Uint8Array(50_000).fill(7);

  await client.search([
    { image: large },
    { image: new Blob([PNG]), weight: 0.5 },
    { image: "https://a.example/1" },
    { id: "a/1", weight: -0.5 },
    { embedding: [0.6, 0.8] },
  ]);

  assert.deepEqual(json(sent[0]).queries, [
    { image: Buffer.from(large).toString("base64") },
    { image: "iVBORw==", weight: 0.5 },
    { url: "https://a.example/1" },
    { id: "a/1", weight: -0.5 },
    { embedding: [0.6, 0.8] },
  ]);
});

test("a search in another space is refused", async () => {
  const { client } = clientOf([answer(found)], { space: "stored" });

  assert.ok((await rejected(client.search("a dog"))) instanceof SpaceChanged);
});

test("health tells how a service is that isn't ready", async () => {
  const loading = {
    status: "loading", model_loaded: false, text_model_loaded: false, image_model_loaded: false,
    device: null, engine: null, precision: null, space: null,
  };
  const { client, sent } = clientOf([answer(loading, { status: 503 })]);

  const health = await client.health();

  assert.deepEqual([health.ready, health.status, health.space, health.demonstration], [false, "loading", null, false]);
  assert.equal(sent.length, 1);
});

test("health of what is no service is its failure", async () => {
  const { client } = clientOf([new Response("Bad gateway", { status: 502 })]);

  assert.equal((await rejected(client.health())).code, "http_502");
});

const strange = [
  ["no JSON", "embedText", "a dog", new Response("<html>")],
  ["a vector of another length than it says", "embedText", "a dog", answer({ ...text, embedding: [1] })],
  ["a vector of no numbers", "embedText", "a dog", answer({ ...text, embedding: ["1", null] })],
  ["no space", "embedImage", PNG, answer({ ...image, space: undefined })],
  ["fewer vectors than texts", "embedTexts", ["a", "b"], answer({
    ...origin, embeddings: [[1, 0]], truncated: [false],
  })],
  ["an image at two places", "embedImages", [PNG, PNG], answer({
    ...origin, embeddings: [[1, 0], [1, 0]], indices: [0, 0], failed: [],
    sha256: ["a", "b"], width: [1, 1], height: [1, 1],
  })],
  ["an image at no place", "embedImages", [PNG], answer({
    ...origin, embeddings: [], indices: [], failed: [], sha256: [], width: [], height: [],
  })],
  ["an image at a place that isn't", "embedImages", [PNG], answer({
    ...origin, embeddings: [], indices: [], failed: [{ index: 1, code: "a", detail: "b" }],
    sha256: [], width: [], height: [],
  })],
  ["results without scores", "search", "a dog", answer({ ...found, results: [{ id: "a", metadata: {} }] })],
];
for (const [what, method, argument, given] of strange) {
  test(`an answer with ${what} is none of the service's`, async () => {
    const { client } = clientOf([given]);

    assert.ok((await rejected(client[method](argument))) instanceof UnexpectedAnswer);
  });
}

const mistakes = [
  ["no text", "embedText", 7],
  ["a list with something else in it", "embedTexts", ["a", 7]],
  ["a string for a list", "embedTexts", "a dog"],
  ["no image", "embedImage", { base: "64" }],
  ["an ArrayBuffer", "embedImage", new ArrayBuffer(4)],
  ["a list with what is no image", "embedImages", [PNG, null]],
  ["a query for nothing", "search", { weight: 2 }],
  ["a query for two things", "search", { text: "a dog", id: "a/1" }],
  ["a query for no image", "search", { image: 7 }],
];
for (const [what, method, argument] of mistakes) {
  test(`${what} is a TypeError, and nothing is sent`, async () => {
    const { client, sent } = clientOf([answer(text)]);

    assert.ok((await rejected(client[method](argument))) instanceof TypeError);
    assert.equal(sent.length, 0);
  });
}

test("nobody sees the token in an error or in the client", async () => {
  const gossip = (request) => Promise.reject(Object.assign(new TypeError(JSON.stringify(request)), { request }));
  const failures = [
    gossip,
    refusal(401, "unauthorized"),
    refusal(422, "invalid_request"),
    answer({}),
    answer({ ...text, space: "another" }),
  ];
  for (const failure of failures) {
    const { client } = clientOf([failure], { space: origin.space, timeoutMs: 200 });
    const error = await rejected(client.embedText("a dog"));
    assert.ok(!inspect([client, error], { depth: Infinity, showHidden: true }).includes(TOKEN));
    assert.ok(!JSON.stringify([client, error]).includes(TOKEN));
  }
  assert.ok(!inspect(new EmbeddingsClient({ url: ADDRESS, token: TOKEN })).includes(TOKEN));
});

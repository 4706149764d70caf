// The client and a real service.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { AuthenticationError, EmbeddingsClient, isFailure, ServiceError, SpaceChanged } from "tate-embeddings-client";
import { rejected } from "./stub.mjs";

const { SERVICE_URL: url, SERVICE_TOKEN: token, SERVICE_MODEL: model, IMAGE_URL: imageUrl } = process.env;

const client = new EmbeddingsClient({ url, token, dimensions: 512 });
const painting = await readFile("painting.jpg");

function cosine(one, other) {
  return one.vector.reduce((sum, each, place) => sum + each * other.vector[place], 0);
}

test("a text has a unit vector of the service's space", async () => {
  const result = await client.embedText("a stormy sea");

  assert.deepEqual([result.vector.length, result.model, result.truncated], [512, model, false]);
  assert.ok(Math.abs(Math.hypot(...result.vector) - 1) < 1e-5);
  assert.equal(result.space, (await client.health()).space);
});

test("texts keep their order, and one that is too long says so", async () => {
  const [sea, long, dog] = await client.embedTexts(["a stormy sea", "sea ".repeat(100), "a dog"]);

  assert.deepEqual([sea.truncated, long.truncated, dog.truncated], [false, true, false]);
  assert.ok(cosine(sea, await client.embedText("a stormy sea")) > 0.99999);
  assert.ok(cosine(sea, dog) < 0.999);
});

test("an image is the same in every form", async () => {
  const base64 = painting.toString("base64");
  const uri = `data:image/jpeg;base64,${base64}`;
  const forms = [{ base64 }, uri, { base64: uri }, painting];

  const bytes = await client.embedImage(new Blob([painting], { type: "image/jpeg" }));
  const single = await Promise.all(forms.map((form) => client.embedImage(form)));
  const listed = await client.embedImages(forms);

  for (const each of [...single, ...listed]) {
    assert.deepEqual([each.sha256, each.width, each.height], [bytes.sha256, 90, 60]);
    assert.ok(cosine(each, bytes) > 0.99999);
  }
});

test("an image comes from behind a URL", async () => {
  const { width, height } = await client.embedImage(imageUrl);

  assert.deepEqual([width, height], [90, 60]);
});

test("images that fail leave the others at their places", async () => {
  const list = [`${imageUrl}.gone`, painting, Buffer.from("no picture"), imageUrl, { base64: "!" }, "no URL at all"];

  const results = await client.embedImages(list);

  assert.deepEqual(
    results.map((result) => (isFailure(result) ? [result.index, result.code, result.retryable] : result.width)),
    [
      [0, "image_not_found", false],
      90,
      [2, "not_an_image", false],
      90,
      [4, "invalid_request", false],
      [5, "invalid_request", false],
    ],
  );
  assert.equal(results[0].url, `${imageUrl}.gone`);
});

test("more texts than a request takes are embedded all the same", async () => {
  const few = ["a stormy sea", "a dog", "a red house"];

  const results = await client.embedTexts(Array.from({ length: 300 }, (_, place) => few[place % 3]));

  assert.equal(results.length, 300);
  assert.ok(cosine(results[299], results[2]) > 0.99999);
});

test("a search finds what was put in, by words, by a picture and by both", async () => {
  const { vector, space } = await client.embedImage(painting);
  const items = [{ id: "photos/1", embedding: vector, space, metadata: { year: 1842 } }];
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  await fetch(`${url}/ingest`, { method: "POST", headers, body: JSON.stringify({ items }) });
  const filter = { year: { gte: 1842, lte: 1842 } };

  const byWords = await client.search("a stormy sea", { k: 3, filter });
  const byPicture = await client.search({ image: painting }, { minScore: 0.99, filter });
  const byBoth = await client.search([{ embedding: vector }, { text: "a dog", weight: -0.1 }], { filter });

  for (const { results } of [byWords, byPicture, byBoth]) {
    assert.deepEqual(results.map(({ id, metadata }) => [id, metadata.year]), [["photos/1", 1842]]);
  }
  assert.equal(byWords.space, space);
});

test("a wrong token is an AuthenticationError with the request's id", async () => {
  const error = await rejected(new EmbeddingsClient({ url, token: "wrong" }).embedText("a dog"));

  assert.ok(error instanceof AuthenticationError);
  assert.deepEqual([error.status, error.code, error.retryable], [401, "unauthorized", false]);
  assert.match(error.requestId, /./);
});

test("what is no picture is a ServiceError", async () => {
  const error = await rejected(client.embedImage(Buffer.from("no picture at all")));

  assert.ok(error instanceof ServiceError);
  assert.deepEqual([error.status, error.code], [422, "not_an_image"]);
});

test("a service of another space than the stored vectors is refused", async () => {
  const stranger = new EmbeddingsClient({ url, token, space: "0123456789abcdef" });

  assert.ok((await rejected(stranger.embedText("a dog"))) instanceof SpaceChanged);
});

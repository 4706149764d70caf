// The Vercel AI SDK with its OpenAI provider, given another base URL.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, cosineSimilarity, embed, embedMany } from "ai";
import { assertSame, assertUnit, model, picture, service, token } from "./service.mjs";

const provider = createOpenAI({ baseURL: `${service}/v1`, apiKey: token });
const embedder = provider.embeddingModel(model);

test("embed gives a unit vector", async () => {
  const { embedding, usage } = await embed({ model: embedder, value: "a stormy sea" });

  assertUnit(embedding);
  assert.equal(usage.tokens, 5);
});

test("textEmbeddingModel, the provider's older name for it, gives the same", async () => {
  const { embedding } = await embed({ model: embedder, value: "a stormy sea" });
  const older = await embed({ model: provider.textEmbeddingModel(model), value: "a stormy sea" });

  assertSame(older.embedding, embedding);
});

test("embedMany keeps the order", async () => {
  const { embeddings } = await embedMany({ model: embedder, values: ["a stormy sea", "a dog"] });

  const { embedding } = await embed({ model: embedder, value: "a dog" });
  assert.ok(cosineSimilarity(embeddings[1], embedding) > 0.99999);
  assert.ok(cosineSimilarity(embeddings[0], embedding) < 0.999);
});

test("embedMany takes more values than one request does", async () => {
  const few = ["a stormy sea", "a dog", "a red house"];
  const values = Array.from({ length: 2049 }, (_, place) => few[place % few.length]);

  const { embeddings, responses } = await embedMany({ model: embedder, values });

  assert.equal(responses.length, 2);
  assert.equal(embeddings.length, values.length);
  assertSame(embeddings[2048], embeddings[2048 % few.length]);
});

test("dimensions cuts vectors, which are of length 1 again", async () => {
  const { embedding } = await embed({
    model: embedder,
    value: "a stormy sea",
    providerOptions: { openai: { dimensions: 64 } },
  });

  assertUnit(embedding, 64);
});

test("a picture comes as a data: URI", async () => {
  const uri = `data:image/png;base64,${(await picture()).toString("base64")}`;

  const { embeddings } = await embedMany({ model: embedder, values: [uri, "a stormy sea"] });

  embeddings.forEach((embedding) => assertUnit(embedding));
  assert.ok(cosineSimilarity(...embeddings) < 0.999);
});

const stranger = createOpenAI({ baseURL: `${service}/v1`, apiKey: "wrong" });
const refused = [
  ["a wrong token", stranger.embeddingModel(model), 401, /valid bearer token/],
  ["another model", provider.embeddingModel("other"), 404, /not served here/],
];
for (const [name, wrong, status, message] of refused) {
  test(`${name} is an APICallError with our message, and not tried again`, async () => {
    await assert.rejects(embed({ model: wrong, value: "a" }), (error) => {
      assert.ok(APICallError.isInstance(error), error.constructor.name);
      assert.equal(error.statusCode, status);
      assert.equal(error.isRetryable, false);
      assert.match(error.message, message);
      return true;
    });
  });
}

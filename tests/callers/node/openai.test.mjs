// The `openai` package, as its users call OpenAI. It finds OPENAI_BASE_URL and OPENAI_API_KEY in the environment.

import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { assertSame, assertUnit, imageUrl, model, picture } from "./service.mjs";

const client = new OpenAI();

async function vectors(input, more = {}) {
  const { data } = await client.embeddings.create({ model, input, ...more });
  return data.map((item) => item.embedding);
}

test("base64, which the package asks for by itself, and float give the same unit vector", async () => {
  const [packed] = await vectors("a stormy sea");
  const [plain] = await vectors("a stormy sea", { encoding_format: "float" });

  assertUnit(packed);
  assert.deepEqual(packed, plain.map(Math.fround));
});

test("dimensions cuts vectors, which are of length 1 again", async () => {
  const [whole] = await vectors("a stormy sea");
  const [cut] = await vectors("a stormy sea", { dimensions: 128 });

  assertUnit(cut, 128);
  const length = Math.hypot(...whole.slice(0, 128));
  assertSame(cut, whole.slice(0, 128).map((number) => number / length));
});

test("a list is answered in its order", async () => {
  const texts = ["a stormy sea", "a dog", "a red house", "a dog"];
  const { data } = await client.embeddings.create({ model, input: texts });

  assert.deepEqual(data.map((item) => item.index), [0, 1, 2, 3]);
  for (const [place, text] of texts.entries()) {
    assertSame(data[place].embedding, (await vectors(text))[0]);
  }
});

test("pictures may be among texts, in each of their forms", async () => {
  const base64 = (await picture()).toString("base64");
  const [inUri, text, inObject, behindUrl] = await vectors([
    `data:image/png;base64,${base64}`,
    "a stormy sea",
    { image: base64 },
    { url: imageUrl },
  ]);

  assertUnit(inUri);
  assertSame(inUri, inObject);
  assertSame(inUri, behindUrl);
  assertSame(text, (await vectors("a stormy sea"))[0]);
});

test("usage counts the tokens that were read", async () => {
  const { usage } = await client.embeddings.create({ model, input: "a stormy sea" });

  assert.deepEqual(usage, { prompt_tokens: 5, total_tokens: 5 });
});

test("the list of models has the one that is served", async () => {
  const names = [];
  for await (const served of client.models.list()) {
    names.push(served.id);
  }

  assert.deepEqual(names, [model]);
});

test("a wrong token is an AuthenticationError", async () => {
  const stranger = new OpenAI({ apiKey: "wrong" });

  await assert.rejects(stranger.models.list(), (error) => {
    assert.ok(error instanceof OpenAI.AuthenticationError);
    assert.equal(error.code, "unauthorized");
    assert.match(error.requestID, /./);
    return true;
  });
});

const { BadRequestError, NotFoundError, UnprocessableEntityError } = OpenAI;
const refused = [
  ["another model", { model: "other" }, NotFoundError, "model_not_found", "model"],
  ["a blank text", { input: " " }, BadRequestError, "invalid_request", "input"],
  ["an empty list", { input: [] }, BadRequestError, "invalid_request", "input"],
  ["too many dimensions", { dimensions: 513 }, BadRequestError, "invalid_request", "dimensions"],
  ["bad base64", { input: ["a", { image: "!" }] }, BadRequestError, "invalid_request", "input[1]"],
  ["what is no picture", { input: ["a", { image: "AAAA" }] }, UnprocessableEntityError, "not_an_image", "input[1]"],
];
for (const [what, wrong, kind, code, param] of refused) {
  test(`${what} is answered by ${kind.name}, which says what is at fault`, async () => {
    await assert.rejects(client.embeddings.create({ model, input: "a", ...wrong }), (error) => {
      assert.ok(error instanceof kind, error.constructor.name);
      assert.deepEqual([error.code, error.param, error.type], [code, param, "invalid_request_error"]);
      return true;
    });
  });
}

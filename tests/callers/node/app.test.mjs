// The Node app with its customers' photos: `fetch` and JSON, `axios` and forms, and its own check of each answer.

import assert from "node:assert/strict";
import { test } from "node:test";
import axios from "axios";
import FormData from "form-data";
import { assertSame, assertUnit, imageUrl, picture, service, token } from "./service.mjs";

const authorized = { Authorization: `Bearer ${token}` };

function post(route, body, headers = authorized) {
  return fetch(service + route, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

async function vector(route, body) {
  return checked(await (await post(route, body)).json());
}

function checked({ dimensions, embedding }) {
  assert.ok(dimensions === 512);
  assertUnit(embedding);
  return embedding;
}

function upload(route, ...files) {
  const form = new FormData();
  for (const [field, content, filename] of files) {
    form.append(field, content, { filename });
  }
  return axios.post(service + route, form, { headers: { ...authorized, ...form.getHeaders() } });
}

test("fetch: a text", async () => {
  await vector("/embed/text", { text: "a stormy sea" });
});

test("fetch: a picture in base64, as a data: URI and behind a URL is the same picture", async () => {
  const base64 = (await picture()).toString("base64");

  const sent = await vector("/embed/image", { image: base64 });
  assertSame(sent, await vector("/embed/image", { image: `data:image/png;base64,${base64}` }));
  assertSame(sent, await vector("/embed/image", { image: imageUrl }));
});

const refused = [
  ["no token", "/embed/text", { text: "a" }, {}, 401, "unauthorized"],
  ["a blank text", "/embed/text", { text: " " }, authorized, 400, "invalid_request"],
  ["bad base64", "/embed/image", { image: "not base64!" }, authorized, 400, "invalid_request"],
  ["what is no picture", "/embed/image", { image: "AAAA" }, authorized, 422, "not_an_image"],
];
for (const [name, route, body, headers, status, code] of refused) {
  test(`fetch: ${name} is refused by a code`, async () => {
    const answer = await post(route, body, headers);

    assert.equal(answer.status, status);
    const problem = await answer.json();
    assert.deepEqual([problem.code, typeof problem.detail], [code, "string"]);
  });
}

test("axios: one uploaded file", async () => {
  const photo = await picture();

  const { data } = await upload("/embed-image", ["file", photo, "photo.png"]);

  assertSame(checked(data), await vector("/embed/image", { image: photo.toString("base64") }));
});

test("axios: several uploaded files, one of which is no picture", async () => {
  const photo = await picture();

  const { data } = await upload(
    "/embed/image",
    ["files", photo, "one.png"],
    ["files", "no picture at all", "two.png"],
    ["files", photo, "three.png"],
  );

  assert.equal(data.dimensions, 512);
  assert.deepEqual(data.indices, [0, 2]);
  assert.deepEqual(data.failed.map(({ index, code }) => [index, code]), [[1, "not_an_image"]]);
  assertSame(...data.embeddings);
});

test("axios: a refused form is an AxiosError with our code", async () => {
  await assert.rejects(upload("/embed-image", ["file", "no picture at all", "photo.png"]), (error) => {
    assert.ok(axios.isAxiosError(error));
    assert.deepEqual([error.response.status, error.response.data.code], [422, "not_an_image"]);
    return true;
  });
});

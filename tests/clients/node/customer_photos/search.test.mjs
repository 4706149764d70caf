// Photos go in, and are found.

import assert from "node:assert/strict";
import { test } from "node:test";
import { configOf } from "./src/config.ts";
import { Times } from "./src/metrics.ts";
import { makeServer } from "./src/server.ts";
import { environment, listening, photoApp, photos } from "./photos.mjs";

async function filled(t) {
  const app = await photoApp(t);
  app.ids = [];
  for (const { photo } of photos) {
    app.ids.push(await app.upload(photo));
  }
  await app.work();
  return app;
}

test("photos are found by their words, the best first and none below the floor", async (t) => {
  const app = await filled(t);

  let first = 0;
  for (const [place, { caption }] of photos.entries()) {
    const { status, results } = await app.byText(caption, "&limit=3");
    assert.equal(status, 200);
    assert.ok(results.length <= 3);
    assert.ok(results.every(({ similarity }) => similarity >= app.config.textFloor));
    assert.deepEqual(results, results.toSorted((one, other) => other.similarity - one.similarity));
    first += results[0]?.imageId === app.ids[place] ? 1 : 0;
  }
  assert.ok(first >= photos.length * 0.7, `${first} of ${photos.length}`);
});

test("a photo finds itself first, and others only from 0.7 on", async (t) => {
  const app = await filled(t);

  const { results } = await app.byImage(photos[0].photo);

  assert.equal(results[0].imageId, app.ids[0]);
  assert.ok(results[0].similarity > 0.999);
  assert.ok(results.every(({ similarity }) => similarity >= 0.7));
});

test("a floor that nothing reaches leaves nothing", async (t) => {
  const app = await (await filled(t)).with({ textFloor: 0.99 });

  assert.deepEqual((await app.byText(photos[0].caption)).results, []);
});

test("projects don't see each other's photos", async (t) => {
  const app = await photoApp(t);
  await app.upload(photos[0].photo, "one");
  const other = await app.upload(photos[1].photo, "other");
  await app.work();

  const { results } = await app.byImage(photos[1].photo, "project=other");

  assert.deepEqual(results.map(({ imageId }) => imageId), [other]);
  assert.deepEqual((await app.byImage(photos[1].photo, "project=one")).results, []);
});

test("a search before the first photo finds nothing", async (t) => {
  const app = await photoApp(t);

  assert.deepEqual(await app.byText("a dog").then(({ status, results }) => [status, results]), [200, []]);
});

const refused = [
  ["no words", "GET", "/api/search/images", undefined, 400, "invalid_request"],
  ["blank words", "GET", "/api/search/images?q=%20", undefined, 400, "invalid_request"],
  ["a limit of 0", "GET", "/api/search/images?q=a&limit=0", undefined, 400, "invalid_request"],
  ["a limit above 100", "GET", "/api/search/images?q=a&limit=101", undefined, 400, "invalid_request"],
  ["a limit that is no number", "GET", "/api/search/images?q=a&limit=x", undefined, 400, "invalid_request"],
  ["a strange project", "GET", "/api/search/images?q=a&project=..%2Fa", undefined, 400, "invalid_request"],
  ["no photo", "POST", "/api/search/images", undefined, 400, "invalid_request"],
  ["what is no photo", "POST", "/api/search/images", "no photo at all", 422, "not_an_image"],
  ["no upload", "POST", "/api/images", undefined, 400, "invalid_request"],
  ["a photo that is too large", "POST", "/api/images", new Uint8Array(20 * 2 ** 20 + 1), 413, "too_large"],
  ["another path", "GET", "/api/search", undefined, 404, "not_found"],
];
test("what can't be answered is refused by a code", async (t) => {
  const app = await photoApp(t);
  for (const [what, method, path, body, status, code] of refused) {
    await t.test(what, async () => {
      const answer = await app.ask(path, { method, body });

      assert.deepEqual([answer.status, answer.code], [status, code]);
    });
  }
});

test("metrics tell the median and the 95th percentile of searches", async (t) => {
  const app = await photoApp(t);
  await app.byText("a dog");
  await app.byText("a cat");
  await app.byImage(photos[0].photo);

  const { text_search: byText, image_search: byImage } = await app.ask("/api/metrics");

  assert.deepEqual([byText.count, byImage.count], [2, 1]);
  assert.ok(0 < byText.p50_ms && byText.p50_ms <= byText.p95_ms);
});

test("the last thousand times count", async (t) => {
  const times = new Times();
  let now = 0;
  t.mock.method(performance, "now", () => now);
  for (let call = 0; call < 1100; call++) {
    await times.measured("search", async () => (now += call < 1000 ? 100 : call - 999));
  }

  const { search } = times.summary();

  assert.deepEqual(search, { count: 1100, p50_ms: 100, p95_ms: 100 });
  for (let call = 1; call <= 1000; call++) {
    await times.measured("search", async () => (now += call));
  }
  assert.deepEqual(times.summary().search, { count: 2100, p50_ms: 500, p95_ms: 950 });
});

test("while the feature is off nobody is asked", async (t) => {
  const nobody = new Proxy({}, { get: () => assert.fail("asked") });
  const url = await listening(t, makeServer(configOf({}), nobody, nobody));

  for (const [method, path] of [["GET", "/api/search/images?q=a"], ["POST", "/api/images"], ["GET", "/api/metrics"]]) {
    const answer = await fetch(url + path, { method });

    assert.deepEqual([answer.status, (await answer.json()).code], [404, "disabled"]);
  }
});

const wrong = [
  ["the service's address", { CLIP_SERVICE_URL: "" }, /needs CLIP_SERVICE_URL/],
  ["the database", { DATABASE_URL: "" }, /needs DATABASE_URL/],
  ["another backend", { VECTOR_BACKEND: "faiss" }, /must be pgvector/],
  ["a floor that is no number", { TEXT_SIMILARITY_FLOOR: "low" }, /TEXT_SIMILARITY_FLOOR must be a number/],
];
for (const [what, changes, message] of wrong) {
  test(`a wrong setting is said at once: ${what}`, () => {
    assert.throws(() => configOf(environment(changes)), message);
  });
}

test("the vectors have an index", async (t) => {
  const app = await photoApp(t);

  const indexes = await app.rows("SELECT indexdef FROM pg_indexes WHERE tablename = 'image_embeddings'");

  assert.ok(indexes.some(({ indexdef }) => /USING hnsw \(embedding vector_cosine_ops\)/.test(indexdef)));
});

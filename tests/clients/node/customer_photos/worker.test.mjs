// The worker: whatever happens, no photo is lost, none is there twice, and each says why it isn't found.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { test } from "node:test";
import { migrate } from "./src/migrate.ts";
import { reembed } from "./src/reembed.ts";
import { embedNext } from "./src/worker.ts";
import { environment, listening, photoApp, photos } from "./photos.mjs";

const { OTHER_CLIP_SERVICE_URL } = process.env;
const NOBODY = "http://127.0.0.1:65535";

const STORED = "SELECT image_id, checksum, project, space FROM image_embeddings ORDER BY id";

/** What went wrong is logged; here it was meant to. */
function quiet(t) {
  t.mock.method(console, "error", () => {});
  t.mock.method(Math, "random", () => 0); // nobody waits between tries
}

/** The worker in a process of its own. */
function startWorker(t, env) {
  const worker = spawn(process.execPath, ["src/worker.ts"], { env, stdio: ["ignore", "ignore", "inherit"] });
  t.after(() => worker.kill("SIGKILL"));
  return worker;
}

/** A service that takes requests and never answers; `asked` is settled by the first. */
async function silent(t) {
  const { promise: asked, resolve } = Promise.withResolvers();
  return { asked, url: await listening(t, createServer(resolve)) };
}

/** What becomes of the uploads, once PostgreSQL has noticed that a worker is gone. */
async function workOnceReleased(app) {
  let outcomes = [];
  while (outcomes.length === 0) {
    outcomes = await app.work();
  }
  return outcomes;
}

test("the same bytes are embedded once in a project", async (t) => {
  const app = await photoApp(t);
  const [first, second] = [await app.upload(photos[0].photo), await app.upload(photos[0].photo)];
  const elsewhere = await app.upload(photos[0].photo, "other");

  assert.deepEqual(await app.work(), [
    { imageId: first, state: "embedded" },
    { imageId: second, state: "duplicate", duplicateOf: first },
    { imageId: elsewhere, state: "embedded" },
  ]);
  assert.deepEqual((await app.rows(STORED)).map(({ image_id }) => image_id), [first, elsewhere]);
});

test("a corrupt upload fails alone, and says why", async (t) => {
  const app = await photoApp(t);
  await app.upload(photos[0].photo);
  await app.upload(photos[1].photo.subarray(0, 300));
  await app.upload("no photo at all");
  await app.upload(photos[2].photo);

  const outcomes = await app.work();

  assert.deepEqual(outcomes.map(({ state }) => state), ["embedded", "failed", "failed", "embedded"]);
  assert.match(outcomes[1].error, /^422 image_corrupt/);
  assert.match(outcomes[2].error, /^422 not_an_image/);
  assert.deepEqual(await app.work(), []);
});

test("a photo that has gone from the storage fails", async (t) => {
  const app = await photoApp(t);
  await app.upload(photos[0].photo);
  await rm(app.config.uploadsFolder, { recursive: true });

  const [outcome] = await app.work();

  assert.deepEqual([outcome.state, outcome.error], ["failed", "the photo is no longer in the storage"]);
});

test("a storage that fails puts an upload off, and doesn't hold up the others", async (t) => {
  const app = await photoApp(t);
  await app.upload(photos[0].photo);
  await app.upload(photos[1].photo);
  const { storage } = app;
  let reads = 0;
  app.storage = { read: (key) => (reads++ ? storage.read(key) : Promise.reject(new Error("a disk that is on fire"))) };

  assert.deepEqual((await app.work()).map(({ state }) => state), ["queued", "embedded"]);
  await app.later();
  assert.deepEqual((await app.work()).map(({ state }) => state), ["embedded"]);
});

test("while the service is down uploads stay queued, ever longer, and are embedded when it is back", async (t) => {
  quiet(t);
  const app = await photoApp(t);
  const down = await app.with({ clipServiceUrl: NOBODY });
  const imageId = await down.upload(photos[0].photo);
  for (const seconds of [1, 2, 4]) {
    const before = Date.now();
    const outcome = await embedNext(down.config, down.pool, down.storage);
    const after = Date.now();
    assert.deepEqual([outcome.imageId, outcome.state], [imageId, "queued"]);
    assert.match(outcome.error, /^connection_failed/);
    const [{ next_try_at }] = await app.rows("SELECT next_try_at FROM image_uploads");
    const at = next_try_at.getTime() - seconds * 1000;
    assert.ok(before - 1 <= at && at <= after + 1, `${at - before} ms`);
    await app.later();
  }

  assert.deepEqual(await app.work(), [{ imageId, state: "embedded" }]);
});

test("while the service is down searches say so", async (t) => {
  quiet(t);
  const down = await (await photoApp(t)).with({ clipServiceUrl: NOBODY });

  const { status, code, headers } = await down.byText("a dog");

  assert.deepEqual([status, code, headers.get("Retry-After")], [503, "unavailable", "5"]);
});

test("a wrong token loses nothing, and isn't shown", async (t) => {
  quiet(t);
  const app = await photoApp(t);
  const stranger = await app.with({ clipServiceToken: "a-wrong-token" });
  const imageId = await stranger.upload(photos[0].photo);

  const [outcome] = await stranger.work();
  const search = await stranger.byText("a dog");

  assert.match(outcome.error, /^401 unauthorized/);
  assert.deepEqual([outcome.state, search.status, search.code], ["queued", 503, "misconfigured"]);
  assert.ok(!JSON.stringify([outcome, search, console.error.mock.calls]).includes("a-wrong-token"));
  await app.later();
  assert.deepEqual(await app.work(), [{ imageId, state: "embedded" }]);
});

test("a service of another space is refused until everything is embedded anew", async (t) => {
  quiet(t);
  const app = await photoApp(t);
  const ids = [await app.upload(photos[0].photo), await app.upload(photos[1].photo)];
  await app.work();
  const [{ space }] = await app.rows(STORED);
  const redeployed = await app.with({ clipServiceUrl: OTHER_CLIP_SERVICE_URL });
  ids.push(await redeployed.upload(photos[2].photo));

  const [waiting] = await redeployed.work();
  assert.deepEqual([waiting.state, waiting.error.split(":")[0]], ["queued", "space_changed"]);
  const { status, code } = await redeployed.byText(photos[0].caption);
  assert.deepEqual([status, code], [503, "reembedding_needed"]);
  assert.deepEqual((await app.rows(STORED)).map((row) => row.space), [space, space]);

  assert.equal(await reembed(redeployed.config, app.pool, app.storage), 0);

  assert.deepEqual(await redeployed.work(), [{ imageId: ids[2], state: "embedded" }]);
  const stored = await app.rows(STORED);
  assert.deepEqual(stored.map(({ image_id }) => image_id).sort(), ids.sort());
  assert.equal(new Set(stored.map((row) => row.space)).size, 1);
  assert.notEqual(stored[0].space, space);
  assert.equal((await redeployed.byImage(photos[0].photo)).results.length > 0, true);
  assert.equal((await app.byText(photos[0].caption)).code, "reembedding_needed");
});

test("embedding anew that breaks off changes nothing, and goes on when it is started again", async (t) => {
  quiet(t);
  const app = await photoApp(t);
  for (const { photo } of photos.slice(0, 3)) {
    await app.upload(photo);
  }
  await app.work();
  const before = await app.rows(STORED);
  const redeployed = { ...app.config, clipServiceUrl: OTHER_CLIP_SERVICE_URL };
  const broken = { read: () => Promise.reject(new Error("a disk that is on fire")) };

  await assert.rejects(reembed(redeployed, app.pool, broken), /on fire/);
  await assert.rejects(reembed({ ...redeployed, clipServiceUrl: NOBODY }, app.pool, app.storage), /connection_failed/);
  assert.deepEqual(await app.rows(STORED), before);
  assert.equal((await app.byImage(photos[0].photo)).status, 200);

  await reembed(redeployed, app.pool, app.storage);
  assert.equal((await app.rows(STORED)).length, 3);
});

test("a photo that can't be embedded anew is told, and leaves the others", async (t) => {
  quiet(t);
  const app = await photoApp(t);
  await app.upload(photos[0].photo);
  const kept = await app.upload(photos[1].photo);
  await app.work();
  const [{ storage_key }] = await app.rows("SELECT storage_key FROM image_uploads ORDER BY id");
  await rm(`${app.config.uploadsFolder}/${storage_key}`);

  const lost = await reembed({ ...app.config, clipServiceUrl: OTHER_CLIP_SERVICE_URL }, app.pool, app.storage);

  assert.equal(lost, 1);
  assert.deepEqual((await app.rows(STORED)).map(({ image_id }) => image_id), [kept]);
  assert.deepEqual(await app.states(), ["failed", "embedded"]);
});

test("embedding anew changes nothing where the space is the same", async (t) => {
  const app = await photoApp(t);
  await app.upload(photos[0].photo);
  await app.work();
  const before = await app.rows(STORED);

  assert.equal(await reembed(app.config, app.pool, app.storage), 0);

  assert.deepEqual(await app.rows(STORED), before);
});

test("a worker that is killed while it embeds leaves its upload to the next", async (t) => {
  const app = await photoApp(t);
  const imageId = await app.upload(photos[0].photo);
  const { asked, url } = await silent(t);

  const worker = startWorker(t, { ...app.environment, CLIP_SERVICE_URL: url });
  await asked;
  assert.deepEqual(await app.work(), []); // nobody else takes it meanwhile
  worker.kill("SIGKILL");
  await once(worker, "exit");

  assert.deepEqual(await workOnceReleased(app), [{ imageId, state: "embedded" }]);
  assert.equal((await app.rows(STORED)).length, 1);
});

test("a database that breaks off while a photo is embedded leaves it to the next worker", async (t) => {
  quiet(t);
  const app = await photoApp(t);
  const imageId = await app.upload(photos[0].photo);
  const { asked, url } = await silent(t);
  const controller = new AbortController();
  const call = embedNext({ ...app.config, clipServiceUrl: url }, app.pool, app.storage, controller.signal);
  await asked;

  await app.pool.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid()`,
  );
  controller.abort();

  await assert.rejects(call);
  assert.deepEqual(await workOnceReleased(app), [{ imageId, state: "embedded" }]);
});

test("workers that are killed after every photo or two lose nothing and store nothing twice", async (t) => {
  const app = await photoApp(t);
  for (const { photo } of photos) {
    await app.upload(photo);
  }

  const waiting = async () => (await app.states()).filter((state) => state === "queued").length;
  for (let left = await waiting(); left > 0; ) {
    const worker = startWorker(t, app.environment);
    const before = left;
    while (left === before) {
      left = await waiting();
    }
    worker.kill("SIGKILL"); // somewhere in its next photo
    await once(worker, "exit");
    left = await waiting();
  }

  const stored = await app.rows(STORED);
  assert.equal(stored.length, photos.length);
  assert.equal(new Set(stored.map(({ image_id }) => image_id)).size, photos.length);
});

test("a worker that is told to end does so, and its upload is still queued", async (t) => {
  const app = await photoApp(t);
  await app.upload(photos[0].photo);
  const { asked, url } = await silent(t);
  const worker = startWorker(t, { ...app.environment, CLIP_SERVICE_URL: url });
  await asked;

  worker.kill("SIGTERM");

  assert.deepEqual(await once(worker, "exit"), [0, null]);
  assert.deepEqual(await app.states(), ["queued"]);
});

test("several workers at once embed each photo once", async (t) => {
  const app = await photoApp(t);
  for (const { photo } of [...photos, photos[0], photos[0]]) {
    await app.upload(photo);
  }

  const outcomes = (await Promise.all([app.work(), app.work(), app.work()])).flat();

  assert.equal(outcomes.filter(({ state }) => state === "embedded").length, photos.length);
  assert.equal(outcomes.filter(({ state }) => state === "duplicate").length, 2);
  assert.equal((await app.rows(STORED)).length, photos.length);
});

test("a worker ends at once while the feature is off", async (t) => {
  const worker = startWorker(t, environment({ FEATURE_IMAGE_SEARCH: "", DATABASE_URL: "nonsense" }));

  assert.deepEqual(await once(worker, "exit"), [0, null]);
});

test("a defect of the service is tried five times", async (t) => {
  quiet(t);
  const app = await photoApp(t);
  const server = createServer((request, response) => {
    response.writeHead(500).end('{"detail": "A defect.", "code": "internal"}');
  });
  const config = { ...app.config, clipServiceUrl: await listening(t, server) };
  await app.upload(photos[0].photo);

  const states = [];
  for (let tries = 0; tries < 5; tries++) {
    await app.later();
    states.push((await embedNext(config, app.pool, app.storage)).state);
  }

  assert.deepEqual(states, ["queued", "queued", "queued", "queued", "failed"]);
});

test("migrations run once", async (t) => {
  const app = await photoApp(t);

  await migrate(app.pool);

  assert.equal((await app.rows("SELECT FROM schema_migrations")).length, 1);
});

test("the storage is a folder that nothing leads out of, with whole photos alone", async (t) => {
  const { storage, config } = await photoApp(t);
  await storage.write("a/b", Uint8Array.of(1, 2));

  assert.deepEqual([...(await storage.read("a/b"))], [1, 2]);
  assert.equal(await storage.read("a/c"), undefined);
  await assert.rejects(storage.read("../a"), /leads out/);
  assert.deepEqual(await readdir(`${config.uploadsFolder}/a`), ["b"]);
});

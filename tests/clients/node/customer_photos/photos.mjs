// What the tests share: the example with a database of its own, and photos of which the words are known.

import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { configOf } from "./src/config.ts";
import { openPool } from "./src/database.ts";
import { migrate } from "./src/migrate.ts";
import { makeServer } from "./src/server.ts";
import { FolderStorage } from "./src/storage.ts";
import { embedNext } from "./src/worker.ts";

const { DATABASE_URL, PHOTOS } = process.env;

/** Photos, and the words that describe each. */
export const photos = await Promise.all(
  JSON.parse(await readFile(join(PHOTOS, "captions.json"), "utf8")).map(async (caption, place) => ({
    caption,
    photo: await readFile(join(PHOTOS, `${place}.jpg`)),
  })),
);

/** The environment of the example, with what is different. */
export function environment(changes = {}) {
  return { ...process.env, FEATURE_IMAGE_SEARCH: "true", VECTOR_BACKEND: "pgvector", ...changes };
}

/** The address of a server that listens until the test ends. */
export async function listening(test, server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  test.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

/** The example at work, on a database and in a folder that nobody else has. */
export async function photoApp(test) {
  const name = `photos_${randomUUID().replaceAll("-", "")}`;
  const administrator = openPool(configOf(environment()));
  await administrator.query(`CREATE DATABASE ${name}`);
  await administrator.end();
  const environmentOfIt = {
    DATABASE_URL: DATABASE_URL.replace("/postgres?", `/${name}?`),
    UPLOADS_FOLDER: await mkdtemp(join(tmpdir(), "uploads-")),
  };
  const config = configOf(environment(environmentOfIt));
  const pool = openPool(config);
  test.after(async () => {
    await pool.end();
    await rm(config.uploadsFolder, { recursive: true, force: true });
  });
  test.mock.method(console, "log", () => {});
  await migrate(pool);
  const app = new PhotoApp(test, pool, config);
  app.environment = environment(environmentOfIt);
  await app.listen();
  return app;
}

class PhotoApp {
  constructor(test, pool, config) {
    this.test = test;
    this.pool = pool;
    this.config = config;
    this.storage = new FolderStorage(config.uploadsFolder);
  }

  /** The same, but for some settings: after a redeploy, say. */
  async with(changes) {
    const other = new PhotoApp(this.test, this.pool, { ...this.config, ...changes });
    await other.listen();
    return other;
  }

  async listen() {
    this.url = await listening(this.test, makeServer(this.config, this.pool, this.storage));
  }

  async ask(path, init) {
    const answer = await fetch(this.url + path, init);
    return { status: answer.status, headers: answer.headers, ...(await answer.json()) };
  }

  async upload(photo, project = "default") {
    return (await this.ask(`/api/images?project=${project}`, { method: "POST", body: photo })).imageId;
  }

  async byText(q, more = "") {
    return await this.ask(`/api/search/images?q=${encodeURIComponent(q)}${more}`);
  }

  async byImage(photo, more = "") {
    return await this.ask(`/api/search/images?${more}`, { method: "POST", body: photo });
  }

  /** Embed all that is due; gives what became of each. */
  async work() {
    const outcomes = [];
    for (let outcome; (outcome = await embedNext(this.config, this.pool, this.storage)); ) {
      outcomes.push(outcome);
    }
    return outcomes;
  }

  /** What was put off is due now. */
  async later() {
    await this.pool.query("UPDATE image_uploads SET next_try_at = now() WHERE state = 'queued'");
  }

  async rows(sql) {
    return (await this.pool.query(sql)).rows;
  }

  async states() {
    return (await this.rows("SELECT state FROM image_uploads ORDER BY id")).map(({ state }) => state);
  }
}

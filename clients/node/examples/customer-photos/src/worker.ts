/** Embeds what is queued, one photo at a time; start as many workers as you like. */

import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { EmbeddingsError, SpaceChanged } from "tate-embeddings-client";
import { type Config, configOf } from "./config.ts";
import { inTransaction, openPool, storedSpace } from "./database.ts";
import { clientFor, generateImageEmbedding, inSql } from "./embeddings.ts";
import { FolderStorage, type Storage } from "./storage.ts";

/** What became of an upload. `queued`: not yet, and why not; `duplicate`: the project has these bytes already. */
export interface Outcome {
  imageId: string;
  state: "embedded" | "duplicate" | "failed" | "queued";
  error?: string;
  duplicateOf?: string;
}

interface Upload {
  id: string;
  project: string;
  image_id: string;
  storage_key: string;
  tries: number;
}

// The statuses that are the photo's fault, however often it is sent.
const HOPELESS: ReadonlySet<number | undefined> = new Set([400, 413, 415, 422]);
// A defect of the service, or too little time to decode, may be this photo's alone.
const TRIES_OF_ODD_PHOTOS = 5;
const PAUSE_MS = 1_000;

/**
 * Embed the upload that waits longest; undefined if none is due.
 *
 * Its row is locked until all is stored, in one transaction: no other worker takes it meanwhile, and if this one is
 * killed, PostgreSQL rolls back and the upload is simply still queued.
 */
export async function embedNext(
  config: Config,
  pool: pg.Pool,
  storage: Storage,
  signal?: AbortSignal,
): Promise<Outcome | undefined> {
  return await inTransaction(pool, async (database) => {
    const { rows } = await database.query<Upload>(
      `SELECT id, project, image_id, storage_key, tries FROM image_uploads
       WHERE state = 'queued' AND next_try_at <= now() ORDER BY next_try_at, id LIMIT 1 FOR UPDATE SKIP LOCKED`,
    );
    const [upload] = rows;
    if (upload === undefined) {
      return undefined;
    }
    let photo: Uint8Array | undefined;
    try {
      photo = await storage.read(upload.storage_key);
    } catch (error) {
      return await postponed(database, upload, `storage: ${(error as Error).message}`);
    }
    if (photo === undefined) {
      return await ended(database, upload, { state: "failed", error: "the photo is no longer in the storage" });
    }
    try {
      const imageId = await store(config, database, upload, photo, signal);
      return imageId === upload.image_id
        ? await ended(database, upload, { state: "embedded" })
        : await ended(database, upload, { state: "duplicate", duplicateOf: imageId });
    } catch (error) {
      if (!(error instanceof EmbeddingsError)) {
        throw error; // of the database, or the signal's: nothing has changed
      }
      return isHopeless(error, upload)
        ? await ended(database, upload, { state: "failed", error: error.message })
        : await postponed(database, upload, error.message);
    }
  });
}

/** See to it that a photo's vector is stored; gives the id under which the project has these bytes. */
async function store(
  config: Config,
  database: pg.PoolClient,
  upload: Upload,
  photo: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<string> {
  const checksum = createHash("sha256").update(photo).digest("hex");
  const holder = async (): Promise<string | undefined> => {
    const { rows } = await database.query<{ image_id: string }>(
      "SELECT image_id FROM image_embeddings WHERE project = $1 AND checksum = $2",
      [upload.project, checksum],
    );
    return rows[0]?.image_id;
  };
  const known = await holder();
  if (known !== undefined) {
    return known;
  }
  const client = clientFor(config, await storedSpace(database));
  const { vector, space } = await generateImageEmbedding(client, photo, { signal });
  // The first vector says which space it is. From here to our end nobody makes it another.
  await database.query("INSERT INTO image_embedding_space (space) VALUES ($1) ON CONFLICT DO NOTHING", [space]);
  const { rows } = await database.query<{ space: string }>("SELECT space FROM image_embedding_space FOR SHARE");
  if (rows[0]!.space !== space) {
    throw new SpaceChanged(rows[0]!.space, space);
  }
  await database.query(
    `INSERT INTO image_embeddings (image_id, embedding, checksum, project, space) VALUES ($1, $2::vector, $3, $4, $5)
     ON CONFLICT DO NOTHING`,
    [upload.image_id, inSql(vector), checksum, upload.project, space],
  );
  return (await holder())!; // another worker may have had the same bytes
}

async function ended(database: pg.PoolClient, upload: Upload, end: Omit<Outcome, "imageId">): Promise<Outcome> {
  await database.query("UPDATE image_uploads SET state = $2, error = $3, duplicate_of = $4 WHERE id = $1", [
    upload.id,
    end.state,
    end.error,
    end.duplicateOf,
  ]);
  return { imageId: upload.image_id, ...end };
}

/** Try it again later: after 1, 2, 4 … seconds, at most 5 minutes. */
async function postponed(database: pg.PoolClient, upload: Upload, error: string): Promise<Outcome> {
  await database.query(
    `UPDATE image_uploads
     SET tries = tries + 1, error = $2, next_try_at = now() + least(power(2, least(tries, 10)), 300) * interval '1 s'
     WHERE id = $1`,
    [upload.id, error],
  );
  return { imageId: upload.image_id, state: "queued", error };
}

function isHopeless(error: EmbeddingsError, upload: Upload): boolean {
  const odd = error.status === 500 || error.code === "decode_timeout";
  return HOPELESS.has(error.status) || (odd && upload.tries + 1 >= TRIES_OF_ODD_PHOTOS);
}

/** Embed whatever comes, until the signal. */
async function work(config: Config, pool: pg.Pool, storage: Storage, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      const outcome = await embedNext(config, pool, storage, signal);
      if (outcome === undefined) {
        await sleep(PAUSE_MS, undefined, { signal });
      } else {
        console.log(JSON.stringify(outcome));
      }
    } catch (error) {
      if (!signal.aborted) {
        console.error(error); // of the database or the storage
        await sleep(PAUSE_MS, undefined, { signal }).catch(() => {});
      }
    }
  }
}

if (import.meta.main) {
  const config = configOf(process.env);
  if (config.enabled) {
    const controller = new AbortController();
    process.once("SIGTERM", () => controller.abort()).once("SIGINT", () => controller.abort());
    const pool = openPool(config);
    await work(config, pool, new FolderStorage(config.uploadsFolder), controller.signal);
    await pool.end();
  } else {
    console.log("FEATURE_IMAGE_SEARCH is off.");
  }
}

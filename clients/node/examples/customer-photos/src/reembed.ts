/**
 * Embeds all photos anew, after the service's model has changed.
 *
 * The new vectors are put beside the old ones; when there is one for each photo, one transaction makes them the ones
 * that are searched, and takes the old ones out. It may be interrupted and started again anywhere.
 */

import type pg from "pg";
import { type Embedding, type EmbeddingsClient, isFailure } from "tate-embeddings-client";
import { type Config, configOf } from "./config.ts";
import { inTransaction, openPool } from "./database.ts";
import { clientFor, inSql } from "./embeddings.ts";
import { FolderStorage, type Storage } from "./storage.ts";

interface Row {
  id: string;
  image_id: string;
  checksum: string;
  project: string;
  storage_key: string | null;
}

const BATCH = 64;

/** Embed what is of another space than the service's; gives how many photos can't be embedded any more. */
export async function reembed(config: Config, pool: pg.Pool, storage: Storage): Promise<number> {
  const { space } = await clientFor(config).health();
  if (space === null) {
    throw new Error("The service isn't ready yet.");
  }
  const client = clientFor(config, space);
  let lost = 0;
  do {
    for (let rows = await outdated(pool, space); rows.length > 0; rows = await outdated(pool, space)) {
      lost += await embedRows(pool, storage, client, rows);
    }
  } while (!(await cutOver(pool, space)));
  return lost;
}

async function outdated(database: pg.Pool | pg.PoolClient, space: string): Promise<Row[]> {
  const { rows } = await database.query<Row>(
    `SELECT old.id, old.image_id, old.checksum, old.project, storage_key FROM image_embeddings old
     LEFT JOIN image_uploads USING (project, image_id)
     WHERE old.space <> $1 AND NOT EXISTS (
       SELECT FROM image_embeddings new
       WHERE (new.project, new.checksum, new.space) = (old.project, old.checksum, $1)
     ) ORDER BY old.id LIMIT ${BATCH}`,
    [space],
  );
  return rows;
}

async function embedRows(
  pool: pg.Pool,
  storage: Storage,
  client: EmbeddingsClient,
  rows: readonly Row[],
): Promise<number> {
  const photos = await Promise.all(rows.map((row) => (row.storage_key ? storage.read(row.storage_key) : undefined)));
  const results = (await client.embedImages(photos.filter((photo) => photo !== undefined))).values();
  let lost = 0;
  for (const [place, row] of rows.entries()) {
    const result = photos[place] && results.next().value;
    if (result && !isFailure(result)) {
      await put(pool, row, result);
    } else if (result?.retryable) {
      // Nothing is cut over: started again, it goes on here.
      throw new Error(`${row.image_id}: ${result.detail} Start again later.`);
    } else {
      await lose(pool, row, result?.detail ?? "the photo is no longer in the storage");
      lost += 1;
    }
  }
  return lost;
}

async function put(pool: pg.Pool, row: Row, { vector, space }: Embedding): Promise<void> {
  await pool.query(
    `INSERT INTO image_embeddings (image_id, embedding, checksum, project, space) VALUES ($1, $2::vector, $3, $4, $5)
     ON CONFLICT DO NOTHING`,
    [row.image_id, inSql(vector), row.checksum, row.project, space],
  );
}

/** A photo that can't be embedded any more is out of the search, and its upload says why. */
async function lose(pool: pg.Pool, row: Row, error: string): Promise<void> {
  await inTransaction(pool, async (database) => {
    await database.query("DELETE FROM image_embeddings WHERE id = $1", [row.id]);
    await database.query(
      "UPDATE image_uploads SET state = 'failed', error = $3 WHERE project = $1 AND image_id = $2",
      [row.project, row.image_id, error],
    );
  });
  console.error(`${row.image_id}: ${error}`);
}

/** Let the new vectors be the ones that are searched; false if some are still missing. */
async function cutOver(pool: pg.Pool, space: string): Promise<boolean> {
  return await inTransaction(pool, async (database) => {
    // Workers that are about to store a vector of the old space have finished once we have this.
    await database.query("SELECT FROM image_embedding_space FOR UPDATE");
    if ((await outdated(database, space)).length > 0) {
      return false;
    }
    await database.query("UPDATE image_embedding_space SET space = $1", [space]);
    await database.query("DELETE FROM image_embeddings WHERE space <> $1", [space]);
    // Those that were refused meanwhile need wait no longer.
    await database.query("UPDATE image_uploads SET next_try_at = now() WHERE state = 'queued'");
    return true;
  });
}

if (import.meta.main) {
  const config = configOf(process.env);
  const pool = openPool(config);
  process.exitCode = (await reembed(config, pool, new FolderStorage(config.uploadsFolder))) > 0 ? 1 : 0;
  await pool.end();
}

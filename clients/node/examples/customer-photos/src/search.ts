/** Finds photos by words and by pictures. */

import type pg from "pg";
import type { Embedding } from "tate-embeddings-client";
import type { Config } from "./config.ts";
import { inTransaction, storedSpace } from "./database.ts";
import { clientFor, generateImageEmbedding, generateTextEmbedding, inSql } from "./embeddings.ts";

export interface Found {
  imageId: string;
  similarity: number;
}

export interface Wanted {
  project: string;
  limit: number;
}

/** The photos that fit the words, the best first. */
export async function searchByText(config: Config, pool: pg.Pool, text: string, wanted: Wanted): Promise<Found[]> {
  const client = clientFor(config, await storedSpace(pool));
  return await nearest(pool, await generateTextEmbedding(client, text), config.textFloor, wanted);
}

/** The photos that look like this one, the likest first. */
export async function searchByImage(
  config: Config,
  pool: pg.Pool,
  image: Uint8Array,
  wanted: Wanted,
): Promise<Found[]> {
  const client = clientFor(config, await storedSpace(pool));
  return await nearest(pool, await generateImageEmbedding(client, image), config.imageFloor, wanted);
}

async function nearest(
  pool: pg.Pool,
  { vector, space }: Embedding,
  floor: number,
  { project, limit }: Wanted,
): Promise<Found[]> {
  return await inTransaction(pool, async (database) => {
    // Without this the index gives its 40 nearest, whoever they belong to, and what remains of them may be nothing.
    await database.query("SET LOCAL hnsw.iterative_scan = strict_order");
    const { rows } = await database.query<{ image_id: string; similarity: number }>(
      `SELECT image_id, 1 - (embedding <=> $1::vector) AS similarity FROM image_embeddings
       WHERE project = $2 AND space = $3 ORDER BY embedding <=> $1::vector LIMIT $4`,
      [inSql(vector), project, space, limit],
    );
    return rows
      .filter(({ similarity }) => similarity >= floor)
      .map(({ image_id, similarity }) => ({ imageId: image_id, similarity }));
  });
}

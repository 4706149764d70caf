/** Takes uploads: into the storage, and into the queue of the worker. */

import { randomUUID } from "node:crypto";
import type pg from "pg";
import type { Storage } from "./storage.ts";

/** Keep a photo and queue it; gives its id. */
export async function takeUpload(pool: pg.Pool, storage: Storage, project: string, photo: Uint8Array): Promise<string> {
  const imageId = randomUUID();
  const key = `${imageId.slice(0, 2)}/${imageId}`;
  // First the photo: whatever is queued can be read.
  await storage.write(key, photo);
  await pool.query("INSERT INTO image_uploads (project, image_id, storage_key) VALUES ($1, $2, $3)", [
    project,
    imageId,
    key,
  ]);
  return imageId;
}

/** Vectors of photos and words, from the service. */

import { type CallOptions, EmbeddingsClient, type Embedding, type Image } from "tate-embeddings-client";
import type { Config } from "./config.ts";

// What the column takes.
const DIMENSIONS = 512;
// A visitor waits for a search, nobody for the worker.
const SEARCH_TIMEOUT_MS = 5_000;
const WORK_TIMEOUT_MS = 120_000;

/**
 * A client whose vectors fit those that are stored: of their space, if there are any, and of the column's length.
 * Making one costs nothing, and the space may change while we run.
 */
export function clientFor(config: Config, space?: string): EmbeddingsClient {
  const { clipServiceUrl: url, clipServiceToken: token } = config;
  return new EmbeddingsClient({ url, token, space, dimensions: DIMENSIONS, timeoutMs: WORK_TIMEOUT_MS });
}

/** The vector of a photo: to be stored, or to search by. */
export async function generateImageEmbedding(
  client: EmbeddingsClient,
  image: Image,
  options?: CallOptions,
): Promise<Embedding> {
  return await client.embedImage(image, options);
}

/** The vector of what a visitor types. */
export async function generateTextEmbedding(client: EmbeddingsClient, text: string): Promise<Embedding> {
  return await client.embedText(text, { timeoutMs: SEARCH_TIMEOUT_MS });
}

/** How pgvector reads a vector. */
export function inSql(vector: readonly number[]): string {
  return JSON.stringify(vector);
}

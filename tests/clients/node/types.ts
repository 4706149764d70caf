// A caller in TypeScript. It isn't run: that it compiles is what is tested.

import {
  AuthenticationError,
  EmbeddingsClient,
  EmbeddingsError,
  type Image,
  isFailure,
  type Query,
  SpaceChanged,
} from "tate-embeddings-client";

const client = new EmbeddingsClient({ url: "https://embeddings.example.org", token: "token", dimensions: 512 });

export const images: Image[] = ["https://a.example/1", { base64: "AAAA" }, new Uint8Array(4), new Blob([])];
export const queries: Query[] = [{ text: "a dog" }, { image: "https://a.example/1", weight: -0.5 }, { id: "a/1" }];

export async function vectors(signal: AbortSignal): Promise<(readonly number[] | string)[]> {
  const results = await client.embedImages(images, { signal, timeoutMs: 1000 });
  return results.map((result) => (isFailure(result) ? result.code : result.vector));
}

export async function found(): Promise<[string, number][]> {
  const { results } = await client.search(queries, { k: 5, filter: { tags: ["sea", "storm"], year: { gte: 1800 } } });
  return results.map(({ id, score }) => [id, score]);
}

export function words(error: unknown): string {
  if (error instanceof SpaceChanged) {
    return `${error.expected} became ${error.found}`;
  }
  if (error instanceof AuthenticationError) {
    return `${error.status} ${error.requestId}`;
  }
  return error instanceof EmbeddingsError && error.retryable ? error.code : "unknown";
}

// @ts-expect-error: a token is needed
new EmbeddingsClient({ url: "https://embeddings.example.org" });
// @ts-expect-error: base64 is marked in the image itself
client.embedImage("AAAA", { base64: true });
// @ts-expect-error: a list is needed
client.embedTexts("a dog");
// @ts-expect-error: a query is for one thing
client.search({ weight: 2 });

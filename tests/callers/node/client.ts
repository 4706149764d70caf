// A caller whose types come from the API's description. It isn't run: that it compiles is what is tested.

import type { operations } from "./api";

type Answers<Route extends keyof operations> = operations[Route]["responses"];
type Json<Response> = Response extends { content: { "application/json": infer Body } } ? Body : never;
type Answer<Route extends keyof operations> = Json<Answers<Route>[200]>;
type Failure<Route extends keyof operations> = Json<Answers<Route>[Exclude<keyof Answers<Route>, 200>]>;
type Sent<Route extends keyof operations, Kind extends string = "application/json"> = operations[Route] extends {
  requestBody: { content: Record<Kind, infer Body> };
}
  ? Body
  : never;

export const bodies: {
  text: Sent<"embed_text">;
  image: Sent<"embed_image">[];
  upload: Sent<"embed_image", "multipart/form-data">;
  bytes: Sent<"embed_image", "image/*">;
  texts: Sent<"embed_texts">[];
  images: Sent<"embed_images">[];
  uploads: Sent<"embed_images", "multipart/form-data">;
  mixed: Sent<"embed_mixed">[];
  openai: Sent<"create_embedding">[];
  search: Sent<"search">[];
  searchUpload: Sent<"search", "multipart/form-data">;
  ingest: Sent<"ingest">;
} = {
  text: { query: "a stormy sea" },
  image: [{ url: "https://example.org/a.png" }, { image: "AAAA" }],
  upload: { file: "bytes" },
  bytes: "bytes",
  texts: [{ texts: ["a stormy sea", "a dog"] }, { text: "a stormy sea" }],
  images: [{ urls: ["https://example.org/a.png"] }, { images: ["AAAA"] }, { image: "AAAA" }],
  uploads: { files: ["bytes", "more"] },
  mixed: [{ texts: ["a dog"], urls: ["https://example.org/a.png"] }, { texts: ["a dog"] }, { urls: [] }],
  openai: [
    { model: "ViT-B-32", input: "a stormy sea" },
    { model: "ViT-B-32", input: ["a stormy sea", [49406, 2954, 49407]], encoding_format: "base64", dimensions: 64 },
    { model: "ViT-B-32", input: [{ image: "AAAA" }, { url: "https://example.org/a.png" }, "a dog"] },
  ],
  search: [
    { query: "a stormy sea", k: 5, offset: 10, min_score: 0.2, filter: { year: { gte: 1800 }, tags: ["sea", "storm"] } },
    { url: "https://example.org/a.png" },
    { image: "AAAA", filter: null },
    { id: "artwork-1842" },
    { queries: [{ text: "a stormy sea" }, { id: "artwork-1842", weight: -0.5 }, { url: "https://example.org/a.png" }] },
  ],
  searchUpload: { file: "bytes", k: 5, filter: '{"year": 1842}' },
  ingest: {
    items: [
      { id: "a", embedding: [0.6, 0.8], space: "5f0c1b2a9d3e4f67", metadata: { title: "A sea" } },
      { id: "b", url: "https://example.org/a.png" },
      { id: "c", image: "AAAA" },
    ],
  },
};

// @ts-expect-error: a field that no form has
export const misspelt: Sent<"embed_text"> = { text: "a dog" };
// @ts-expect-error: a text where a list is asked for
export const alone: Sent<"embed_texts"> = { texts: "a dog" };
// @ts-expect-error: an encoding that isn't known
export const encoded: Sent<"create_embedding"> = { model: "ViT-B-32", input: "a dog", encoding_format: "hex" };

export function vectorsOfTexts(answer: Answer<"embed_texts">): number[][] {
  return "embeddings" in answer ? answer.embeddings : [answer.embedding];
}

export function vectorsOfImages(answer: Answer<"embed_images">): Map<number, number[]> {
  if ("embedding" in answer) {
    return new Map([[0, answer.embedding]]);
  }
  return new Map(answer.indices.map((index, place) => [index, answer.embeddings[place]!]));
}

export function whatFailed(answer: Answer<"embed_mixed">): string[] {
  return answer.failed.map((item) => `${item.index}: ${item.code} (${item.url ?? "no URL"})`);
}

export function numbers(answer: Answer<"create_embedding">): number[] {
  return answer.data.flatMap(({ embedding }) => (typeof embedding === "string" ? [] : embedding));
}

export function found(answer: Answer<"search">): [string, number, unknown][] {
  return answer.results.map(({ id, score, metadata }) => [id, score, metadata["title"]]);
}

export function changed(put: Answer<"ingest">, taken: Answer<"delete_item">): number {
  return put.ingested + put.failed.filter(({ id }) => id === undefined).length - taken.deleted;
}

export function isDemonstration(answer: Answer<"health">): boolean {
  // @ts-expect-error: it may be absent
  const sure: boolean = answer.demonstration;
  return sure;
}

export function code(failure: Failure<"embed_image"> | Failure<"embed_images"> | Failure<"create_embedding">): string {
  return "error" in failure ? failure.error.code : failure.code;
}

/** What goes over the wire: calls to requests, answers to results. No connection, no time. */

import { AuthenticationError, isRetryable, ServiceError, UnexpectedAnswer } from "./errors.ts";
import { asBlob, inBase64, type Image, isUpload, type Kind, type Upload, urlOf, written } from "./images.ts";
import type { Embedding, Failure, Health, ImageEmbedding, SearchResults, TextEmbedding } from "./results.ts";

/** One thing to search for: a text, an image, an item of the index by its id, or a vector. */
export type Query = { weight?: number } & (
  | { text: string }
  | { image: Image }
  | { id: string }
  | { embedding: readonly number[] }
);

type Scalar = string | number | boolean;

/** What must be so of an item's metadata: of each field a value, a list of which one is enough, or bounds. */
export type Filter = Record<string, Scalar | readonly Scalar[] | { gte?: number; lte?: number }>;

/** Which of what is found counts; see the service's `POST /search`. */
export interface Wanted {
  /** How many results, at most (10). */
  k?: number | undefined;
  /** How many of the nearest to pass over (0). */
  offset?: number | undefined;
  /** The lowest cosine that still counts. */
  minScore?: number | undefined;
  filter?: Filter | undefined;
}

/** A request, but for where to and in whose name. All of them may be sent twice: none changes anything. */
export interface Request {
  method: "GET" | "POST";
  path: string;
  body?: string | Upload | FormData;
  contentType?: string;
}

/** An answer, read to its end. */
export interface Answer {
  status: number;
  text: string;
  requestId: string | undefined;
  retryAfter: string | null;
}

// The service's own limits of one request, as it is configured by default.
const MAX_BATCH_ITEMS = 256;
const MAX_BODY_BYTES = 64 * 1024 * 1024;
// What JSON or a form put around one item, at most; and around all of them.
const AROUND_ITEM = 256;
const AROUND_BODY = 1024;

// The service goes by the bytes; it only has to be told that they are an image.
const ANY_IMAGE = "image/unknown";

const encoder = new TextEncoder();

export const HEALTH: Request = { method: "GET", path: "/health" };

export function embedText(text: string): Request {
  return inJson("/embed-text", { query: text });
}

export function embedTexts(texts: readonly string[]): Request {
  return inJson("/embed/text", { texts });
}

/** An image behind a URL or in base64, or its bytes as the body. */
export function embedImage(image: Image): Request {
  if (isUpload(image)) {
    return { method: "POST", path: "/embed-image", body: image, contentType: ANY_IMAGE };
  }
  return inJson("/embed-image", inWords(image));
}

/** Images that are all of one kind. */
export function embedImages(kind: Kind, images: readonly Image[]): Request {
  if (kind !== "upload") {
    const words = (images as Exclude<Image, Upload>[]).map(written);
    return inJson("/embed/image", kind === "url" ? { urls: words } : { images: words });
  }
  // A form is a quarter smaller than base64.
  const body = new FormData();
  for (const upload of images as Upload[]) {
    body.append("files", asBlob(upload), "image");
  }
  return { method: "POST", path: "/embed/image", body };
}

/** A search for one thing or several. */
export async function search(queries: readonly Query[], { k, offset, minScore, filter }: Wanted): Promise<Request> {
  const sought = await Promise.all(queries.map(inQueries));
  return inJson("/search", { queries: sought, k, offset, min_score: minScore, filter });
}

/** How many bytes of a body a string or so many bytes take. */
export function sizeOf(item: string | number): number {
  return AROUND_ITEM + (typeof item === "string" ? encoder.encode(JSON.stringify(item)).length : item);
}

/** Whether an item of this size can be sent at all. */
export function fits(bytes: number): boolean {
  return bytes <= MAX_BODY_BYTES - AROUND_BODY;
}

/** Consecutive items, as `[start, end)`, that go into one request each: as many as the service takes at once. */
export function* batches(sizes: readonly number[]): Generator<[number, number]> {
  let start = 0;
  let total = 0;
  for (const [place, bytes] of sizes.entries()) {
    if (place > start && (place - start === MAX_BATCH_ITEMS || !fits(total + bytes))) {
      yield [start, place];
      start = place;
      total = 0;
    }
    total += bytes;
  }
  if (sizes.length > 0) {
    yield [start, sizes.length];
  }
}

/** What the service says went wrong, if it does; `now` is a date in milliseconds. */
export function failureOf(answer: Answer, now: number): ServiceError | undefined {
  const { status, requestId } = answer;
  if (status === 200) {
    return undefined;
  }
  let code = `http_${status}`;
  let detail = "The service, or what stands before it, didn't say why.";
  try {
    const body = JSON.parse(answer.text);
    [code, detail] = [string(body.code), string(body.detail)];
  } catch {
    // Somebody else's words, which aren't ours to show.
  }
  const kind = status === 401 ? AuthenticationError : ServiceError;
  return new kind(detail, { status, code, requestId, retryAfterMs: askedWaitMs(answer.retryAfter, now) });
}

/** What an answer says, by the reader for it; an `UnexpectedAnswer` if it isn't of the form that it should have. */
export function read<Result>(answer: Answer, reader: (body: any) => Result): Result {
  try {
    return reader(JSON.parse(answer.text));
  } catch {
    // What went wrong holds parts of the answer, which isn't ours to show.
  }
  throw new UnexpectedAnswer(answer.requestId);
}

export function readText(body: any): TextEmbedding {
  return { ...embedding(body, body.embedding), truncated: boolean(body.truncated) };
}

export function readImage(body: any): ImageEmbedding {
  return { ...embedding(body, body.embedding), ...seen(body.sha256, body.width, body.height) };
}

/** The vectors of as many texts as were sent. */
export function readTexts(body: any, count: number): TextEmbedding[] {
  agree(array(body.embeddings).length === count && array(body.truncated).length === count);
  return body.embeddings.map((vector: unknown, place: number) => ({
    ...embedding(body, vector),
    truncated: boolean(body.truncated[place]),
  }));
}

/** Vectors and failures at the places that the answer says they belong to, each place once. */
export function readImages(body: any, urls: readonly (string | undefined)[]): (ImageEmbedding | Failure)[] {
  const places = new Map<number, ImageEmbedding | Failure>();
  const put = (index: number, result: ImageEmbedding | Failure) => {
    agree(Number.isInteger(index) && index >= 0 && index < urls.length && !places.has(index));
    places.set(index, result);
  };
  agree(array(body.indices).length === array(body.embeddings).length);
  for (const [at, index] of body.indices.entries()) {
    put(index, {
      ...embedding(body, body.embeddings[at]),
      ...seen(body.sha256[at], body.width[at], body.height[at]),
    });
  }
  for (const { index, code, detail } of array(body.failed)) {
    put(index, failedItem(index, string(code), string(detail), urls[index]));
  }
  agree(places.size === urls.length);
  return urls.map((_, place) => places.get(place)!);
}

export function readResults(body: any): SearchResults {
  return {
    results: array(body.results).map(({ id, score, metadata }) => {
      agree(typeof metadata === "object" && metadata !== null);
      return { id: string(id), score: number(score), metadata };
    }),
    tookMs: number(body.took_ms),
    space: string(body.space),
    model: string(body.model),
    pretrained: string(body.pretrained),
    truncated: boolean(body.truncated),
  };
}

export function readHealth(body: any): Health {
  return {
    ready: body.status === "healthy",
    status: string(body.status),
    modelLoaded: boolean(body.model_loaded),
    textModelLoaded: boolean(body.text_model_loaded),
    imageModelLoaded: boolean(body.image_model_loaded),
    device: stringOrNull(body.device),
    engine: stringOrNull(body.engine),
    precision: stringOrNull(body.precision),
    space: stringOrNull(body.space),
    demonstration: boolean(body.demonstration ?? false),
  };
}

/** An item that has no vector, by its code. */
export function failedItem(index: number, code: string, detail: string, url: string | undefined): Failure {
  return { index, code, detail, url, retryable: isRetryable(code) };
}

function inJson(path: string, body: object): Request {
  return { method: "POST", path, body: JSON.stringify(body), contentType: "application/json" };
}

async function inQueries(query: Query): Promise<object> {
  if (!("image" in query)) {
    return query;
  }
  const { image, ...rest } = query;
  return { ...rest, ...(isUpload(image) ? { image: await inBase64(image) } : inWords(image)) };
}

/** An image that isn't uploaded, as JSON has it. */
function inWords(image: Exclude<Image, Upload>): object {
  return urlOf(image) === undefined ? { image: written(image) } : { url: written(image) };
}

/** The milliseconds of a `Retry-After` header, which holds seconds or a date; 0 for what is neither. */
function askedWaitMs(retryAfter: string | null, now: number): number {
  if (retryAfter !== null && /^\d+$/.test(retryAfter)) {
    return Number(retryAfter) * 1000;
  }
  const date = Date.parse(retryAfter ?? "");
  return Number.isNaN(date) ? 0 : Math.max(0, date - now);
}

function embedding(body: any, vector: unknown): Embedding {
  agree(array(vector).length === body.dimensions);
  for (const each of vector as unknown[]) {
    number(each);
  }
  return {
    vector: vector as number[],
    dimensions: body.dimensions,
    space: string(body.space),
    model: string(body.model),
    pretrained: string(body.pretrained),
    device: string(body.device),
  };
}

function seen(sha256: unknown, width: unknown, height: unknown) {
  return { sha256: string(sha256), width: number(width), height: number(height) };
}

function array(value: unknown): any[] {
  agree(Array.isArray(value));
  return value as any[];
}

function string(value: unknown): string {
  agree(typeof value === "string");
  return value as string;
}

function stringOrNull(value: unknown): string | null {
  return value === null ? null : string(value);
}

function number(value: unknown): number {
  agree(typeof value === "number");
  return value as number;
}

function boolean(value: unknown): boolean {
  agree(typeof value === "boolean");
  return value as boolean;
}

/** Rather no result than one at the wrong place. */
function agree(agrees: boolean): void {
  if (!agrees) {
    throw new TypeError();
  }
}

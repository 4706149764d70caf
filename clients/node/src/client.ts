/** The client. */

import { SpaceChanged, WrongDimensions } from "./errors.ts";
import { byteLength, checkedImage, type Image, isUpload, type Kind, kindOf, urlOf } from "./images.ts";
import {
  type Failure,
  type Health,
  type ImageEmbedding,
  isFailure,
  type SearchResults,
  type TextEmbedding,
} from "./results.ts";
import { once, Time, tried } from "./tries.ts";
import * as wire from "./wire.ts";

export interface ClientOptions {
  /** Where the service is, such as `https://embeddings.example.org`. */
  url: string;
  /** One of its `AUTH_TOKEN`s. */
  token: string;
  /** How long a call may take in all: tries, waits, and every request of a list that takes several (30,000). */
  timeoutMs?: number | undefined;
  /** The space that stored vectors are of. Without it, the first one seen counts. */
  space?: string | undefined;
  /** How many numbers stored vectors have. Without it, any. */
  dimensions?: number | undefined;
  /** How requests are sent, if not by the `fetch` that there is: through a proxy, say, or in a test. */
  fetch?: typeof fetch | undefined;
}

export interface CallOptions {
  /** Gives the call up at once: it rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** In place of the client's. */
  timeoutMs?: number | undefined;
}

export interface SearchOptions extends CallOptions, wire.Wanted {}

const TIMEOUT_MS = 30_000;
// What fits into a timer.
const LONGEST_MS = 2 ** 31 - 1;

/** Calls a service. Make one and share it: it keeps nothing but the space of its vectors. */
export class EmbeddingsClient {
  readonly #url: string;
  readonly #token: string;
  readonly #timeoutMs: number;
  readonly #dimensions: number | undefined;
  readonly #fetch: typeof fetch;
  #space: string | undefined;

  constructor({ url, token, timeoutMs = TIMEOUT_MS, space, dimensions, fetch = globalThis.fetch }: ClientOptions) {
    this.#url = addressOf(url);
    this.#token = checkedToken(token);
    this.#timeoutMs = checkedTimeout(timeoutMs);
    this.#space = space;
    this.#dimensions = dimensions;
    this.#fetch = fetch;
  }

  /** The space that vectors have to be of; undefined until the first, if none was given. */
  get space(): string | undefined {
    return this.#space;
  }

  /** The vector of a text. */
  async embedText(text: string, options: CallOptions = {}): Promise<TextEmbedding> {
    return await this.#within(options, async (time) => {
      const answer = await this.#tried(wire.embedText(checkedText(text)), time);
      return this.#known(answer, wire.read(answer, wire.readText));
    });
  }

  /** The vectors of texts, in their order. A text that is blank fails all of them. */
  async embedTexts(texts: readonly string[], options: CallOptions = {}): Promise<TextEmbedding[]> {
    const listed = list(texts).map(checkedText);
    return await this.#within(options, async (time) => {
      const results: TextEmbedding[] = [];
      for (const [start, end] of wire.batches(listed.map(wire.sizeOf))) {
        const answer = await this.#tried(wire.embedTexts(listed.slice(start, end)), time);
        const found = wire.read(answer, (body) => wire.readTexts(body, end - start));
        results.push(...found.map((each) => this.#known(answer, each)));
      }
      return results;
    });
  }

  /** The vector of an image. */
  async embedImage(image: Image, options: CallOptions = {}): Promise<ImageEmbedding> {
    const checked = checkedImage(image);
    return await this.#within(options, async (time) => {
      const answer = await this.#tried(wire.embedImage(checked), time);
      return this.#known(answer, wire.read(answer, wire.readImage));
    });
  }

  /** A vector or a failure for each image, in their order. */
  async embedImages(images: readonly Image[], options: CallOptions = {}): Promise<(ImageEmbedding | Failure)[]> {
    const listed = list(images).map(checkedImage);
    return await this.#within(options, async (time) => {
      const results: (ImageEmbedding | Failure)[] = [];
      const sizes = listed.map(sizeOfImage);
      const places: Record<Kind, number[]> = { url: [], base64: [], upload: [] };
      for (const [place, image] of listed.entries()) {
        if (wire.fits(sizes[place]!)) {
          places[kindOf(image)].push(place);
        } else {
          results[place] = wire.failedItem(place, "too_large", "No request can hold this image.", urlOf(image));
        }
      }
      for (const ofOneKind of Object.values(places)) {
        for (const [start, end] of wire.batches(ofOneKind.map((place) => sizes[place]!))) {
          const part = ofOneKind.slice(start, end);
          const found = await this.#images(part.map((place) => listed[place]!), time);
          for (const [at, place] of part.entries()) {
            const result = found[at]!;
            results[place] = isFailure(result) ? { ...result, index: place } : result;
          }
        }
      }
      return results;
    });
  }

  /** What of the service's index is nearest to a text, to a query, or to several of these by their weights. */
  async search(
    query: string | wire.Query | readonly wire.Query[],
    { signal, timeoutMs, ...wanted }: SearchOptions = {},
  ): Promise<SearchResults> {
    const queries = sought(query);
    return await this.#within({ signal, timeoutMs }, async (time) => {
      const answer = await this.#tried(await wire.search(queries, wanted), time);
      const found = wire.read(answer, wire.readResults);
      this.#checkSpace(answer, found.space);
      this.#space ??= found.space;
      return found;
    });
  }

  /** How the service is now, ready or not. Asked once. */
  async health(options: CallOptions = {}): Promise<Health> {
    return await this.#within(options, async (time) => {
      const answer = await once(this.#send, wire.HEALTH, time);
      if (answer instanceof Error) {
        throw answer;
      }
      try {
        return wire.read(answer, wire.readHealth);
      } catch (error) {
        throw wire.failureOf(answer, Date.now()) ?? error;
      }
    });
  }

  /** Images of one request, which are all of one kind. */
  async #images(part: readonly Image[], time: Time): Promise<(ImageEmbedding | Failure)[]> {
    const request = wire.embedImages(kindOf(part[0]!), part);
    const answer = await this.#tried(request, time);
    const found = wire.read(answer, (body) => wire.readImages(body, part.map(urlOf)));
    return found.map((result) => (isFailure(result) ? result : this.#known(answer, result)));
  }

  /** The same embedding, if it can be stored with those that there are. */
  #known<Result extends ImageEmbedding | TextEmbedding>(answer: wire.Answer, result: Result): Result {
    this.#checkSpace(answer, result.space);
    if (this.#dimensions !== undefined && result.dimensions !== this.#dimensions) {
      throw new WrongDimensions(this.#dimensions, result.dimensions, answer.requestId);
    }
    this.#space ??= result.space;
    return result;
  }

  #checkSpace(answer: wire.Answer, found: string): void {
    if (this.#space !== undefined && found !== this.#space) {
      throw new SpaceChanged(this.#space, found, answer.requestId);
    }
  }

  async #within<Result>(options: CallOptions, call: (time: Time) => Promise<Result>): Promise<Result> {
    const time = new Time(checkedTimeout(options.timeoutMs ?? this.#timeoutMs), options.signal);
    try {
      return await call(time);
    } finally {
      time.close();
    }
  }

  async #tried(request: wire.Request, time: Time): Promise<wire.Answer> {
    return await tried(this.#send, request, time);
  }

  readonly #send = async (request: wire.Request, signal: AbortSignal): Promise<wire.Answer> => {
    const headers: Record<string, string> = {
      Authorization: `Bearer ${this.#token}`,
      "User-Agent": "tate-embeddings-client-node",
    };
    if (request.contentType !== undefined) {
      headers["Content-Type"] = request.contentType;
    }
    const response = await this.#fetch(this.#url + request.path, {
      method: request.method,
      headers,
      body: (request.body ?? null) as BodyInit | null,
      redirect: "manual", // the token is for this service alone
      signal,
    });
    return {
      status: response.status,
      text: await response.text(),
      requestId: response.headers.get("X-Request-ID") ?? undefined,
      retryAfter: response.headers.get("Retry-After"),
    };
  };
}

function addressOf(url: string): string {
  const address = URL.canParse(url) ? new URL(url) : undefined;
  if (!/^https?:$/.test(address?.protocol ?? "") || address?.username || address?.password) {
    throw new TypeError("url must be an http(s) URL without user info, such as https://embeddings.example.org");
  }
  return `${address!.origin}${address!.pathname}`.replace(/\/+$/, "");
}

function checkedToken(token: string): string {
  const trimmed = String(token ?? "").trim();
  // Judged here: whoever finds out later shows the header.
  if (!/^[\x21-\x7e]+$/.test(trimmed)) {
    throw new TypeError("The token is empty, or has characters that no header can hold.");
  }
  return trimmed;
}

function checkedTimeout(timeoutMs: number): number {
  if (!(timeoutMs > 0 && timeoutMs <= LONGEST_MS)) {
    throw new RangeError(`timeoutMs must be a number of milliseconds above 0, and at most ${LONGEST_MS}.`);
  }
  return timeoutMs;
}

function checkedText(text: unknown): string {
  if (typeof text !== "string") {
    throw new TypeError(`A string is needed, not ${text === null ? "null" : typeof text}.`);
  }
  return text;
}

function list<Item>(items: readonly Item[]): readonly Item[] {
  if (!Array.isArray(items)) {
    throw new TypeError("An array is needed.");
  }
  return items;
}

/** What is searched for, in the one form that all of it has. */
function sought(query: string | wire.Query | readonly wire.Query[]): readonly wire.Query[] {
  if (typeof query === "string") {
    return [{ text: query }];
  }
  const queries: readonly wire.Query[] = Array.isArray(query) ? query : [query];
  for (const each of queries) {
    if (["text", "image", "id", "embedding"].filter((kind) => kind in each).length !== 1) {
      throw new TypeError("A query has either a text, an image, an id or an embedding.");
    }
    if ("image" in each) {
      checkedImage(each.image);
    }
  }
  return queries;
}

function sizeOfImage(image: Image): number {
  if (isUpload(image)) {
    return wire.sizeOf(byteLength(image));
  }
  // Base64 is ASCII: its length is known without a copy of it.
  return wire.sizeOf(typeof image === "string" ? image : image.base64.length);
}

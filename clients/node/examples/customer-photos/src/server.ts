/**
 * The API.
 *
 *     POST /api/images?project=                 a photo as the body: kept, queued; 202 {"imageId"}
 *     GET  /api/search/images?q=&limit=&project=    photos that fit the words
 *     POST /api/search/images?limit=&project=       photos that look like the one in the body
 *     GET  /api/metrics                         how long searches take
 */

import { createServer, type IncomingMessage, type Server } from "node:http";
import type pg from "pg";
import { AuthenticationError, EmbeddingsError, SpaceChanged, WrongDimensions } from "tate-embeddings-client";
import { type Config, configOf } from "./config.ts";
import { openPool } from "./database.ts";
import { Times } from "./metrics.ts";
import { searchByImage, searchByText, type Wanted } from "./search.ts";
import { FolderStorage, type Storage } from "./storage.ts";
import { takeUpload } from "./uploads.ts";

interface Reply {
  status: number;
  body: object;
}

const MAX_PHOTO_BYTES = 20 * 1024 * 1024;
const MAX_LIMIT = 100;

/** A failure that the caller is to know. */
class Refused extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The server, not yet listening. While the feature is off it asks neither the database nor the service. */
export function makeServer(config: Config, pool: pg.Pool, storage: Storage): Server {
  const times = new Times();
  return createServer(async (request, response) => {
    let reply: Reply;
    try {
      if (!config.enabled) {
        throw new Refused(404, "disabled", "Image search is switched off.");
      }
      reply = await answer(request, config, pool, storage, times);
    } catch (error) {
      const refused = refusalOf(error);
      reply = { status: refused.status, body: { code: refused.code, error: refused.message } };
    }
    response.writeHead(reply.status, {
      "Content-Type": "application/json",
      ...(reply.status === 503 && { "Retry-After": "5" }),
      ...(!request.complete && { Connection: "close" }),
    });
    response.end(JSON.stringify(reply.body));
  });
}

async function answer(
  request: IncomingMessage,
  config: Config,
  pool: pg.Pool,
  storage: Storage,
  times: Times,
): Promise<Reply> {
  const { pathname, searchParams } = URL.parse(request.url ?? "", "http://localhost") ?? new URL("http://localhost");
  // Who is logged in says which project it is, in a real application.
  const project = searchParams.get("project") ?? "default";
  if (!/^[\w.-]{1,100}$/.test(project)) {
    throw new Refused(400, "invalid_request", "project must be a name.");
  }
  switch (`${request.method} ${pathname}`) {
    case "POST /api/images": {
      const imageId = await takeUpload(pool, storage, project, await bodyOf(request));
      return { status: 202, body: { imageId } };
    }
    case "GET /api/search/images": {
      const q = searchParams.get("q")?.trim();
      if (!q) {
        throw new Refused(400, "invalid_request", "Say what to search for: ?q=");
      }
      const wanted = wantedOf(searchParams, project);
      const results = await times.measured("text_search", () => searchByText(config, pool, q, wanted));
      return { status: 200, body: { results } };
    }
    case "POST /api/search/images": {
      const wanted = wantedOf(searchParams, project);
      const image = await bodyOf(request);
      const results = await times.measured("image_search", () => searchByImage(config, pool, image, wanted));
      return { status: 200, body: { results } };
    }
    case "GET /api/metrics":
      return { status: 200, body: times.summary() };
    default:
      throw new Refused(404, "not_found", "There is nothing here.");
  }
}

function wantedOf(searchParams: URLSearchParams, project: string): Wanted {
  const limit = Number(searchParams.get("limit") ?? 20);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw new Refused(400, "invalid_request", `limit must be a number from 1 to ${MAX_LIMIT}.`);
  }
  return { project, limit };
}

async function bodyOf(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // The connection has to outlive a body that isn't read to its end: it carries the answer.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    bytes += chunk.length;
    if (bytes > MAX_PHOTO_BYTES) {
      throw new Refused(413, "too_large", `A photo may have ${MAX_PHOTO_BYTES} bytes.`);
    }
    chunks.push(chunk);
  }
  if (bytes === 0) {
    throw new Refused(400, "invalid_request", "Send the photo as the body.");
  }
  return Buffer.concat(chunks);
}

/** What a caller gets to know of a failure; the log has the rest. */
function refusalOf(error: unknown): Refused {
  if (error instanceof Refused) {
    return error;
  }
  if (error instanceof EmbeddingsError && [413, 415, 422].includes(error.status ?? 0)) {
    return new Refused(error.status!, error.code, error.detail);
  }
  console.error(error);
  if (error instanceof SpaceChanged || error instanceof WrongDimensions) {
    return new Refused(503, "reembedding_needed", "The photos have to be embedded anew before they can be searched.");
  }
  if (error instanceof AuthenticationError) {
    return new Refused(503, "misconfigured", "Image search isn't set up correctly.");
  }
  if (error instanceof EmbeddingsError) {
    return new Refused(503, "unavailable", "Image search is not available now.");
  }
  return new Refused(500, "internal", "Something went wrong.");
}

if (import.meta.main) {
  const config = configOf(process.env);
  const pool = openPool(config);
  const server = makeServer(config, pool, new FolderStorage(config.uploadsFolder));
  server.listen(config.port, () => console.log(`http://localhost:${config.port}`));
  const stop = () => server.close(() => pool.end());
  process.once("SIGTERM", stop).once("SIGINT", stop);
}

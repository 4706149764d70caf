/** Calls a tate-embeddings service: words and pictures in, unit vectors or what is near to them out. */

export { type CallOptions, type ClientOptions, EmbeddingsClient, type SearchOptions } from "./client.ts";
export {
  AuthenticationError,
  ConnectionFailed,
  EmbeddingsError,
  ServiceError,
  SpaceChanged,
  Timeout,
  UnexpectedAnswer,
  WrongDimensions,
} from "./errors.ts";
export type { Base64Image, Image } from "./images.ts";
export {
  type Embedding,
  type Failure,
  type Health,
  type Hit,
  type ImageEmbedding,
  isFailure,
  type SearchResults,
  type TextEmbedding,
} from "./results.ts";
export type { Filter, Query, Wanted } from "./wire.ts";

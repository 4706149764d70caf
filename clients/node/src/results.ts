/** What calls give. */

/** A vector of length 1 and where it comes from; compare only vectors whose `space` is equal. */
export interface Embedding {
  vector: number[];
  dimensions: number;
  space: string;
  model: string;
  pretrained: string;
  device: string;
}

/** A text's vector; `truncated` if the text was longer than the model reads. */
export interface TextEmbedding extends Embedding {
  truncated: boolean;
}

/** An image's vector, the digest of its bytes, and its size as displayed. */
export interface ImageEmbedding extends Embedding {
  sha256: string;
  width: number;
  height: number;
}

/**
 * An image of a list that has no vector: `index` is its place in the list, `url` is set if it was one. Nothing tries it
 * again by itself; `retryable` says whether that may help.
 */
export interface Failure {
  index: number;
  code: string;
  detail: string;
  url: string | undefined;
  retryable: boolean;
}

/** Whether an image of a list has no vector. */
export function isFailure(result: ImageEmbedding | Failure): result is Failure {
  return "code" in result;
}

/** An item of the index that was found; `score` is the cosine between its vector and what was searched for. */
export interface Hit {
  id: string;
  score: number;
  metadata: Record<string, unknown>;
}

/** What is nearest, the nearest first; `tookMs` is the index's own time, `truncated` as of a text. */
export interface SearchResults {
  results: Hit[];
  tookMs: number;
  space: string;
  model: string;
  pretrained: string;
  truncated: boolean;
}

/** How the service is; `ready` says whether it embeds now. What isn't known yet is null. */
export interface Health {
  ready: boolean;
  status: string;
  modelLoaded: boolean;
  textModelLoaded: boolean;
  imageModelLoaded: boolean;
  device: string | null;
  engine: string | null;
  precision: string | null;
  space: string | null;
  demonstration: boolean;
}

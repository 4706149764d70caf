/**
 * Everything that a call can reject with, but for the reason of an `AbortSignal` and mistakes before anything is sent
 * (`TypeError`, `RangeError`).
 *
 *     EmbeddingsError             `code` for programs, `detail` for people, `retryable`, `status`, `requestId`
 *     ├── ServiceError            the service answered with a failure
 *     │   └── AuthenticationError     401: it doesn't know the token
 *     ├── ConnectionFailed        it could not be reached, or broke off, to the last try
 *     ├── Timeout                 the call's time was over
 *     ├── SpaceChanged            its vectors can't be compared with those before
 *     ├── WrongDimensions         its vectors aren't as long as the stored ones
 *     └── UnexpectedAnswer        what answered is not this service
 */

const RETRYABLE_STATUSES: ReadonlySet<number> = new Set([429, 502, 503, 504]);
const RETRYABLE_CODES: ReadonlySet<string> = new Set([
  "rate_limited",
  "image_host_failed",
  "overloaded",
  "not_ready",
  "index_unavailable",
  "image_host_timeout",
  "deadline_exceeded",
  "decode_timeout",
]);

/** What an error knows beside its words. */
interface Known {
  code: string;
  retryable?: boolean;
  status?: number | undefined;
  requestId?: string | undefined;
  retryAfterMs?: number;
}

/** Whether an item that failed with this code may succeed later. */
export function isRetryable(code: string): boolean {
  return RETRYABLE_CODES.has(code);
}

/** A call that failed. `retryable` says whether the same call may succeed later. */
export class EmbeddingsError extends Error {
  readonly code: string;
  readonly detail: string;
  readonly retryable: boolean;
  readonly status: number | undefined;
  readonly requestId: string | undefined;
  /** How long the service asks to be left alone. */
  readonly retryAfterMs: number;

  constructor(detail: string, known: Known) {
    const status = known.status === undefined ? "" : `${known.status} `;
    const request = known.requestId === undefined ? "" : ` (request ${known.requestId})`;
    super(`${status}${known.code}: ${detail}${request}`);
    this.name = new.target.name;
    this.detail = detail;
    this.code = known.code;
    this.retryable = known.retryable ?? false;
    this.status = known.status;
    this.requestId = known.requestId;
    this.retryAfterMs = known.retryAfterMs ?? 0;
  }
}

/** The service answered with a failure. */
export class ServiceError extends EmbeddingsError {
  constructor(detail: string, known: Known & { status: number }) {
    super(detail, { ...known, retryable: RETRYABLE_STATUSES.has(known.status) });
  }
}

/** The service doesn't know the token. */
export class AuthenticationError extends ServiceError {}

/** The service could not be reached, or broke off. */
export class ConnectionFailed extends EmbeddingsError {
  constructor(detail: string) {
    super(detail, { code: "connection_failed", retryable: true });
  }
}

/** The call's time was over. */
export class Timeout extends EmbeddingsError {
  constructor(timeoutMs: number) {
    super(`No answer within ${timeoutMs / 1000} seconds.`, { code: "timeout", retryable: true });
  }
}

/**
 * The service's vectors are of another space now: they can't be compared with those before. The stored ones have to be
 * made anew, or the service set back to its former model.
 */
export class SpaceChanged extends EmbeddingsError {
  readonly expected: string;
  readonly found: string;

  constructor(expected: string, found: string, requestId?: string) {
    super(`The service's vectors are of space ${found} now, no longer of ${expected}.`, {
      code: "space_changed",
      requestId,
    });
    this.expected = expected;
    this.found = found;
  }
}

/** The service's vectors have another count of numbers than the ones that are stored. */
export class WrongDimensions extends EmbeddingsError {
  readonly expected: number;
  readonly found: number;

  constructor(expected: number, found: number, requestId?: string) {
    super(`The service's vectors have ${found} numbers, not ${expected}.`, { code: "wrong_dimensions", requestId });
    this.expected = expected;
    this.found = found;
  }
}

/** What answered is not this service, or not one that this client knows. */
export class UnexpectedAnswer extends EmbeddingsError {
  constructor(requestId?: string) {
    super("This is no answer of the service.", { code: "unexpected_answer", requestId });
  }
}

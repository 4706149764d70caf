/** Requests, sent as often as it takes within the time of a call. */

import { ConnectionFailed, EmbeddingsError, Timeout } from "./errors.ts";
import { type Answer, failureOf, type Request } from "./wire.ts";

// The longest wait before each further try; the real one is anything up to it, so that callers who failed together
// don't come back together.
const WAITS_MS = [500, 1000, 2000];

/** How one request is sent and its answer read. */
export type Send = (request: Request, signal: AbortSignal) => Promise<Answer>;

/** The time of one call: over when it has lasted too long, or when its caller says so. */
export class Time {
  readonly #controller = new AbortController();
  readonly #ends: number;
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #caller: AbortSignal | undefined;

  constructor(timeoutMs: number, caller: AbortSignal | undefined) {
    caller?.throwIfAborted();
    this.#ends = performance.now() + timeoutMs;
    this.#timer = setTimeout(() => this.#controller.abort(new Timeout(timeoutMs)), timeoutMs);
    this.#caller = caller;
    caller?.addEventListener("abort", this.#giveUp, { once: true });
  }

  /** Aborted when the time is over, with the reason that the call is to be rejected with. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get leftMs(): number {
    return this.#ends - performance.now();
  }

  /** Let so much time pass, unless it is over sooner. */
  async wait(milliseconds: number): Promise<void> {
    this.signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const over = () => {
        clearTimeout(timer);
        reject(this.signal.reason);
      };
      const timer = setTimeout(() => {
        this.signal.removeEventListener("abort", over);
        resolve();
      }, milliseconds);
      this.signal.addEventListener("abort", over, { once: true });
    });
  }

  /** Nobody asks for the time any more. A caller's signal may live for long: nothing of ours stays with it. */
  close(): void {
    clearTimeout(this.#timer);
    this.#caller?.removeEventListener("abort", this.#giveUp);
  }

  readonly #giveUp = (): void => this.#controller.abort(this.#caller?.reason);
}

/** An answer that is no failure, after further tries where they may help and a wait ends in time. */
export async function tried(send: Send, request: Request, time: Time): Promise<Answer> {
  for (const longestMs of [...WAITS_MS, undefined]) {
    const outcome = await once(send, request, time);
    const error = outcome instanceof EmbeddingsError ? outcome : failureOf(outcome, Date.now());
    if (error === undefined) {
      return outcome as Answer;
    }
    const waitMs = Math.max(error.retryAfterMs, Math.random() * (longestMs ?? 0));
    if (!error.retryable || longestMs === undefined || waitMs >= time.leftMs) {
      throw error;
    }
    await time.wait(waitMs);
  }
  throw new Error("The last try returns or throws.");
}

/** What comes of sending once; rejected only when the time is over. */
export async function once(send: Send, request: Request, time: Time): Promise<Answer | ConnectionFailed> {
  time.signal.throwIfAborted();
  try {
    return await send(request, time.signal);
  } catch (error) {
    time.signal.throwIfAborted();
    // In words alone: what was thrown may hold the request and so the token.
    return new ConnectionFailed(`The service could not be reached, or broke off (${reasonOf(error)}).`);
  }
}

/** The word for what happened, such as ECONNREFUSED: `fetch` has it in the cause of its error. */
function reasonOf(error: any): string {
  return String(error?.cause?.code ?? error?.code ?? error?.name ?? "unknown");
}

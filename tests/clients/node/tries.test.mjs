// When the client tries again, for how long, and how it is stopped.

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import {
  AuthenticationError,
  ConnectionFailed,
  EmbeddingsClient,
  EmbeddingsError,
  ServiceError,
  Timeout,
} from "tate-embeddings-client";
import { answer, clientOf, clientOfServer, refusal, rejected, settled, text, TOKEN } from "./stub.mjs";

const overloaded = refusal(503, "overloaded");

/** Time that passes when the test says so, and chance that always says the same. */
function frozen(test, { chance = 1, now = 0 } = {}) {
  test.mock.timers.enable({ apis: ["setTimeout", "Date"], now });
  test.mock.method(Math, "random", () => chance);
  return async (milliseconds) => {
    await settled();
    test.mock.timers.tick(milliseconds);
    await settled();
  };
}

test("what may pass is tried again after a random wait, up to 0.5, 1 and 2 seconds", async (t) => {
  const pass = frozen(t);
  const { client, sent } = clientOf([overloaded, overloaded, overloaded, answer(text)]);

  const call = client.embedText("a dog");
  for (const [tries, longest] of [500, 1000, 2000].entries()) {
    await pass(longest - 1);
    assert.equal(sent.length, tries + 1);
    await pass(1);
    assert.equal(sent.length, tries + 2);
  }

  assert.deepEqual((await call).vector, text.embedding);
});

test("chance may have it tried again at once", async (t) => {
  const pass = frozen(t, { chance: 0 });
  const { client, sent } = clientOf([overloaded, answer(text)]);

  const call = client.embedText("a dog");
  await pass(1);
  await call;

  assert.equal(sent.length, 2);
});

const asked = [
  ["seconds", "7"],
  ["a date", "Sat, 21 Nov 2026 12:00:07 GMT"],
];
for (const [form, header] of asked) {
  test(`no try comes before Retry-After allows it, in ${form}`, async (t) => {
    const pass = frozen(t, { chance: 0, now: Date.UTC(2026, 10, 21, 12) });
    const { client, sent } = clientOf([refusal(429, "rate_limited", { "Retry-After": header }), answer(text)]);

    const call = client.embedText("a dog");
    await pass(6999);
    assert.equal(sent.length, 1);
    await pass(1);
    await call;

    assert.equal(sent.length, 2);
  });
}

test("a Retry-After that is neither seconds nor a date asks for nothing", async (t) => {
  const pass = frozen(t, { chance: 0 });
  const { client } = clientOf([refusal(503, "overloaded", { "Retry-After": "soon" }), answer(text)]);

  const call = client.embedText("a dog");
  await pass(1);

  await call;
});

test("a wait that the call's time doesn't allow isn't begun", async () => {
  const { client, sent } = clientOf([refusal(503, "overloaded", { "Retry-After": "60" })], { timeoutMs: 30_000 });

  const error = await rejected(client.embedText("a dog"));

  assert.ok(error instanceof ServiceError);
  assert.deepEqual([error.code, error.retryAfterMs, error.retryable, sent.length], ["overloaded", 60_000, true, 1]);
});

test("the fourth failure is the last", async (t) => {
  const pass = frozen(t, { chance: 0 });
  const { client, sent } = clientOf([overloaded]);

  const call = rejected(client.embedText("a dog"));
  for (const _ of [1, 2, 3]) {
    await pass(1);
  }

  assert.equal((await call).status, 503);
  assert.equal(sent.length, 4);
});

for (const status of [429, 502, 503, 504]) {
  test(`${status} is tried again`, async (t) => {
    const pass = frozen(t, { chance: 0 });
    const { client } = clientOf([refusal(status, "whatever"), answer(text)]);

    const call = client.embedText("a dog");
    await pass(1);

    await call;
  });
}

for (const status of [302, 400, 401, 404, 409, 413, 415, 422, 500]) {
  test(`${status} isn't tried again`, async () => {
    const { client, sent } = clientOf([refusal(status, "whatever")]);

    const error = await rejected(client.embedText("a dog"));

    assert.ok(error instanceof ServiceError);
    assert.deepEqual([error.status, error.code, error.retryable], [status, "whatever", false]);
    assert.deepEqual([error.detail, error.requestId, sent.length], ["Because.", "r-1", 1]);
    assert.equal(error instanceof AuthenticationError, status === 401);
  });
}

test("a failure in somebody else's words has the status as its code", async () => {
  const { client } = clientOf([new Response("<h1>Bad request</h1>", { status: 400 })]);

  const error = await rejected(client.embedText("a dog"));

  assert.deepEqual([error.code, error.status, error.requestId], ["http_400", 400, undefined]);
});

test("a connection that fails is tried again, and said in one word", async (t) => {
  const pass = frozen(t, { chance: 0 });
  const refused = () => Promise.reject(new TypeError("fetch failed", { cause: { code: "ECONNREFUSED" } }));
  const { client, sent } = clientOf([refused]);

  const call = rejected(client.embedText("a dog"));
  for (const _ of [1, 2, 3]) {
    await pass(1);
  }

  const error = await call;
  assert.ok(error instanceof ConnectionFailed);
  assert.match(error.message, /ECONNREFUSED/);
  assert.deepEqual([error.code, error.retryable, sent.length], ["connection_failed", true, 4]);
});

test("an answer that breaks off is a failed connection", async (t) => {
  t.mock.method(Math, "random", () => 0);
  let requests = 0;
  const client = await clientOfServer(t, (request, response) => {
    requests += 1;
    response.writeHead(200, { "Content-Length": 100 });
    response.write("{");
    setImmediate(() => response.destroy());
  });

  assert.ok((await rejected(client.embedText("a dog"))) instanceof ConnectionFailed);
  assert.equal(requests, 4);
});

test("the call's time is for all of its tries", async (t) => {
  const pass = frozen(t, { chance: 0 });
  const slow = ({ signal }) =>
    new Promise((resolve, reject) => {
      setTimeout(() => resolve(overloaded), 40);
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  const { client, sent } = clientOf([slow], { timeoutMs: 100 });

  const call = rejected(client.embedText("a dog"));
  for (const _ of [1, 2, 3]) {
    await pass(40);
    await pass(0);
  }

  const error = await call;
  assert.ok(error instanceof Timeout);
  assert.deepEqual([error.code, error.retryable], ["timeout", true]);
  assert.equal(error.message, "timeout: No answer within 0.1 seconds.");
  assert.ok(sent.length < 4);
});

test("a service that never answers takes no longer than the call's time", async (t) => {
  const client = await clientOfServer(t, () => {});

  assert.ok((await rejected(client.embedText("a dog", { timeoutMs: 50 }))) instanceof Timeout);
});

test("an answer that trickles in takes no longer than the call's time", async (t) => {
  const client = await clientOfServer(t, (request, response) => response.write("{"), { timeoutMs: 50 });

  assert.ok((await rejected(client.embedText("a dog"))) instanceof Timeout);
});

test("a signal ends a request at once, also for the service", async (t) => {
  const controller = new AbortController();
  const { promise: hungUp, resolve } = Promise.withResolvers();
  const client = await clientOfServer(t, (request, response) => {
    response.on("close", resolve);
    controller.abort(new Error("The visitor is gone."));
  });

  const error = await rejected(client.embedText("a dog", { signal: controller.signal }));

  assert.equal(error.message, "The visitor is gone.");
  await hungUp;
});

test("a signal ends the wait between tries at once", async (t) => {
  const pass = frozen(t);
  const controller = new AbortController();
  const { client, sent } = clientOf([overloaded]);

  const call = rejected(client.embedText("a dog", { signal: controller.signal }));
  await pass(10);
  controller.abort();

  assert.equal((await call).name, "AbortError");
  await pass(5000);
  assert.equal(sent.length, 1);
});

test("nothing is sent once a signal is aborted", async () => {
  const { client, sent } = clientOf([answer(text)]);

  const error = await rejected(client.embedText("a dog", { signal: AbortSignal.abort() }));

  assert.equal(error.name, "AbortError");
  assert.equal(sent.length, 0);
});

test("nothing stays with a signal that lives on", async () => {
  const { signal } = new AbortController();
  const { client } = clientOf([answer(text)]);

  await client.embedText("a dog", { signal });

  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("a redirect isn't followed, so that nobody else gets the token", async (t) => {
  const seen = [];
  const client = await clientOfServer(t, (request, response) => {
    seen.push(request.url);
    response.writeHead(307, { Location: "/elsewhere" }).end();
  });

  const error = await rejected(client.embedText("a dog"));

  assert.deepEqual([error.code, seen], ["http_307", ["/embed-text"]]);
});

const wrong = [
  ["no URL", { url: "embeddings" }, TypeError],
  ["another scheme", { url: "ftp://embeddings.example.org" }, TypeError],
  ["user info", { url: "https://me:secret@embeddings.example.org" }, TypeError],
  ["no token", { token: " " }, TypeError],
  ["a token that no header can hold", { token: "bad\ntoken" }, TypeError],
  ["no time", { timeoutMs: 0 }, RangeError],
  ["more time than a timer has", { timeoutMs: 2 ** 31 }, RangeError],
];
for (const [what, options, kind] of wrong) {
  test(`${what} is refused when the client is made`, () => {
    assert.throws(
      () => new EmbeddingsClient({ url: "http://localhost", token: TOKEN, ...options }),
      (error) => error instanceof kind && !/secret|bad/.test(error.message),
    );
  });
}

test("every error of a call is an EmbeddingsError that goes by its own name", async () => {
  const { client } = clientOf([refusal(401, "unauthorized")]);

  const error = await rejected(client.embedText("a dog"));

  assert.ok(error instanceof EmbeddingsError && error instanceof Error);
  assert.equal(`${error}`, "AuthenticationError: 401 unauthorized: Because. (request r-1)");
});

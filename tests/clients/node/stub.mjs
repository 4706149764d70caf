// What the tests share: a service that answers as it is told, in this process or on loopback, and what it would say.

import { createServer } from "node:http";
import { EmbeddingsClient } from "tate-embeddings-client";

export const TOKEN = "a-secret-that-nobody-sees";
export const ADDRESS = "http://embeddings.example.org";

export const origin = {
  dimensions: 2,
  model: "ViT-B-32",
  pretrained: "laion2b_s34b_b79k",
  device: "cpu",
  space: "5f0c1b2a9d3e4f67",
};
export const text = { ...origin, embedding: [0.6, 0.8], truncated: false };
export const image = { ...origin, embedding: [0.8, 0.6], sha256: "9f86", width: 3, height: 2 };

/** An answer of the service; `body` is JSON. */
export function answer(body, { status = 200, ...headers } = {}) {
  return new Response(JSON.stringify(body), { status, headers: { "X-Request-ID": "r-1", ...headers } });
}

export function refusal(status, code, headers = {}) {
  return answer({ detail: "Because.", code }, { status, ...headers });
}

/** A client of a service that gives these answers, one after the other, and then the last; `sent` is what it got. */
export function clientOf(answers, options = {}) {
  const sent = [];
  const fetch = async (url, { signal, ...request }) => {
    sent.push({ url, ...request });
    const next = answers[Math.min(sent.length, answers.length) - 1];
    return (await (typeof next === "function" ? next({ url, signal, ...request }) : next)).clone();
  };
  return { client: new EmbeddingsClient({ url: ADDRESS, token: TOKEN, fetch, ...options }), sent };
}

/** A client of a real server on loopback, which is gone when the test ends. */
export async function clientOfServer(test, respond, options = {}) {
  const server = createServer(respond);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  test.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return new EmbeddingsClient({ url: `http://127.0.0.1:${server.address().port}`, token: TOKEN, ...options });
}

/** What a promise is rejected with. */
export async function rejected(promise) {
  return await promise.then(
    () => Promise.reject(new Error("It should have failed.")),
    (error) => error,
  );
}

/** All that can go on without time passing has gone on. */
export async function settled() {
  for (let turn = 0; turn < 5; turn++) {
    await new Promise(setImmediate);
  }
}

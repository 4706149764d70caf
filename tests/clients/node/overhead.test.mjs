// What the client adds to a call, beside `fetch` alone: of the same calls, made in turn.

import assert from "node:assert/strict";
import { test } from "node:test";
import { EmbeddingsClient } from "tate-embeddings-client";

const { SERVICE_URL: url, SERVICE_TOKEN: token } = process.env;

const CALLS = 400;
const WARMING_UP = 100;

async function byFetch(query) {
  const answer = await fetch(`${url}/embed-text`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: JSON.stringify({ query }),
  });
  return await answer.json();
}

async function took(call) {
  const start = performance.now();
  await call();
  return performance.now() - start;
}

function median(numbers) {
  return numbers.toSorted((one, other) => one - other)[Math.floor(numbers.length / 2)];
}

test("a call takes at most a millisecond more than fetch alone", async (t) => {
  const client = new EmbeddingsClient({ url, token, dimensions: 512 });
  const times = { fetch: [], client: [] };
  for (let call = 0; call < CALLS + WARMING_UP; call++) {
    const [alone, ours] = [await took(() => byFetch("a dog")), await took(() => client.embedText("a dog"))];
    if (call >= WARMING_UP) {
      times.fetch.push(alone);
      times.client.push(ours);
    }
  }

  const added = median(times.client) - median(times.fetch);
  t.diagnostic(`fetch ${median(times.fetch).toFixed(3)} ms, the client adds ${added.toFixed(3)} ms`);
  assert.ok(added <= 1, `${added} ms`);
});

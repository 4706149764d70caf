// What the tests are told of the running instance, and what they all ask of a vector.

import assert from "node:assert/strict";

export const { SERVICE_URL: service, SERVICE_TOKEN: token, SERVICE_MODEL: model, IMAGE_URL: imageUrl } = process.env;

export async function picture() {
  const answer = await fetch(imageUrl);
  return Buffer.from(await answer.arrayBuffer());
}

export function assertUnit(vector, dimensions = 512) {
  assert.equal(vector.length, dimensions);
  assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-5);
}

export function assertSame(one, other) {
  const cosine = one.reduce((sum, number, place) => sum + number * other[place], 0);
  assert.ok(cosine > 0.99999, `cosine ${cosine}`);
}

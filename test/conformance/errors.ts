import assert from "node:assert/strict";
import { MeshError } from "../../src/mesh/adapter.ts";

export function assertMeshError(error: unknown): asserts error is MeshError {
  const kind = error instanceof Error ? error.name : typeof error;
  assert.ok(MeshError.is(error), `what an adapter throws or reports is a MeshError, and no ${kind}`);
  assert.ok(error.message.startsWith(`${error.code}: `), "the code leads the message");
  assert.ok(error.remedy.length > 0, "an error says what to do");
}

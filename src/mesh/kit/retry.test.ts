import { describe, expect, it } from "vitest";
import { MeshError } from "../errors.ts";
import { firstThatWorks, forEach, polling, restarting, retrying } from "./retry.ts";

const failure = new MeshError("ATTACHE_MESH_UNAVAILABLE", "no leader");

/** Fails as often as there are errors, then gives `value`. */
function failing<T>(errors: readonly Error[], value: T): () => Promise<T> {
  const left = [...errors];
  return () => {
    const [error] = left.splice(0, 1);
    return error === undefined ? Promise.resolve(value) : Promise.reject(error);
  };
}

describe("retrying", () => {
  it("gives the result after the failures that are outlived", async () => {
    const outlived: unknown[] = [];
    const recover = (error: unknown) => Promise.resolve(void outlived.push(error));
    expect(await retrying(failing([failure, failure], 7), recover)).toBe(7);
    expect(outlived).toEqual([failure, failure]);
  });

  it("ends with what the recovery throws", async () => {
    const end = new Error("given up");
    await expect(retrying(failing([failure], 7), () => Promise.reject(end))).rejects.toBe(end);
  });
});

describe("restarting", () => {
  it("goes on with the next stream after a failure, and ends with what the recovery throws", async () => {
    const end = new Error("given up");
    let started = 0;
    const values = restarting(
      () => Promise.resolve(streamOf((started += 1), failure)),
      (error) => (error === failure && started < 3 ? Promise.resolve() : Promise.reject(end)),
    );
    const seen: number[] = [];
    await expect(forEach(values, (value) => seen.push(value))).rejects.toBe(end);
    expect(seen).toEqual([1, 2, 3]);
  });

  it("takes a stream that ends by itself for a failure", async () => {
    const reasons: unknown[] = [];
    const values = restarting(
      () => Promise.resolve(streamOf(1)),
      async (error) => {
        reasons.push(error);
        await Promise.resolve();
        throw error;
      },
    );
    await expect(forEach(values, () => undefined)).rejects.toThrow("ended without an error");
    expect(reasons).toHaveLength(1);
  });
});

describe("the first that works", () => {
  it("is used, and those after it are not tried", async () => {
    const tried: number[] = [];
    const found = await firstThatWorks([1, 2, 3], (item) => {
      tried.push(item);
      return item === 1 ? Promise.reject(failure) : Promise.resolve(`item ${item}`);
    });
    expect(found).toBe("item 2");
    expect(tried).toEqual([1, 2]);
  });

  it("is none of nothing, and the last reason is given where all fail", async () => {
    await expect(firstThatWorks([], () => Promise.resolve())).rejects.toThrow("nothing to try");
    const reasons = ["one", "two"].map((text) => new MeshError("ATTACHE_MESH_TLS", text));
    await expect(firstThatWorks(reasons, (reason) => Promise.reject(reason))).rejects.toBe(reasons[1]);
  });

  it("is not looked for any more after a bug", async () => {
    const bug = new TypeError("a bug");
    let tried = 0;
    const work = () => {
      tried += 1;
      return Promise.reject(bug);
    };
    await expect(firstThatWorks([1, 2], work)).rejects.toBe(bug);
    expect(tried).toBe(1);
  });
});

it("polling asks, pauses after each answer that was read, and ends with what either throws", async () => {
  const end = new Error("over");
  let pauses = 0;
  const answers = polling(
    () => Promise.resolve(pauses),
    () => {
      pauses += 1;
      return pauses < 3 ? Promise.resolve() : Promise.reject(end);
    },
  );
  const seen: number[] = [];
  await expect(forEach(answers, (answer) => seen.push(answer))).rejects.toBe(end);
  expect(seen).toEqual([0, 1, 2]);
});

async function* streamOf<T>(value: T, end?: Error): AsyncGenerator<T> {
  yield await Promise.resolve(value);
  if (end !== undefined) throw end;
}

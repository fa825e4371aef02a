import { describe, expect, it } from "vitest";
import { CredentialError } from "../../credentials/errors.ts";
import { codeOf, type ErrorRow, meshErrorOf, reading, rowFor } from "./errors.ts";

const table: readonly ErrorRow[] = [
  { status: [500], text: /leader/, code: "ATTACHE_MESH_UNAVAILABLE", problem: "no leader" },
  {
    status: [403],
    code: "ATTACHE_MESH_FORBIDDEN",
    problem: "may not",
    remedy: "Grant it.",
    retryable: false,
  },
  { statusFrom: 500, code: "ATTACHE_MESH_UNAVAILABLE", problem: "not now" },
];

describe("a row of an error table", () => {
  it.each([
    [500, "No cluster leader", "no leader"],
    [500, "", "not now"],
    [503, "leader", "not now"],
    [403, "anything", "may not"],
    [404, "", undefined],
  ])("fits %i %j as %j", (status, text, problem) => {
    expect(rowFor(table, status, text)?.problem).toBe(problem);
  });

  it("becomes an error, with the detail behind its problem", () => {
    const row = rowFor(table, 403, "");
    if (row === undefined) throw new Error("no row");
    expect(meshErrorOf(row, " (status 403)", { retryAfterMs: 7 })).toMatchObject({
      code: "ATTACHE_MESH_FORBIDDEN",
      problem: "may not (status 403)",
      remedy: "Grant it.",
      retryable: false,
      retryAfterMs: 7,
    });
  });
});

describe("reading what a peer sent", () => {
  it("makes a MeshError of what is no credential, and leaves any other error alone", () => {
    expect(reading("the answer", () => 7)).toBe(7);
    const cause = new CredentialError("no certificate");
    const read = (error: Error) => () =>
      reading("the answer", () => {
        throw error;
      });
    expect(read(cause)).toThrow("ATTACHE_MESH_MALFORMED: the answer: no certificate");
    expect(read(new TypeError("a bug"))).toThrow(TypeError);
  });
});

it("codeOf knows the code of an error, and of nothing else", () => {
  expect(codeOf(Object.assign(new Error(), { code: "EACCES" }))).toBe("EACCES");
  expect(codeOf(new Error())).toBeUndefined();
  expect(codeOf({ code: "EACCES" })).toBeUndefined();
});

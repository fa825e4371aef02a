import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { grpcError, type GrpcPeer, isServiceError } from "./errors.ts";

const peer: GrpcPeer = {
  name: "the agent",
  table: [
    {
      status: [status.PERMISSION_DENIED],
      code: "ATTACHE_MESH_FORBIDDEN",
      problem: "there is no entry",
      remedy: "Make one.",
    },
  ],
};

describe("the status of a call", () => {
  it.each([
    [
      status.UNAUTHENTICATED,
      "who?",
      "ATTACHE_MESH_UNAUTHENTICATED",
      "the agent does not know attaché (UNAUTHENTICATED): who?",
    ],
    [
      status.RESOURCE_EXHAUSTED,
      "",
      "ATTACHE_MESH_RATE_LIMITED",
      "the agent asks for fewer requests (RESOURCE_EXHAUSTED)",
    ],
    [
      status.UNAVAILABLE,
      "no leader",
      "ATTACHE_MESH_UNAVAILABLE",
      "the agent cannot serve now (UNAVAILABLE): no leader",
    ],
    [status.UNKNOWN, "oops", "ATTACHE_MESH_UNAVAILABLE", "the agent cannot serve now (UNKNOWN): oops"],
    [
      status.UNAVAILABLE,
      "No connection established. Last error: connect ECONNREFUSED 127.0.0.1:1. Resolution note: ",
      "ATTACHE_MESH_UNREACHABLE",
      "the agent cannot be reached (UNAVAILABLE): No connection established. Last error: connect ECONNREFUSED 127.0.0.1:1. Resolution note:",
    ],
    [
      status.UNAVAILABLE,
      "Name resolution failed for target dns:nowhere.invalid:1",
      "ATTACHE_MESH_UNREACHABLE",
      "the agent cannot be reached (UNAVAILABLE): Name resolution failed for target dns:nowhere.invalid:1",
    ],
    [
      status.RESOURCE_EXHAUSTED,
      "Received message larger than max (2000000 vs 1048576)",
      "ATTACHE_MESH_MALFORMED",
      "the agent sent an answer that is larger than attaché reads (RESOURCE_EXHAUSTED): Received message larger than max (2000000 vs 1048576)",
    ],
  ])("%i with %j says so", (code, details, meshCode, problem) => {
    expect(grpcError(serviceError(code, details), peer)).toMatchObject({ code: meshCode, problem });
  });

  it("says what this kind of server means by it, with its own remedy", () => {
    expect(grpcError(serviceError(status.PERMISSION_DENIED, "no identity issued"), peer)).toMatchObject({
      code: "ATTACHE_MESH_FORBIDDEN",
      problem: "there is no entry (PERMISSION_DENIED): no identity issued",
      remedy: "Make one.",
    });
  });

  it("quotes the peer without what was sent to it, and keeps no cause that could", () => {
    const error = grpcError(serviceError(status.INTERNAL, "bad token hunter2\n"), peer, {
      secrets: ["hunter2"],
    });
    expect(error.problem).toBe("the agent cannot serve now (INTERNAL): bad token [removed]");
    expect(error.cause).toBeUndefined();
  });

  it("is distinguished from other errors", () => {
    expect(isServiceError(serviceError(status.OK, ""))).toBe(true);
    expect(isServiceError(Object.assign(new Error("x"), { code: "ENOENT" }))).toBe(false);
    expect(isServiceError(undefined)).toBe(false);
  });
});

function serviceError(code: status, details: string): ServiceError {
  return Object.assign(new Error(details), { code, details, metadata: new Metadata() });
}

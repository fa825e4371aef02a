import { describe, expect, it } from "vitest";
import { problemOf } from "./reply.ts";

const token = "5f1c2a6e-4a57-4a6e-9d0f-0c3b1f6d2e11";

describe("an answer of Consul", () => {
  it.each([
    [
      403,
      "Permission denied: token with AccessorID 'x' lacks permission 'service:write' on \"web\"",
      "FORBIDDEN",
    ],
    [403, "Permission denied: anonymous token lacks permission 'service:write' on \"web\".", "FORBIDDEN"],
    [500, "rpc error making call: Permission denied", "FORBIDDEN"],
    [403, "ACL not found", "UNAUTHENTICATED"],
    [403, "token does not exist: ACL not found", "UNAUTHENTICATED"],
    [500, "rpc error making call: rpc error making call: ACL not found", "UNAUTHENTICATED"],
    [401, "ACL support disabled", "UNAUTHENTICATED"],
    [429, "Rate limit reached, try again later", "RATE_LIMITED"],
    [429, "Your IP is issuing too many concurrent connections, please rate limit your calls", "RATE_LIMITED"],
    [500, "rpc error making call: rate limit reached, try again later", "RATE_LIMITED"],
    [500, "No cluster leader", "UNAVAILABLE"],
    [500, "rpc error: failed to get conn: no leader", "UNAVAILABLE"],
    [500, "CA is uninitialized and unable to sign certificates yet: no root certificate", "UNAVAILABLE"],
    [500, "Connect must be enabled in order to use this endpoint", "UNAVAILABLE"],
    [500, "No path to datacenter", "UNAVAILABLE"],
    [500, "internal error: CA provider is nil: provider not initialized", "UNAVAILABLE"],
    [503, "", "UNAVAILABLE"],
    [502, "<html>Bad Gateway</html>", "UNAVAILABLE"],
    [400, "Client sent an HTTP request to an HTTPS server.", "TLS"],
    [400, "Invalid index", "MALFORMED"],
    [404, "Invalid URL path: not a recognized HTTP API endpoint", "MALFORMED"],
    [301, "", "MALFORMED"],
    [418, "I am a teapot", "MALFORMED"],
  ])("of status %i that says %j is ATTACHE_MESH_%3$s", (status, text, code) => {
    const problem = problemOf({ status, headers: {}, text });
    expect(problem?.code).toBe(`ATTACHE_MESH_${code}`);
    expect(problem?.problem).toContain(`(status ${status}`);
    expect(problem?.remedy).not.toBe("");
    expect(problem?.retryable).toBe(true);
  });

  it.each([
    [500, "No path to datacenter", "`datacenter`"],
    [500, "No cluster leader", "consul operator raft list-peers"],
    [500, "Connect must be enabled in order to use this endpoint", "connect { enabled = true }"],
    [403, "Permission denied", 'service "NAME" { policy = "write" }'],
    [429, "too many concurrent connections", "http_max_conns_per_client"],
    [400, "Client sent an HTTP request to an HTTPS server.", "https://"],
  ])("of status %i that says %j tells to look at %s", (status, text, remedy) => {
    expect(problemOf({ status, headers: {}, text })?.remedy).toContain(remedy);
  });

  it.each([200, 204])("of status %i is no problem", (status) => {
    expect(problemOf({ status, headers: {}, text: "ACL not found" })).toBeUndefined();
  });

  it.each([
    ["7", 7000],
    ["0", 0],
    ["soon", undefined],
    ["-3", undefined],
    [undefined, undefined],
  ])("with Retry-After %j asks for %j ms", (header, ms) => {
    const headers = header === undefined ? {} : { "retry-after": header };
    expect(problemOf({ status: 429, headers, text: "" })?.retryAfterMs).toBe(ms);
  });

  it("does not bring back the token, control characters or endless text", () => {
    const text = `\u001b[31mno token ${token}\r\n${"x ".repeat(10_000)}`;
    const { message = "" } = problemOf({ status: 403, headers: {}, text }, [token]) ?? {};
    expect(message).toContain("no token [removed]");
    expect(message).not.toContain(token);
    expect(message).not.toContain("\u001b");
    expect(message.length).toBeLessThan(500);
  });
});

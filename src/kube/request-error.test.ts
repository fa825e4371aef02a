import { describe, expect, it } from "vitest";
import { type Asked, answerError } from "./request-error.ts";

const list = { method: "GET", path: "/api/v1/namespaces/edge/secrets" };
const refused = (message: string, more: object = {}) =>
  JSON.stringify({ kind: "Status", status: "Failure", message, ...more });
const forbidden = refused(
  'secrets is forbidden: User "system:serviceaccount:edge:attache" cannot list resource "secrets" in API group ""',
  { reason: "Forbidden", details: { kind: "secrets" } },
);

function errorOf(status: number, text: string, asked: Asked = list, secrets: readonly string[] = []) {
  return answerError(asked, { status, text }, secrets);
}

describe("an answer that is not what was asked for", () => {
  it.each([
    [401, refused("Unauthorized", { reason: "Unauthorized" }), "UNAUTHENTICATED"],
    [403, forbidden, "FORBIDDEN"],
    [403, refused('pods "x" is forbidden: violates PodSecurity "restricted"'), "DENIED"],
    [422, refused('admission webhook "x.example" denied the request: no'), "DENIED"],
    [404, "404 page not found\n", "KIND_UNKNOWN"],
    [404, refused('secrets "x" not found', { details: { name: "x", kind: "secrets" } }), "NOT_FOUND"],
    [409, refused("exists", { reason: "AlreadyExists" }), "EXISTS"],
    [409, refused("was modified", { reason: "Conflict" }), "CONFLICT"],
    [410, refused("too old resource version", { reason: "Expired" }), "EXPIRED"],
    [422, refused("is invalid", { reason: "Invalid" }), "INVALID"],
    [429, refused("too many requests", { reason: "TooManyRequests" }), "THROTTLED"],
    [500, refused("etcdserver: leader changed"), "UNAVAILABLE"],
    [502, "<html>Bad Gateway</html>", "UNAVAILABLE"],
    [302, "", "INVALID"],
  ])("with status %i and %s is %s", (status, text, code) => {
    const error = errorOf(status, text);
    expect(error.code).toBe(`ATTACHE_KUBERNETES_${code}`);
    expect(error.status).toBe(status);
  });

  it.each([
    [{ ...list }, "may not list secrets in namespace edge"],
    [{ ...list, isWatch: true }, "may not watch secrets in namespace edge"],
    [{ ...list, method: "POST" }, "may not create secrets in namespace edge"],
    [{ ...list, method: "PATCH" }, "may not patch secrets in namespace edge"],
    [{ ...list, method: "PUT", path: `${list.path}/x` }, "may not update secrets in namespace edge"],
    [{ ...list, path: `${list.path}/x` }, "may not get secrets in namespace edge"],
    [{ ...list, method: "DELETE", path: `${list.path}/x` }, "may not delete secrets in namespace edge"],
    [
      { method: "PATCH", path: "/apis/attache.dev/v1alpha1/namespaces/edge/meshcertificates/web/status" },
      "may not patch meshcertificates.attache.dev/status in namespace edge",
    ],
    [
      { method: "GET", path: "/apis/getambassador.io/v3alpha1/mappings" },
      "may not list mappings.getambassador.io in the whole cluster",
    ],
    [{ method: "GET", path: "/version" }, "may not get /version"],
  ])("says who may not do what: %j", (asked, problem) => {
    const error = errorOf(403, forbidden, asked);
    expect(error.problem).toBe(`system:serviceaccount:edge:attache ${problem}`);
    expect(error.remedy).toContain("Grant system:serviceaccount:edge:attache");
  });

  it.each([
    'users "jane" is forbidden: User "ann" cannot impersonate resource "users" in API group "" at the cluster scope',
    'secrets is forbidden: User "ann" cannot impersonate-on:user-info:list resource "secrets" in API group "" in the namespace "edge"',
  ])("says who may not impersonate, and not what was asked for as another user: %s", (message) => {
    const { problem, remedy } = errorOf(403, refused(message, { reason: "Forbidden" }));
    expect(problem).toBe("ann may not impersonate another user");
    expect(remedy).toContain('Grant ann "impersonate" on users');
  });

  it("says how long to wait, by the header, or else by its body", () => {
    const text = refused("wait", { details: { retryAfterSeconds: 2 } });
    expect(errorOf(429, text).retryAfterMs).toBe(2000);
    expect(answerError(list, { status: 429, text, retryAfter: "7" }, []).retryAfterMs).toBe(7000);
    expect(
      answerError(list, { status: 503, text: "", retryAfter: "tomorrow" }, []).retryAfterMs,
    ).toBeUndefined();
  });

  it("shows nothing of what was sent to authenticate, nor what is long", () => {
    const { message } = errorOf(500, refused(`token tok-123 is odd ${"x ".repeat(1000)}`), list, ["tok-123"]);
    expect(message).toContain("token [removed] is odd");
    expect(message.length).toBeLessThan(450);
  });
});

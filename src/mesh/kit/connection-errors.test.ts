import { expect, it } from "vitest";
import { connectionError } from "./connection-errors.ts";

const remedies = {
  name: "name",
  time: "time",
  plainText: "plain text",
  untrusted: "untrusted",
  dns: "DNS",
  network: "network",
};

it.each([
  ["ERR_TLS_CERT_ALTNAME_INVALID", "ATTACHE_MESH_TLS", "name"],
  ["CERT_HAS_EXPIRED", "ATTACHE_MESH_TLS", "time"],
  ["CERT_NOT_YET_VALID", "ATTACHE_MESH_TLS", "time"],
  ["ERR_SSL_WRONG_VERSION_NUMBER", "ATTACHE_MESH_TLS", "plain text"],
  ["EPROTO", "ATTACHE_MESH_TLS", "plain text"],
  ["SELF_SIGNED_CERT_IN_CHAIN", "ATTACHE_MESH_TLS", "untrusted"],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "ATTACHE_MESH_TLS", "untrusted"],
  ["ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE", "ATTACHE_MESH_TLS", "untrusted"],
  ["ENOTFOUND", "ATTACHE_MESH_UNREACHABLE", "DNS"],
  ["ECONNREFUSED", "ATTACHE_MESH_UNREACHABLE", "network"],
  ["ECONNRESET", "ATTACHE_MESH_UNREACHABLE", "network"],
  ["EHOSTUNREACH", "ATTACHE_MESH_UNREACHABLE", "network"],
])("a connection that fails with %s is %s, with the remedy for that", (code, meshCode, remedy) => {
  const cause = Object.assign(new Error("failed"), { code });
  const error = connectionError(cause, "peer:1", remedies);
  expect(error).toMatchObject({ code: meshCode, remedy, cause });
  expect(error.problem).toContain("peer:1");
  expect(error.problem).toContain(code);
});

it("says more where the adapter knows more", () => {
  const more = { ...remedies, client: "client", refused: "refused", reset: "reset" };
  const remedyOf = (code: string) =>
    connectionError(Object.assign(new Error(), { code }), "peer", more).remedy;
  expect(remedyOf("ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED")).toBe("client");
  expect(remedyOf("ECONNREFUSED")).toBe("refused");
  expect(remedyOf("ECONNRESET")).toBe("reset");
});

it("knows of an error without a code only that the peer cannot be reached", () => {
  expect(connectionError(new Error("odd"), "peer:1", remedies)).toMatchObject({
    code: "ATTACHE_MESH_UNREACHABLE",
    problem: "peer:1 cannot be reached (unknown error)",
  });
});

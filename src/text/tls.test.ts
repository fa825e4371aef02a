import { expect, it } from "vitest";
import { sniOf } from "./tls.ts";

it.each([
  ["consul.example", "consul.example"],
  ["consul.example.", "consul.example"],
  ["localhost", "localhost"],
  ["10.0.0.1", undefined],
  ["::1", undefined],
  ["[::1]", undefined],
  [".", undefined],
  ["", undefined],
])("the server name in a TLS handshake with %j is %j", (host, name) => {
  expect(sniOf(host)).toBe(name);
});

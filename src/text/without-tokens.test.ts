import { createHash, generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { beginning, withoutTokens } from "./without-tokens.ts";

const jwt = `${Buffer.from('{"alg":"RS256"}').toString("base64url")}.${Buffer.from('{"sub":"x"}').toString("base64url")}.c2ln`;
const token = "8b2d1fd0-f5c1-4e49-a6b0-5a9a7e4a7c11";

const privateKeys = (["pkcs8", "sec1"] as const).flatMap((type) =>
  ["P-256", "P-384"].map(
    (namedCurve) =>
      generateKeyPairSync("ec", {
        namedCurve,
        publicKeyEncoding: { type: "spki", format: "pem" },
        privateKeyEncoding: { type, format: "pem" },
      }).privateKey,
  ),
);

describe("text with a secret", () => {
  it.each(privateKeys)("loses a private key in PEM over several lines, and what is around stays", (pem) => {
    expect(withoutTokens(`Error: refused\n${pem}\n    at parse (file.ts:1:1)`)).toBe(
      "Error: refused\n[removed]\n\n    at parse (file.ts:1:1)",
    );
  });

  it.each(privateKeys)("loses a private key's body without its frame", (pem) => {
    const body = pem.replace(/-----.*-----/g, "").replaceAll("\n", "");
    expect(withoutTokens(`got ${body}`)).toBe("got [removed]");
  });

  it.each([
    ["a private key that is cut", "see -----BEGIN EC PRIVATE KEY-----\nMHcC\nAQEE", "see [removed]"],
    ["a JWT", `got ${jwt}, which has expired`, "got [removed], which has expired"],
    ["a bearer", `Authorization: Bearer ${token}`, "Authorization: Bearer [removed]"],
    ["a named token", `X-Consul-Token: ${token}\nAccept: */*`, "X-Consul-Token: [removed]\nAccept: */*"],
    ["a token in JSON within JSON", `{\\"SecretID\\":\\"${token}\\"}`, '{\\"SecretID\\":\\"[removed]\\"}'],
    ["a token in a query", `GET /v1?token=${token}&x=1`, "GET /v1?token=[removed]&x=1"],
    [
      "a password in a URL",
      "connect to http://edge:hunter2@consul:8500",
      "connect to http://edge:[removed]@consul:8500",
    ],
  ])("loses %s", (_what, text, shown) => {
    expect(withoutTokens(text)).toBe(shown);
  });

  it("loses 32 bytes that look random, in base64url", () => {
    const texts = Array.from({ length: 200 }, (_, seed) =>
      createHash("sha256").update(`${seed}`).digest("base64url"),
    );
    expect(texts.map(withoutTokens)).toEqual(texts.map(() => "[removed]"));
  });
});

describe("text without a secret", () => {
  it.each([
    ["a path with capitals and digits", "open /Users/JaneDoe/Projects/Attache2/node_modules/Thing/main.js"],
    [
      "a temporary folder of macOS",
      "open /var/folders/8s/zyxvpxvq6csfxvn_n0000000000000/T/attache-XyZ12a/lock",
    ],
    [
      "a frame of a stack",
      "    at AsyncGenerator.watchSecretsOfAgent (file:///srv/attache/dist/adapters/istio/mesh.js:12:9)",
    ],
    ["a fingerprint", `root ${"0123456789abcdef".repeat(4)} is unknown`],
    ["a SPIFFE ID", "spiffe://11111111-2222-3333-4444-555555555555.consul/ns/default/dc/dc1/svc/web"],
    ["an address with a port", "connect ECONNREFUSED http://127.0.0.1:8500/v1/agent@x"],
    [
      "words beside those that name tokens",
      "bearer authentication failed, invalid token: signature is wrong",
    ],
  ])("keeps %s", (_what, text) => {
    expect(withoutTokens(text)).toBe(text);
  });
});

describe("the beginning of a text", () => {
  it("is all of it when it fits", () => {
    expect(beginning("one two", 7)).toBe("one two");
  });

  it("ends before the word that the cut goes through", () => {
    expect(beginning("one two three", 9)).toBe("one two ");
    expect(beginning("onetwothree", 9)).toBe("");
  });
});

it(
  "takes time in proportion to a hostile text's length: its square would run into the test's limit",
  { tags: ["heavy"] },
  () => {
    const hostile = ["-----BEGIN ", "://a:", 'token="', "eyJ", "aA1", "bearer ", "A"];
    for (const piece of hostile) expect(withoutTokens(piece.repeat(200_000)).length).toBeGreaterThan(0);
  },
);

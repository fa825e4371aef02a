import { generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { anyText } from "../../test/fixtures/any-text.ts";
import { sanitizePeerText } from "./peer-text.ts";

const pem = generateKeyPairSync("ec", {
  namedCurve: "P-256",
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
}).privateKey;
const body = pem.split("\n")[1] ?? "";
const jwt = `${Buffer.from('{"alg":"RS256"}').toString("base64url")}.${Buffer.from('{"sub":"x"}').toString("base64url")}.c2ln`;

describe("text of a peer", () => {
  it.each([
    ["plain words", "Permission denied: token lacks service:write on web"],
    [
      "a SPIFFE ID",
      "spiffe://11111111-2222-3333-4444-555555555555.consul/ns/default/dc/dc1/svc/web is unknown",
    ],
    ["a long path", `open /var/run/secrets/${"a-long-name/".repeat(8)}socket: no such file`],
    ["a fingerprint", `root ${"0123456789abcdef".repeat(4)} is unknown`],
    [
      "words beside those that name tokens",
      "bearer authentication failed, invalid token: signature is wrong",
    ],
    ["other scripts", "Zertifikat für größere Namen, 証明書"],
  ])("keeps %s as it is", (_what, text) => {
    expect(sanitizePeerText(text)).toBe(text);
  });

  it.each([
    ["line ends", "one\r\ntwo\tthree\u2028four", "one two three four"],
    ["colours", "\u001b[31mred\u001b[0m", "red"],
    ["what sets a terminal's title", "\u001b]0;owned\u0007text", "text"],
    ["control characters", "a\u0000b\u0007c\u009bd", "a b c d"],
    ["bidirectional overrides", "abc\u202ecod.exe\u2066", "abccod.exe"],
    ["zero-width characters", "to\u200bken\ufeff", "token"],
    ["half a surrogate pair", "a\ud800b", "ab"],
  ])("loses %s", (_what, text, shown) => {
    expect(sanitizePeerText(text)).toBe(shown);
  });

  it.each([
    ["a private key", `key: ${pem} was refused`, "key: [removed] was refused"],
    ["a private key with escaped line ends", JSON.stringify({ pem }), '{"pem":"[removed]\\n"}'],
    ["a private key that is cut", `see ${pem.slice(0, 100)}`, "see [removed]"],
    ["a private key's body alone", `see ${body} there`, "see [removed] there"],
    ["a JWT", `got ${jwt}, which has expired`, "got [removed], which has expired"],
    ["a bearer", "Authorization: Bearer 0123456789abcdef0", "Authorization: Bearer [removed]"],
    [
      "a named token",
      'X-Consul-Token: "8b2d1fd0-f5c1-4e49-a6b0-5a9a7e4a7c11"',
      'X-Consul-Token: "[removed]"',
    ],
    [
      "a token in a query",
      "GET /v1?token=8b2d1fd0-f5c1-4e49-a6b0-5a9a7e4a7c11&x=1",
      "GET /v1?token=[removed]&x=1",
    ],
  ])("loses %s", (_what, text, shown) => {
    expect(sanitizePeerText(text)).toBe(shown);
  });

  it("loses the given secrets in any case, and those that look like patterns", () => {
    const secrets = ["8b2d1fd0-F5c1", "a.b+(c"];
    expect(sanitizePeerText("ACL 8B2D1FD0-f5C1 or A.B+(C, not aXb", { secrets })).toBe(
      "ACL [removed] or [removed], not aXb",
    );
  });

  it("loses the given secrets, also where line ends or invisible characters are put in between", () => {
    const secrets = ["8b2d1fd0-f5c1", "two\nlines", ""];
    expect(sanitizePeerText("ACL 8b2d\u200b1fd0-f5c1 not found, two\r\nlines", { secrets })).toBe(
      "ACL [removed] not found, [removed]",
    );
  });

  it.each(["Hunter.2+", "8b2d1fd0-f5c1-4e49", "(a|b)*$", "\\[x]"])(
    "loses %j however it is written",
    (secret) => {
      const secrets = [secret];
      const text = `see ${secret.toUpperCase()}, ${secret.toLowerCase()} and ${secret}`;
      expect(sanitizePeerText(text, { secrets })).toBe("see [removed], [removed] and [removed]");
    },
  );

  it("is cut to 300 characters, and never within a character", () => {
    expect(sanitizePeerText("a b ".repeat(100))).toHaveLength(300);
    expect(sanitizePeerText("a b ".repeat(100))).toMatch(/a b…$/);
    expect(sanitizePeerText(`${"a ".repeat(149)}🚀 and so on`).isWellFormed()).toBe(true);
  });

  it("shows no beginning of a secret that the bound on what is read goes through", () => {
    const secret = "8b2d1fd0-f5c1-4e49";
    const shown = sanitizePeerText(`seen: ${"\u200b".repeat(11_984)}${secret}`, { secrets: [secret] });
    expect(shown).toBe("seen:");
  });

  it(
    "is always one line of at most 300 visible characters, and stays as it is when it is cleaned again",
    { tags: ["search"] },
    () => {
      fc.assert(
        fc.property(anyText({ maxLength: 1000 }), (text) => {
          const shown = sanitizePeerText(text);
          expect(shown.length).toBeLessThanOrEqual(300);
          expect(shown).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
          expect(shown.isWellFormed()).toBe(true);
          expect(sanitizePeerText(shown)).toBe(shown);
        }),
      );
    },
  );
});

import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { MeshError } from "../mesh/errors.ts";
import type { Level } from "./loggable.ts";
import { createLogger, type Logger } from "./logger.ts";

const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
const der = privateKey.export({ type: "pkcs8", format: "der" });
const jwk = privateKey.export({ format: "jwk" });
const token = "8b2d1fd0-f5c1-4e49-a6b0-5a9a7e4a7c11";

/** All that is private in the key, in every encoding that a log might show, and the token. */
const secrets = [
  token,
  jwk.d,
  Buffer.from(jwk.d ?? "", "base64url").toString("hex"),
  der.toString("base64").slice(0, 64),
  der.toJSON().data.join(),
];

interface Line extends Record<string, unknown> {
  readonly err?: Record<string, unknown>;
}

function log(write: (logger: Logger) => void, level: Level = "debug"): { text: string; lines: Line[] } {
  let text = "";
  write(createLogger(level, { write: (line) => void (text += line) }));
  return {
    text,
    lines: text
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Line),
  };
}

function chain(...errors: readonly Error[]): Error {
  return errors.reduceRight((cause, error) => Object.assign(error, { cause }));
}

describe("a line", () => {
  it("is JSON with level, time, message, and the fields of all parents", () => {
    const { lines } = log((logger) =>
      logger.child({ mesh: "consul" }).child({ identity: "edge/web" }).warn({ writes: 2 }, "published"),
    );
    expect(lines).toEqual([
      {
        level: "warn",
        time: expect.stringMatching(/^\d{4}-.*Z$/) as string,
        msg: "published",
        mesh: "consul",
        identity: "edge/web",
        writes: 2,
      },
    ]);
  });

  it("needs no fields", () => {
    expect(log((logger) => logger.info("started")).lines).toMatchObject([{ level: "info", msg: "started" }]);
  });

  it("keeps its message beside a field of that name", () => {
    expect(log((logger) => logger.info({ level: "x" }, "kept")).text).toContain('"msg":"kept"');
  });

  it.each(["debug", "info", "warn", "error"] as const)(
    "is written from the level %s on, and not above",
    (level) => {
      const say = (logger: Logger) => logger[level]({}, "said");
      expect(log(say, level).lines).toMatchObject([{ level }]);
      expect(log(say, "silent").lines).toEqual([]);
      expect(log((logger) => logger.debug("said"), level).lines).toHaveLength(level === "debug" ? 1 : 0);
    },
  );

  it("shows dates, big integers, maps, sets and what has a form of its own as what they mean", () => {
    const fields = {
      at: new Date(0),
      never: new Date(NaN),
      size: 2n ** 64n,
      map: new Map([["a", 1]]),
      set: new Set(["b"]),
      url: new URL("http://consul:8500"),
    };
    expect(log((logger) => logger.info(fields, "")).lines).toMatchObject([
      {
        at: "1970-01-01T00:00:00.000Z",
        never: null,
        size: "18446744073709551616",
        map: { a: 1 },
        set: ["b"],
        url: "http://consul:8500/",
      },
    ]);
  });
});

describe("an error in a line", () => {
  it("of attaché shows code, message, remedy and causes, and no stack", () => {
    const error = new MeshError("ATTACHE_MESH_UNREACHABLE", "no answer", {
      remedy: "Look.",
      cause: Object.assign(new Error("refused"), { code: "ECONNREFUSED" }),
    });
    const [line] = log((logger) => logger.warn({ err: error }, "away")).lines;
    expect(line?.err).toEqual({
      type: "MeshError",
      code: "ATTACHE_MESH_UNREACHABLE",
      message: "ATTACHE_MESH_UNREACHABLE: no answer",
      remedy: "Look.",
      cause: {
        type: "Error",
        code: "ECONNREFUSED",
        message: "refused",
        stack: expect.stringContaining("logger.test.ts") as string,
      },
    });
  });

  it("may stand for the fields, and may hold others", () => {
    const [line] = log((logger) =>
      logger.error(new AggregateError([new Error("one"), new TypeError("two")], "both"), "bug"),
    ).lines;
    expect(line).toMatchObject({
      msg: "bug",
      err: { message: "both", errors: [{ message: "one" }, { type: "TypeError" }] },
    });
  });

  it("shows nothing else that a library hung on it", () => {
    const error = Object.assign(new Error("401"), {
      request: { path: "/v1", headers: [`X-Consul-Token`, token] },
    });
    expect(log((logger) => logger.warn({ err: error }, "refused")).text).not.toMatch(/request|headers|8b2d/);
  });

  it("that is its own cause ends", () => {
    const error = new Error("round");
    error.cause = error;
    expect(log((logger) => logger.warn({ err: error }, "and round")).text).toContain("[deeper]");
  });
});

describe("no secret is written", () => {
  const stackOfPem = new Error(`cannot parse\n${pem}`);
  const named = (name: string) => ({ [name]: token });
  const cases: readonly (readonly [string, (logger: Logger) => void])[] = [
    [
      "that is a KeyObject",
      (logger) => logger.info({ credential: { key: privateKey, leaf: privateKey, list: [privateKey] } }, ""),
    ],
    ["that is a key in PEM, in a field", (logger) => logger.info({ answer: { body: pem } }, "")],
    ["that is a key in PEM, in the message", (logger) => logger.info({}, `got ${pem}`)],
    ["that is a key in PEM, in a message alone", (logger) => logger.info(`got ${pem}`)],
    [
      "that is a key in PEM, as JSON in JSON",
      (logger) => logger.info({ body: JSON.stringify(JSON.stringify({ pem })) }, ""),
    ],
    ["that is a key in PEM, in the name of a field", (logger) => logger.info({ [pem]: 1 }, "")],
    [
      "that is a key in PEM, in an error's message and stack",
      (logger) => logger.error({ err: stackOfPem }, "bug"),
    ],
    [
      "that is a key in PEM, in a cause's cause",
      (logger) =>
        logger.warn(
          { err: chain(new MeshError("ATTACHE_MESH_MALFORMED", "no"), new Error("why"), stackOfPem) },
          "",
        ),
    ],
    [
      "that is a key in PEM, in a thrown string",
      (logger) => logger.warn({ err: new Error("odd", { cause: pem }) }, ""),
    ],
    ["that is a key in PEM, in a child's fields", (logger) => logger.child({ seen: [{ pem }] }).info("here")],
    ["that is a key's PEM behind a cut", (logger) => logger.info({ body: "x ".repeat(980) + pem }, "")],
    [
      "that is a key's PEM behind the bound on what is read",
      (logger) => logger.info({ body: "x ".repeat(3_990) + pem.replaceAll("\n", "") }, ""),
    ],
    [
      "that is a key's bytes",
      (logger) =>
        logger.info(
          { der, view: new DataView(der.buffer, der.byteOffset, der.length), array: new Uint8Array(der) },
          "",
        ),
    ],
    [
      "that is a key's bytes in a buffer",
      (logger) => logger.info({ bytes: Uint8Array.from(der).buffer }, ""),
    ],
    ["that is a JWK", (logger) => logger.info({ set: [jwk], public: { ...jwk, d: undefined } }, "")],
    [
      "that is named",
      (logger) =>
        [
          "token",
          "Token",
          "X-Consul-Token",
          "secretId",
          "SecretID",
          "bearer_token",
          "authorization",
          "Cookie",
          "password",
          "tls.key",
          "client-key-data",
          "apiKey",
        ].forEach((name) => logger.info({ deep: [{ er: named(name) }], ...named(name) }, "")),
    ],
    ["that is named in an object", (logger) => logger.info({ token: { value: token } }, "")],
    [
      "that is named in text",
      (logger) => logger.info({ line: `X-Consul-Token: ${token}` }, `token=${token}`),
    ],
  ];

  it.each(cases)("%s", (_what, write) => {
    const { text, lines } = log(write);
    expect(lines.length).toBeGreaterThan(0);
    for (const secret of secrets) expect(text.replace(/\\+n|\\n/g, "")).not.toContain(secret);
    expect(text).not.toContain("PRIVATE KEY");
  });

  it("finds what it looks for: each of these secrets is in what was handed in", () => {
    const shown = inspect(
      {
        token,
        jwk,
        hex: Buffer.from(jwk.d ?? "", "base64url").toString("hex"),
        pem: pem.replaceAll("\n", ""),
        list: der.toJSON().data.join(),
      },
      { maxStringLength: Infinity },
    );
    for (const secret of secrets) expect(shown).toContain(secret);
  });

  it("and a key is distinguished from an empty field", () => {
    const { lines } = log((logger) =>
      logger.info({ credential: privateKey, jwk: { kty: "oct", k: "c2hvcnQ" } }, ""),
    );
    expect(lines).toMatchObject([{ credential: "[redacted]", jwk: "[redacted]" }]);
  });

  it.each([2_000, 8_000])("nor the beginning of one that a cut after %i characters goes through", (cut) => {
    const body = `${"x ".repeat((cut - 20) / 2)}token=${token} and more`.padEnd(10_000);
    expect(log((logger) => logger.info({ body }, "")).text).not.toContain(token.slice(0, 8));
  });

  it("though a name that only sounds like one is shown", () => {
    const fields = {
      tokenFile: "/run/token",
      hasToken: true,
      secret: "web-mesh-cert",
      keyType: "ec-p256",
      keys: 2,
    };
    expect(log((logger) => logger.info(fields, "")).lines).toMatchObject([fields]);
  });
});

describe("a line is bounded", () => {
  const many = Object.fromEntries(
    Array.from({ length: 10_000 }, (_, index) => [`field-${index}`, "x".repeat(1_000)]),
  );
  const nested = (depth: number): unknown =>
    depth === 0 ? "x ".repeat(1_000) : Array.from({ length: 60 }, () => nested(depth - 1));

  it.each<[string, object]>([
    ["a long text", { text: "word ".repeat(1_000_000) }],
    ["a long word", { text: "x".repeat(1_000_000) }],
    ["many fields", many],
    ["a long list", { list: Array.from({ length: 100_000 }, (_, index) => index) }],
    ["long lists in long lists", { list: nested(3) }],
    ["an error with a long message", { err: new Error("word ".repeat(1_000_000)) }],
  ])("with %s", (_what, fields) => {
    const { text, lines } = log((logger) => logger.info(fields, "said"));
    expect(text.length).toBeLessThan(20_000);
    expect(lines).toMatchObject([{ msg: "said" }]);
    expect(text).toContain("…");
  });

  it("in depth, also where an object holds itself", () => {
    const ring: Record<string, unknown> = {};
    ring["ring"] = ring;
    expect(log((logger) => logger.info(ring, "")).text).toContain("[deeper]");
  });

  it("to what a terminal shows as it is", () => {
    expect(log((logger) => logger.info({ name: "a\u202ecod\u009b2Jb\u200b" }, "")).lines).toMatchObject([
      { name: "acod2Jb" },
    ]);
  });
});

it("does not change what is logged", () => {
  const error = new Error("mine");
  const fields: { readonly err: Error; readonly key: KeyObject } = { err: error, key: privateKey };
  log((logger) => logger.info(fields, ""));
  expect(fields).toEqual({ err: error, key: privateKey });
  expect(Object.keys(error)).toEqual([]);
});

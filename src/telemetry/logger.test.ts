import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { glob, readFile } from "node:fs/promises";
import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { MeshError } from "../mesh/errors.ts";
import type { Level } from "./loggable.ts";
import { createLogger, type Logger, type RootLogger } from "./logger.ts";
import { fieldsOf, type Message, messages } from "./messages.ts";

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

/** Writes a line with any fields, as a plug-in without types can. */
function say(logger: Logger, fields: object): void {
  logger.child(fields).log("Ended");
}

function chain(...errors: readonly Error[]): Error {
  return errors.reduceRight((cause, error) => Object.assign(error, { cause }));
}

describe("a line", () => {
  it("is JSON with level, time, message, and the fields of all parents", () => {
    const { lines } = log((logger) =>
      logger
        .child({ mesh: "consul" })
        .child({ namespace: "edge", name: "web" })
        .log("Repaired", { writes: 2 }),
    );
    expect(lines).toEqual([
      {
        level: "info",
        time: expect.stringMatching(/^\d{4}-.*Z$/) as string,
        id: "Repaired",
        msg: "repaired",
        mesh: "consul",
        namespace: "edge",
        name: "web",
        writes: 2,
      },
    ]);
  });

  it("needs no fields, and has the code of its entry", () => {
    expect(log((logger) => logger.log("Ended")).lines).toMatchObject([{ level: "info", msg: "ended" }]);
    const { lines } = log((logger) => logger.log("Bug", { what: "x", err: undefined }));
    expect(lines).toMatchObject([{ level: "error", code: "ATTACHE_INTERNAL", what: "x" }]);
  });

  it.each([
    ["debug", "AdapterDebug"],
    ["info", "AdapterInfo"],
    ["warn", "AdapterWarning"],
  ] as const)("of the level %s is written from it on, and not above", (level, id) => {
    const write = (logger: Logger) => logger.log(id, { remark: "said", err: undefined });
    expect(log(write, level).lines).toMatchObject([{ level }]);
    expect(log(write, "error").lines).toEqual([]);
    expect(log(write, "silent").lines).toEqual([]);
  });

  it("of the registry has fields of its own that differ from those that the logger adds", () => {
    for (const [id, { of, fields: own }] of Object.entries<Message>(messages)) {
      const all = [...(of === undefined ? [] : fieldsOf[of]), ...own];
      expect([id, new Set(all).size]).toEqual([id, all.length]);
    }
  });

  it("shows dates, big integers, maps, sets and what has a form of its own as what they mean", () => {
    const fields = {
      at: new Date(0),
      never: new Date(NaN),
      size: 2n ** 64n,
      map: new Map([["a", 1]]),
      set: new Set(["b"]),
      url: new URL("http://consul:8500"),
    };
    expect(log((logger) => say(logger, fields)).lines).toMatchObject([
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
    const [line] = log((logger) => say(logger, { err: error })).lines;
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

  it("may hold others", () => {
    const err = new AggregateError([new Error("one"), new TypeError("two")], "both");
    expect(log((logger) => say(logger, { err })).lines[0]).toMatchObject({
      err: { message: "both", errors: [{ message: "one" }, { type: "TypeError" }] },
    });
  });

  it("shows nothing else that a library hung on it", () => {
    const error = Object.assign(new Error("401"), {
      request: { path: "/v1", headers: [`X-Consul-Token`, token] },
    });
    expect(log((logger) => say(logger, { err: error })).text).not.toMatch(/request|headers|8b2d/);
  });

  it("that is its own cause ends", () => {
    const error = new Error("round");
    error.cause = error;
    expect(log((logger) => say(logger, { err: error })).text).toContain("[deeper]");
  });
});

describe("no secret is written", () => {
  const stackOfPem = new Error(`cannot parse\n${pem}`);
  const named = (name: string) => ({ [name]: token });
  const cases: readonly (readonly [string, (logger: Logger) => void])[] = [
    [
      "that is a KeyObject",
      (logger) => say(logger, { credential: { key: privateKey, leaf: privateKey, list: [privateKey] } }),
    ],
    ["that is a key in PEM, in a field", (logger) => say(logger, { answer: { body: pem } })],
    [
      "that is a key in PEM, as JSON in JSON",
      (logger) => say(logger, { body: JSON.stringify(JSON.stringify({ pem })) }),
    ],
    ["that is a key in PEM, in the name of a field", (logger) => say(logger, { [pem]: 1 })],
    ["that is a key in PEM, in an error's message and stack", (logger) => say(logger, { err: stackOfPem })],
    [
      "that is a key in PEM, in a cause's cause",
      (logger) =>
        say(logger, {
          err: chain(new MeshError("ATTACHE_MESH_MALFORMED", "no"), new Error("why"), stackOfPem),
        }),
    ],
    [
      "that is a key in PEM, in a thrown string",
      (logger) => say(logger, { err: new Error("odd", { cause: pem }) }),
    ],
    [
      "that is a key in PEM, in the field of an entry",
      (logger) => logger.log("AdapterInfo", { remark: `got ${pem}`, err: undefined }),
    ],
    ["that is a key's PEM behind a cut", (logger) => say(logger, { body: "x ".repeat(980) + pem })],
    [
      "that is a key's PEM behind the bound on what is read",
      (logger) => say(logger, { body: "x ".repeat(3_990) + pem.replaceAll("\n", "") }),
    ],
    [
      "that is a key's bytes",
      (logger) =>
        say(logger, {
          der,
          view: new DataView(der.buffer, der.byteOffset, der.length),
          array: new Uint8Array(der),
        }),
    ],
    ["that is a key's bytes in a buffer", (logger) => say(logger, { bytes: Uint8Array.from(der).buffer })],
    ["that is a JWK", (logger) => say(logger, { set: [jwk], public: { ...jwk, d: undefined } })],
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
        ].forEach((name) => say(logger, { deep: [{ er: named(name) }], ...named(name) })),
    ],
    ["that is named in an object", (logger) => say(logger, { token: { value: token } })],
    ["that is named in text", (logger) => say(logger, { line: `X-Consul-Token: ${token}` })],
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
      say(logger, { credential: privateKey, jwk: { kty: "oct", k: "c2hvcnQ" } }),
    );
    expect(lines).toMatchObject([{ credential: "[redacted]", jwk: "[redacted]" }]);
  });

  it.each([2_000, 8_000])("nor the beginning of one that a cut after %i characters goes through", (cut) => {
    const body = `${"x ".repeat((cut - 20) / 2)}token=${token} and more`.padEnd(10_000);
    expect(log((logger) => say(logger, { body })).text).not.toContain(token.slice(0, 8));
  });

  it("though a name that only sounds like one is shown", () => {
    const fields = {
      tokenFile: "/run/token",
      hasToken: true,
      secret: "web-mesh-cert",
      keyType: "ec-p256",
      keys: 2,
    };
    expect(log((logger) => say(logger, fields)).lines).toMatchObject([fields]);
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
    const { text, lines } = log((logger) => say(logger, fields));
    expect(text.length).toBeLessThan(20_000);
    expect(lines).toMatchObject([{ msg: "ended" }]);
    expect(text).toContain("…");
  });

  it("in depth, also where an object holds itself", () => {
    const ring: Record<string, unknown> = {};
    ring["ring"] = ring;
    expect(log((logger) => say(logger, ring)).text).toContain("[deeper]");
  });

  it("to what a terminal shows as it is", () => {
    expect(log((logger) => say(logger, { name: "a\u202ecod\u009b2Jb\u200b" })).lines).toMatchObject([
      { name: "acod2Jb" },
    ]);
  });
});

it("does not change what is logged", () => {
  const error = new Error("mine");
  const fields: { readonly err: Error; readonly key: KeyObject } = { err: error, key: privateKey };
  log((logger) => say(logger, fields));
  expect(fields).toEqual({ err: error, key: privateKey });
  expect(Object.keys(error)).toEqual([]);
});

describe("an equal line", () => {
  const refused = (port: number) =>
    new MeshError("ATTACHE_MESH_UNREACHABLE", `no answer from 127.0.0.1:${port}`);

  function start(level: Level = "debug") {
    const clock = manualClock();
    const lines: Line[] = [];
    const logger = createLogger(level, { write: (line) => void lines.push(JSON.parse(line) as Line) }, clock);
    return { clock, lines, logger };
  }

  it("is counted for ten minutes, and its number is written with the next line after them", async () => {
    const { clock, lines, logger } = start();
    const web = logger.child({ namespace: "edge", name: "web" });
    for (let port = 0; port < 100; port += 1) web.log("NoCredential", { err: refused(port) });
    logger.child({ namespace: "edge", name: "other" }).log("NoCredential", { err: refused(0) });
    expect(lines).toMatchObject([{ name: "web" }, { name: "other" }]);
    await clock.advance(10 * 60_000);
    logger.log("Ended");
    expect(lines.slice(2)).toMatchObject([{ id: "NoCredential", name: "web", repeats: 99 }, { id: "Ended" }]);
    web.log("NoCredential", { err: refused(1) });
    await clock.advance(20 * 60_000);
    web.log("NoCredential", { err: refused(2) });
    expect(lines.slice(4)).toMatchObject([{ name: "web", repeats: 1 }]);
  });

  it("of another problem, or of a change of state, is written", () => {
    const { lines, logger } = start();
    logger.log("NoCredential", { err: refused(1) });
    logger.log("NoCredential", { err: new MeshError("ATTACHE_MESH_FORBIDDEN", "no") });
    for (let times = 0; times < 3; times += 1) logger.log("MeshConnected");
    expect(lines.map(({ id }) => id)).toEqual([
      ...["NoCredential", "NoCredential"],
      ...["MeshConnected", "MeshConnected", "MeshConnected"],
    ]);
  });

  it("is remembered for the last 1,000, and the numbers of the others are written", () => {
    const { lines, logger } = start();
    const log = (name: string) => logger.child({ name }).log("NotPublished", { err: refused(1) });
    for (let identity = 0; identity < 1_200; identity += 1) {
      log(`web-${identity}`);
      log(`web-${identity}`);
    }
    expect(lines.filter(({ repeats }) => repeats === 1).length).toBeGreaterThan(190);
    expect(lines.filter(({ repeats }) => repeats === undefined)).toHaveLength(1_200);
  });
});

describe("the level", () => {
  it.each([
    ["info", "debug"],
    ["debug", "warn"],
  ] as const)("changes from %s to %s for all children, and says so", (from, to) => {
    const { lines } = log((logger) => {
      const root = logger as RootLogger;
      const child = root.child({ mesh: "consul" });
      root.setLevel(to);
      root.setLevel(to);
      child.log("AdapterDebug", { remark: "said", err: undefined });
    }, from);
    expect(lines.map(({ id }) => id)).toEqual(["LevelChanged", ...(to === "debug" ? ["AdapterDebug"] : [])]);
  });
});

it("has a use in the sources for each message of the registry, but those for plug-ins", async () => {
  const root = join(import.meta.dirname, "../..");
  const used = new Set<string>();
  for await (const file of glob(["src/**/*.ts", "adapters/**/*.ts"], { cwd: root })) {
    if (file.endsWith(".test.ts") || file.endsWith("messages.ts")) continue;
    const text = await readFile(join(root, file), "utf8");
    for (const [, id = ""] of text.matchAll(/"([A-Z]\w+)"/g)) used.add(id);
    if (file !== "src/telemetry/logger.ts")
      expect(/from "pino"|\bconsole\.(?:log|error)/.test(text), file).toBe(false);
  }
  const unused = Object.keys(messages).filter((id) => !used.has(id));
  expect(unused).toEqual(["AdapterDebug", "AdapterInfo", "AdapterWarning"]);
});

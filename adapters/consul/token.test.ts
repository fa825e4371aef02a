import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, it, onTestFinished } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { MeshError } from "../../src/mesh/adapter.ts";
import { AclToken, type LogIn } from "./token.ts";

const never = new AbortController().signal;
const unknown = new MeshError("ATTACHE_MESH_UNAUTHENTICATED", "ACL not found");

describe("the token of a login", () => {
  it("is asked for once for all who wait, with the bearer's token as it stands then", async () => {
    const { token, file, logins, logIn } = await setUp();
    expect(await Promise.all([token.read(logIn, never), token.read(logIn, never)])).toEqual(["of 1", "of 1"]);
    await writeFile(file, "2\n");
    expect(await token.read(logIn, never)).toBe("of 1");
    expect(logins).toEqual([{ authMethod: "jwt", bearerToken: "1", namespace: "", partition: "" }]);
  });

  it("is asked for again when Consul has forgotten it, but not while it may be too new to be known", async () => {
    const { token, file, logIn, clock } = await setUp();
    await token.read(logIn, never);
    await writeFile(file, "2");
    expect(await token.replaces("of 1", unknown)).toBe(false);
    expect(await token.read(logIn, never)).toBe("of 1");
    await clock.advance(30_000);
    const busy = new MeshError("ATTACHE_MESH_UNAVAILABLE", "no leader");
    expect(await token.replaces("of 1", busy)).toBe(false);
    expect(await token.replaces("an earlier one", unknown)).toBe(true);
    expect(await token.replaces("of 1", unknown)).toBe(true);
    // Two calls may learn of the same end.
    expect(await token.replaces("of 1", unknown)).toBe(true);
    expect(await token.read(logIn, never)).toBe("of 2");
  });

  it("is asked for again after a failure", async () => {
    const { token, logIn } = await setUp();
    await expect(token.read(() => Promise.reject(new Error("away")), never)).rejects.toThrow("away");
    expect(await token.read(logIn, never)).toBe("of 1");
  });

  it("is not waited for by one who aborts, and is there for the others", async () => {
    const { token } = await setUp();
    const { promise, resolve } = Promise.withResolvers<string>();
    const over = new AbortController();
    const [left, stays] = [over.signal, never].map((signal) => token.read(() => promise, signal));
    over.abort(new Error("over"));
    await expect(left).rejects.toThrow("over");
    resolve("the token");
    expect(await stays).toBe("the token");
  });

  it("is given back once, and no other one asked for", async () => {
    const { token, logins, logIn } = await setUp();
    const given: string[] = [];
    const logOut = (one: string) => {
      given.push(one);
      return Promise.resolve();
    };
    await token.read(logIn, never);
    await token.logOut(logOut);
    await token.logOut(logOut);
    expect(given).toEqual(["of 1"]);
    await expect(token.read(logIn, never)).rejects.toThrow("logged out");
    expect(logins).toHaveLength(1);
  });

  it("cannot be had with a file that is missing or holds no token, which is not shown", async () => {
    const { token, file, logIn } = await setUp();
    await writeFile(file, "secret one\nsecret two");
    const error: unknown = await token.read(logIn, never).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: "ATTACHE_MESH_UNAUTHENTICATED",
      remedy: expect.stringContaining("login.bearerTokenFile") as string,
    });
    expect(inspect(error)).not.toContain("secret one");
    await rm(file);
    await expect(token.read(logIn, never)).rejects.toThrow("cannot be read (ENOENT)");
  });
});

async function setUp() {
  const folder = await mkdtemp(join(tmpdir(), "attache-token-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, "token");
  await writeFile(file, "1\n");
  const clock = manualClock();
  const source = { authMethod: "jwt", bearerTokenFile: file, namespace: "", partition: "" };
  const logins: unknown[] = [];
  const logIn: LogIn = (login) => {
    logins.push(login);
    return Promise.resolve(`of ${login.bearerToken}`);
  };
  return { token: new AclToken({ kind: "login", ...source }, clock), file, clock, logins, logIn };
}

import { describe, expect, it } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { ApiError } from "../kube/api-error.ts";
import type { ApiRequest } from "../kube/client.ts";
import { tokenReviews } from "./reviews.ts";

interface Options {
  readonly namespaces?: readonly string[];
  readonly fails?: boolean;
}

/** An API server that knows the tokens `admin` and `reader`; the reader may list in namespace `a` only. */
function reviews({ namespaces = [], fails = false }: Options = {}) {
  const clock = manualClock();
  const asked: string[] = [];
  const request = <T>({ path, body }: ApiRequest): Promise<T> => {
    asked.push(path);
    if (fails)
      return Promise.reject(new ApiError("ATTACHE_KUBERNETES_TIMEOUT", "the API server did not answer"));
    const { token, user, resourceAttributes: wanted } = (body as { readonly spec: Spec }).spec;
    const status =
      wanted === undefined
        ? { authenticated: ["admin", "reader"].includes(token), user: { username: token, groups: ["g"] } }
        : { allowed: user === "admin" || wanted["namespace"] === "a" };
    return Promise.resolve({ status } as T);
  };
  const admit = tokenReviews({ api: { request }, namespaces, clock });
  return {
    ...{ clock, asked },
    ask: (path: string, authorization?: string) =>
      admit({
        url: new URL(path, "http://attache"),
        headers: authorization === undefined ? {} : { authorization },
        closed: new AbortController().signal,
      }),
  };
}

interface Spec {
  readonly token: string;
  readonly user: string;
  readonly resourceAttributes?: Readonly<Record<string, string>>;
}

describe("the console on the network", () => {
  it("shows the page to anyone, as it holds no data", async () => {
    const { ask, asked } = reviews();
    await ask("/");
    await ask("/console-0123456789ab.js");
    expect(asked).toEqual([]);
  });

  it.each([undefined, "Bearer ", "Basic admin", "Bearer other", "admin"])(
    "refuses data for %j",
    async (header) => {
      for (const path of ["/api/events", "/api/identities", "/api/identity?name=a/b", "/api/none"])
        await expect(reviews().ask(path, header)).rejects.toMatchObject({ code: "ATTACHE_SERVER_TOKEN" });
    },
  );

  it("gives data to a user who may list MeshCertificates wherever attaché acts, and to no other", async () => {
    await reviews().ask("/api/events", "Bearer admin");
    await reviews({ namespaces: ["a"] }).ask("/api/events", "bearer reader");
    for (const namespaces of [[], ["a", "b"]])
      await expect(reviews({ namespaces }).ask("/api/events", "Bearer reader")).rejects.toMatchObject({
        code: "ATTACHE_SERVER_FORBIDDEN",
      });
  });

  it("asks once in ten seconds for each token, also if it is refused", async () => {
    const { ask, asked, clock } = reviews();
    for (let turn = 0; turn < 5; turn += 1) {
      await ask("/api/events", "Bearer admin");
      await ask("/api/events", "Bearer other").catch(() => undefined);
    }
    expect(asked).toHaveLength(3);
    await clock.advance(10_000);
    await ask("/api/events", "Bearer admin");
    expect(asked).toHaveLength(5);
  });

  it("refuses without a verdict of the API server, and asks again", async () => {
    const { ask, asked } = reviews({ fails: true });
    for (let turn = 0; turn < 2; turn += 1)
      await expect(ask("/api/events", "Bearer admin")).rejects.toMatchObject({ code: "ATTACHE_SERVER_BUSY" });
    expect(asked).toHaveLength(2);
  });
});

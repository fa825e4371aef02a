import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { IdentityChanges } from "../../../src/console/page-data.ts";
import { tokenReviews } from "../../../src/console/reviews.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { render } from "../helm/chart.ts";
import { freePorts } from "../ports.ts";
import type { Account, Rule } from "./cluster.ts";
import { type Console, openedConsole } from "./console.ts";
import { longWait, Stage } from "./stage.ts";

const list: Rule = { apiGroups: ["attache.dev"], resources: ["meshcertificates"], verbs: ["list"] };
const paths = ["/api/events", "/api/identities", "/api/identity?name=any/any", "/api/none"];

const open = new AsyncDisposableStack();
afterAll(() => open.disposeAsync());

let stage: Stage;
let page: Console;
let guarded: Console;
/** A user who may list MeshCertificates wherever attaché acts, one in its own namespace only, one nowhere. */
let reader: Account;
let half: Account;
let stranger: Account;

beforeAll(async () => {
  stage = open.use(await Stage.open());
  const { namespace, other, cluster } = stage;
  const [port = 0, own = 0] = await freePorts(2);
  const settings = stage.settings();
  await stage.startWith({ ...settings, console: { enabled: true, auth: true, listen: `0.0.0.0:${port}` } });
  await stage.untilReady();
  // Another one that waits: its console needs no token.
  const waiting = await stage.startWith({
    ...settings,
    console: { enabled: true, listen: `127.0.0.1:${own}` },
  });
  await vi.waitFor(async () => expect(await waiting.probe("/readyz")).toBe(200), longWait);
  guarded = openedConsole(port);
  page = openedConsole(own);
  reader = await cluster.serviceAccount(namespace, "reader", [list], { in: [namespace, other] });
  half = await cluster.serviceAccount(namespace, "half", [list]);
  stranger = await cluster.serviceAccount(namespace, "stranger", []);
});

describe("the console with `auth`", () => {
  it("gives its page to anyone, and data to no request without a token", async () => {
    expect((await guarded.get("/")).status).toBe(200);
    for (const path of paths) expect((await guarded.get(path)).status).toBe(401);
  });

  it("refuses a token that the API server does not know, and one that has ended", async () => {
    const { token } = reader.access;
    const [head = "", claims = "", signature = ""] = token.split(".");
    for (const wrong of ["x", `${head}.${claims}.${signature.toUpperCase()}`, `${head}..${signature}`])
      for (const path of paths) expect((await guarded.get(path, wrong)).status).toBe(401);
  });

  it("refuses a user who may not list MeshCertificates in each namespace that attaché acts in", async () => {
    for (const path of paths) {
      const refusals = [
        await guarded.get(path, stranger.access.token),
        await guarded.get(path, half.access.token),
      ];
      expect(refusals.map(({ status }) => status)).toEqual([403, 403]);
    }
    const { body } = await guarded.get("/api/identities", half.access.token);
    expect(body).toContain(`may not list MeshCertificates in namespace ${stage.other}`);
  });

  it("shows everything to one who may", async () => {
    const { body } = await guarded.get("/api/identities", reader.access.token);
    const { rows } = JSON.parse(body) as IdentityChanges;
    expect(rows.map(({ key }) => key).toSorted()).toEqual(
      stage.names.map((name) => `${stage.namespace}/${name}`).toSorted(),
    );
    const [first = ""] = rows.map(({ key }) => key);
    expect((await guarded.get(`/api/identity?name=${first}`, reader.access.token)).status).toBe(200);
  });

  it("answers no page of another origin, also with a good token", async () => {
    const { token } = reader.access;
    const headers = { origin: "https://evil.example", "sec-fetch-site": "cross-site" };
    for (const path of paths.slice(0, 3)) {
      const asked = await guarded.get(path, token, headers);
      expect([asked.status, asked.allowsOrigin]).toEqual([403, null]);
      const preflight = await guarded.get(path, undefined, headers, "OPTIONS");
      expect([preflight.status, preflight.allowsOrigin]).toEqual([405, null]);
    }
  });

  it.each(["its ServiceAccount is deleted", "its rights are taken away"])(
    "ends an open feed within half a minute when %s",
    async (what) => {
      const { namespace, other, cluster } = stage;
      const name = what.includes("rights") ? "deprived" : "deleted";
      const { access } = await cluster.serviceAccount(namespace, name, [list], { in: [namespace, other] });
      await using feed = await guarded.follow(access.token);
      expect(await feed.next()).toMatchObject({ verdict: {} });
      if (name === "deleted")
        await cluster.admin.delete(`/api/v1/namespaces/${namespace}/serviceaccounts/${name}`);
      else
        await cluster.admin.delete(
          `/apis/rbac.authorization.k8s.io/v1/namespaces/${other}/rolebindings/${namespace}-${name}`,
        );
      await feed.untilEnd(30_000);
      expect((await guarded.get("/api/identities", access.token)).status).toBe(
        name === "deleted" ? 401 : 403,
      );
    },
  );
});

describe("the console on the loopback address", () => {
  it("needs no token, and refuses requests for another host, as a name that points here makes them", async () => {
    expect((await page.get("/api/identities")).status).toBe(200);
    for (const host of ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example"])
      for (const path of ["/", ...paths])
        expect((await page.get(path, undefined, { host })).status).toBe(403);
  });

  it("answers no page of another origin", async () => {
    for (const site of ["cross-site", "same-site"]) {
      const { status, allowsOrigin } = await page.get("/api/events", undefined, { "sec-fetch-site": site });
      expect([status, allowsOrigin]).toEqual([403, null]);
    }
  });
});

describe("the ClusterRole of the console", () => {
  it("is rendered with `auth` alone, and suffices", async () => {
    const named = (objects: Awaited<ReturnType<typeof render>>) =>
      objects.filter(({ kind, metadata }) => kind === "ClusterRole" && metadata.name.endsWith("-console"));
    expect(named(await render("attache", "emissary", {}))).toEqual([]);
    const [role] = named(await render("attache", "emissary", { console: { auth: true } }));
    const { namespace, other, cluster } = stage;
    const { rules } = role as unknown as { readonly rules: readonly Rule[] };
    const { access } = await cluster.serviceAccount(namespace, "reviewer", rules, { in: "*" });
    const admit = tokenReviews({
      ...{ api: cluster.api(access), namespaces: [namespace, other], clock: systemClock },
    });
    const ask = (token: string) =>
      admit({
        url: new URL("http://attache/api/events"),
        headers: { authorization: `Bearer ${token}` },
        closed: new AbortController().signal,
      });
    await ask(reader.access.token);
    await expect(ask(stranger.access.token)).rejects.toMatchObject({ code: "ATTACHE_SERVER_FORBIDDEN" });
    await expect(ask("x")).rejects.toMatchObject({ code: "ATTACHE_SERVER_TOKEN" });
  });
});

describe("all replies of both", () => {
  it("have no key and no token", () => {
    const all = [...guarded.replies, ...page.replies].join("\n");
    const { token } = reader.access;
    expect(all).toContain(stage.names[0]);
    expect(all).not.toMatch(/PRIVATE KEY|BEGIN |Bearer |eyJ/);
    for (const one of [token, half.access.token, stage.cluster.access.token])
      expect(all.includes(one)).toBe(false);
  });
});

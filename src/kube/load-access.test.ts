import { chmod, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import type { RequestOptions } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { type AccessOptions, loadAccess } from "./load-access.ts";

let folder: string;

// Hundreds of files, from the sources.
beforeAll(() => import("./kubeconfig.ts"), 60_000);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-access-"));
  onTestFinished(() => rm(folder, { recursive: true }));
});

const clock = manualClock();
const load = (options: AccessOptions) => loadAccess({ clock, env: { HOME: folder }, ...options });

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

const base64 = (text: string) => Buffer.from(text).toString("base64");

function lowerCase(headers: RequestOptions["headers"] = {}): Record<string, unknown> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

function textOf(material: unknown): string | undefined {
  return material instanceof Buffer ? material.toString() : undefined;
}

interface Parts {
  readonly name?: string;
  readonly cluster?: object;
  readonly user?: object;
  readonly namespace?: string;
}

/** One cluster, user and context, all of one name. */
function kubeconfig({ name = "one", cluster, user = {}, namespace }: Parts = {}): Promise<string> {
  return file(
    `${name}.yaml`,
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name, cluster: { server: `https://${name}.example:6443/`, ...cluster } }],
      users: [{ name, user }],
      contexts: [{ name, context: { cluster: name, user: name, namespace } }],
      "current-context": name,
    }),
  );
}

describe("a pod", () => {
  const env = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "443" };

  it("uses its own ServiceAccount, and its token as it rotates", async () => {
    await file("ca.crt", "CA");
    await file("namespace", "edge\n");
    await file("token", "first\n");
    const access = await load({ env, serviceAccountFolder: folder });
    expect(access).toMatchObject({ server: "https://[fd00::1]:443", namespace: "edge" });
    expect(await access.authenticate()).toMatchObject({
      tls: { ca: "CA", rejectUnauthorized: true },
      headers: { authorization: "Bearer first" },
    });

    await file("token", "second");
    expect((await access.authenticate()).headers).toEqual({ authorization: "Bearer first" });
    await clock.advance(10_000);
    expect((await access.authenticate()).headers).toEqual({ authorization: "Bearer second" });

    await file("token", "third");
    access.refused();
    expect((await access.authenticate()).headers).toEqual({ authorization: "Bearer third" });
  });

  it("is reported when it has no token, and goes on when the file is back", async () => {
    await expect(load({ env, serviceAccountFolder: folder })).rejects.toThrow(/no ServiceAccount token/);
    await file("namespace", "edge");
    await file("ca.crt", "CA");
    const access = await load({ env, serviceAccountFolder: folder });
    await expect(access.authenticate()).rejects.toThrow(/token cannot be read \(ENOENT\)/);
    await file("token", "late");
    expect((await access.authenticate()).headers).toEqual({ authorization: "Bearer late" });
  });

  it("prefers a kubeconfig that is named", async () => {
    const path = await kubeconfig();
    expect(await load({ env: { ...env, KUBECONFIG: path } })).toMatchObject({
      server: "https://one.example:6443",
    });
  });
});

describe("a kubeconfig", () => {
  it("is found by its name, by $KUBECONFIG, or at home", async () => {
    const one = await kubeconfig({ namespace: "edge" });
    await mkdir(join(folder, ".kube"));
    await rename(await kubeconfig({ name: "home" }), join(folder, ".kube", "config"));
    expect(await load({ kubeconfig: one })).toMatchObject({ namespace: "edge" });
    expect(await load({ env: { KUBECONFIG: one } })).toMatchObject({ namespace: "edge" });
    expect(await load({})).toMatchObject({ server: "https://home.example:6443", namespace: "default" });
  });

  it("may be several files, of which the first has the last word and some are not there", async () => {
    const one = await kubeconfig({ namespace: "edge" });
    const two = await kubeconfig({ name: "two" });
    const env = { KUBECONFIG: [join(folder, "missing"), one, two].join(":") };
    expect(await load({ env })).toMatchObject({ server: "https://one.example:6443" });
    expect(await load({ env, context: "two" })).toMatchObject({ server: "https://two.example:6443" });
  });

  it("uses its token in place of a file that cannot be read, and the file where it can", async () => {
    const path = await kubeconfig({ user: { token: "inlined", tokenFile: "token" } });
    const bearer = async () => (await (await load({ kubeconfig: path })).authenticate()).headers;
    expect(await bearer()).toEqual({ authorization: "Bearer inlined" });
    await file("token", "from a file");
    expect(await bearer()).toEqual({ authorization: "Bearer from a file" });
  });

  it("goes through the proxy that it names, or else that of the environment", async () => {
    const env = { HTTPS_PROXY: "outside:3128", NO_PROXY: "two.example" };
    const proxyUrl = async (parts: Parts) =>
      (await load({ env, kubeconfig: await kubeconfig(parts) })).proxyUrl;
    expect(await proxyUrl({})).toBe("http://outside:3128");
    expect(await proxyUrl({ name: "two" })).toBeUndefined();
    expect(await proxyUrl({ cluster: { "proxy-url": "socks5://own:1" } })).toBe("socks5://own:1");
    await expect(proxyUrl({ cluster: { "proxy-url": "ftp://own:1" } })).rejects.toThrow(/is no URL/);
  });

  it("may have broken entries that are not used, whose names and content are any", async () => {
    const path = await file(
      "odd.yaml",
      `clusters:
- { name: old, cluster: { server: "" } }
- { name: none }
- name: c
  cluster:
    server: HTTPS://C.example:6443/behind/a/path/?query#fragment
    certificate-authority-data: |
      ${base64("CA").slice(0, 2)}
      ${base64("CA").slice(2)}
users: [{ name: gone, user: { exec: { apiVersion: client.authentication.k8s.io/v1alpha1 } } }]
contexts: [{ name: x, context: { cluster: c } }, { name: 7, context: null }]
current-context: x
`,
    );
    const access = await load({ kubeconfig: path });
    expect(access.server).toBe("https://c.example:6443/behind/a/path");
    expect((await access.authenticate()).tls.ca).toBe("CA");
  });

  it("is named with the line where it is no YAML, and never quoted", async () => {
    const path = await file("broken.yaml", "users:\n- { name: u, user: { token: secret-token }\n");
    const error: unknown = await load({ kubeconfig: path }).catch((thrown: unknown) => thrown);
    expect(String(error)).toMatch(/broken\.yaml:3 is no kubeconfig/);
    expect(String(error)).not.toContain("secret-token");
  });

  it("has certificates in itself or in files beside it", async () => {
    await file("ca.pem", "CA FILE");
    await file("key.pem", "KEY FILE");
    const access = await load({
      kubeconfig: await kubeconfig({
        cluster: {
          "certificate-authority": "ca.pem",
          "tls-server-name": "kubernetes",
          "proxy-url": "http://proxy:1",
        },
        user: {
          "client-certificate": "wins.pem",
          "client-certificate-data": base64("CERT DATA"),
          "client-key": "key.pem",
        },
      }),
    });
    expect(access.proxyUrl).toBe("http://proxy:1");
    expect(await access.authenticate()).toEqual({
      tls: {
        ca: "CA FILE",
        cert: "CERT DATA",
        key: "KEY FILE",
        servername: "kubernetes",
        rejectUnauthorized: true,
      },
      headers: {},
    });
  });

  it.each([
    [{ token: "t" }, { authorization: "Bearer t" }],
    [{ tokenFile: "token" }, { authorization: "Bearer from a file" }],
    [{ username: "u", password: "p" }, { authorization: `Basic ${base64("u:p")}` }],
    [
      { token: "t", as: "jane", "as-groups": ["a", "b"] },
      { authorization: "Bearer t", "impersonate-user": "jane", "impersonate-group": ["a", "b"] },
    ],
  ])("authenticates with %j", async (user, headers) => {
    await file("token", "from a file\n");
    const access = await load({ kubeconfig: await kubeconfig({ user }) });
    expect((await access.authenticate()).headers).toEqual(headers);
  });

  it("means what Kubernetes' own client takes it for", async () => {
    await file("ca.pem", "CA FILE");
    const { KubeConfig } = await import("@kubernetes/client-node");
    const parts: Parts[] = [
      { namespace: "edge", cluster: { "certificate-authority": "ca.pem" }, user: { token: "t" } },
      { cluster: { "certificate-authority-data": base64("CA"), "tls-server-name": "kubernetes" } },
      { cluster: { "insecure-skip-tls-verify": true }, user: { username: "u", password: "p" } },
      { user: { "client-certificate-data": base64("CERT"), "client-key-data": base64("KEY"), as: "jane" } },
    ];
    for (const one of parts) {
      const path = await kubeconfig(one);
      const access = await load({ kubeconfig: path });
      const ours = await access.authenticate();

      const theirs = new KubeConfig();
      theirs.loadFromFile(path);
      const tls: RequestOptions = {};
      await theirs.applyToHTTPSOptions(tls);
      const { authorization, ...headers } = lowerCase(tls.headers);
      const auth = tls.auth ? `Basic ${base64(tls.auth)}` : authorization;
      expect({ server: access.server, namespace: access.namespace, ...ours }).toEqual({
        server: theirs.getCurrentCluster()?.server,
        namespace: theirs.getContextObject(theirs.getCurrentContext())?.namespace ?? "default",
        tls: {
          ca: textOf(tls.ca),
          cert: textOf(tls.cert),
          key: textOf(tls.key),
          servername: tls.servername,
          rejectUnauthorized: tls.rejectUnauthorized ?? true,
        },
        headers: { ...headers, ...(auth !== undefined && { authorization: auth }) },
      });
    }
  });

  it.each<[string, Parts & AccessOptions, RegExp]>([
    ["is not there", { kubeconfig: "/nowhere/config" }, /there is no kubeconfig \/nowhere\/config/],
    ["lacks the context", { context: "prod" }, /no context "prod" in .*one\.yaml/],
    ["has no https", { cluster: { server: "http://api.example" } }, /http:\/\/api\.example in .* has no TLS/],
    ["has no https, but a name like an address", { cluster: { server: "http://127.example" } }, /has no TLS/],
    ["has no server", { cluster: { server: null } }, /no cluster "one" in .*one\.yaml, or it is incomplete/],
    ["has an auth-provider", { user: { "auth-provider": { name: "gcp" } } }, /the auth-provider "gcp"/],
  ])("is refused with a reason when it %s", async (_when, parts, message) => {
    const options = { kubeconfig: await kubeconfig(parts), ...parts };
    await expect(load(options)).rejects.toThrow(message);
  });

  it.each(["http://127.0.0.1:8001", "http://[::1]:8001", "http://localhost:8001"])(
    "may name an address of this machine without TLS, for kubectl proxy: %s",
    async (server) => {
      const path = await kubeconfig({ cluster: { server } });
      expect(await load({ kubeconfig: path })).toMatchObject({ server });
    },
  );
});

describe("a credential plug-in", () => {
  const apiVersion = "client.authentication.k8s.io/v1";
  const credential = (status: object) => JSON.stringify({ apiVersion, kind: "ExecCredential", status });

  /** A plug-in that counts its runs in its token. */
  async function withPlugin(script: string, more: object = {}) {
    await file("plugin", `#!/bin/sh\necho run >> ${folder}/runs\nn=$(wc -l < ${folder}/runs)\n${script}\n`);
    await chmod(join(folder, "plugin"), 0o700);
    const user = { exec: { apiVersion, command: "./plugin", ...more } };
    return load({ kubeconfig: await kubeconfig({ user }) });
  }

  it("gives a token until that expires, or is refused", async () => {
    const now = clock.now().getTime();
    const expirationTimestamp = new Date(now + 60_000).toISOString();
    const access = await withPlugin(
      `echo '${credential({ token: "tokenN", expirationTimestamp })}' | sed s/tokenN/token$n/`,
    );
    const bearer = async () => (await access.authenticate()).headers["authorization"];
    expect(await bearer()).toBe("Bearer token1");
    await clock.advance(59_000);
    expect(await bearer()).toBe("Bearer token1");
    access.refused();
    expect(await bearer()).toBe("Bearer token2");
    await clock.advance(60_000);
    expect(await bearer()).toBe("Bearer token3");
  });

  it("may print YAML, null for what it has not, and an offset in its date", async () => {
    const access = await withPlugin(
      `echo 'apiVersion: ${apiVersion}'
       echo 'kind: ExecCredential'
       echo 'status: { token: yaml, clientKeyData: null, expirationTimestamp: 2030-01-01T02:00:00+02:00 }'`,
      { args: null, env: null, installHint: null, interactiveMode: "IfAvailable" },
    );
    expect((await access.authenticate()).headers).toEqual({ authorization: "Bearer yaml" });
  });

  it("is not asked where the kubeconfig has a token itself", async () => {
    await file("token", "from a file");
    const user = { exec: { apiVersion, command: "/bin/false" }, tokenFile: "token", token: "inlined" };
    const access = await load({ kubeconfig: await kubeconfig({ user }) });
    expect((await access.authenticate()).headers).toEqual({ authorization: "Bearer from a file" });
  });

  it("may give a client certificate, and gets its environment and the cluster", async () => {
    const access = await withPlugin(
      `test "$WHO" = me || exit 1
       case $KUBERNETES_EXEC_INFO in *https://one.example:6443*) ;; *) exit 2;; esac
       echo '${credential({ clientCertificateData: "CERT", clientKeyData: "KEY" })}'`,
      { env: [{ name: "WHO", value: "me" }], provideClusterInfo: true },
    );
    expect((await access.authenticate()).tls).toMatchObject({ cert: "CERT", key: "KEY" });
  });

  it.each([
    ["fails", "echo log in first >&2; exit 3", "log in first"],
    ["says nothing of its failure", "exit 3", "it ended with 3"],
    ["prints something else", "echo secret-of-the-plugin", "no ExecCredential"],
    ["prints an alias without its anchor", "echo 'kind: *a'", "no ExecCredential"],
    ["prints an empty credential", `echo '${credential({})}'`, "no ExecCredential"],
    [
      "prints a certificate without its key",
      `echo '${credential({ clientCertificateData: "C" })}'`,
      "no Exec",
    ],
    ["prints without end", "yes secret-of-the-plugin", "more than 1048576 bytes"],
  ])("is named with its reason when it %s", async (_when, script, reason) => {
    const access = await withPlugin(script, { installHint: "Install it from example.org." });
    const error: unknown = await access.authenticate().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "ATTACHE_KUBERNETES_CONFIG" });
    expect(String(error)).toContain(reason);
    expect(String(error)).not.toContain("secret-of");
  });
});

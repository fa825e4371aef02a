/** Kubeconfigs that `kubectl` and attaché read: what the one takes the other takes, and sends the same. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:https";
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { TLSSocket } from "node:tls";
import { promisify } from "node:util";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { openKubeClient } from "../../../src/kube/client.ts";
import { loadAccess } from "../../../src/kube/load-access.ts";
import { createLeaf, createRoot, type Issued } from "../../fixtures/pki.ts";
import { buildPeer } from "../build.ts";

let kubectl: string;
let root: Issued;
let leaf: Issued;
let client: Issued;
let other: Issued;
let port: number;
let proxyPort: number;
let socksPort: number;
let folder: string;

/** What the API server and the proxy before it have seen of one request. */
interface Seen {
  readonly path?: string | undefined;
  readonly serverName?: unknown;
  readonly authorization?: string | undefined;
  readonly impersonated: Readonly<Record<string, unknown>>;
  readonly client?: string | undefined;
}

let seen: Seen[] = [];
let asked: { target?: string | undefined; as?: string | undefined }[] = [];
const servers: Server[] = [];

/** Says `answer` once the API server is reached, and passes all else on. */
function tunnel(near: Socket, answer: string | Uint8Array): void {
  const far = connect(port, "127.0.0.1", () => near.write(answer));
  for (const socket of [near, far]) socket.on("error", () => undefined);
  near.pipe(far).pipe(near);
}

/** SOCKS 5 (RFC 1928), with a name and a password (RFC 1929) where the client has one. */
async function serveSocks(near: Socket): Promise<void> {
  const next = async () => (await once(near, "data"))[0] as Buffer;
  let as: string | undefined;
  const hasPassword = (await next()).subarray(2).includes(2);
  near.write(Uint8Array.of(5, hasPassword ? 2 : 0));
  if (hasPassword) {
    const login = await next();
    const nameLength = login[1] ?? 0;
    as = `${login.subarray(2, 2 + nameLength).toString()}:${login.subarray(3 + nameLength).toString()}`;
    near.write(Uint8Array.of(1, 0));
  }
  const request = await next();
  const host = request[3] === 3 ? request.subarray(5, -2).toString() : request.subarray(4, -2).join(".");
  asked.push({ target: `${host}:${request.readUInt16BE(request.length - 2)}`, as });
  tunnel(near, Uint8Array.of(5, 0, 0, 1, 127, 0, 0, 1, 0, 0));
}

async function listen(server: Server): Promise<number> {
  servers.push(server);
  server.on("connection", (socket: Socket) => socket.on("error", () => undefined));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

beforeAll(async () => {
  kubectl = join(await buildPeer("kubernetes"), "kubectl");
  root = await createRoot();
  other = await createRoot();
  leaf = await createLeaf(root, { dns: ["localhost", "api.test", "other.test"] });
  client = await createLeaf(root, { serialNumber: "0A" });
  const options = { key: leaf.keyPem, cert: leaf.pem, ca: root.pem, requestCert: true };
  port = await listen(
    createServer({ ...options, rejectUnauthorized: false }, ({ headers, url, socket }, response) => {
      const impersonated = Object.entries(headers).filter(([name]) => name.startsWith("impersonate-"));
      const shown = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
      seen.push({
        path: url,
        serverName: "servername" in socket && String(socket.servername).toLowerCase(),
        authorization: headers.authorization,
        impersonated: Object.fromEntries(impersonated),
        client: shown?.serialNumber,
      });
      response.setHeader("content-type", "application/json").end('{"major":"1"}');
    }),
  );
  const proxy = createHttpServer();
  proxy.on("connect", (request, near: Socket) => {
    asked.push({ target: request.url, as: request.headers["proxy-authorization"] });
    tunnel(near, "HTTP/1.1 200 OK\r\n\r\n");
  });
  proxyPort = await listen(proxy);
  socksPort = await listen(createTcpServer((near) => void serveSocks(near)));
  // Hundreds of files, from the sources.
  await import("../../../src/kube/kubeconfig.ts");
});

afterAll(() => {
  for (const server of servers) server.close();
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-kubeconfig-"));
  onTestFinished(() => rm(folder, { recursive: true }));
});

const base64 = (text: string) => Buffer.from(text).toString("base64");
const wrapped = (text: string) => base64(text).replace(/.{60}/g, "$&\n");

interface Parts {
  readonly cluster?: object;
  readonly user?: object;
  readonly more?: object;
}

const trusted = () => ({
  server: `https://localhost:${port}`,
  "certificate-authority-data": base64(root.pem),
});

function config({ cluster, user = { token: "t0ken" }, more }: Parts = {}): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "c", cluster: { ...trusted(), ...cluster } }],
    users: [{ name: "u", user }],
    contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
    "current-context": "x",
    ...more,
  });
}

/** The same as JSON, in YAML of another style. */
function yaml(
  user: string,
  cluster = "",
  contexts = "- { name: x, context: { cluster: c, user: u } }",
): string {
  return `apiVersion: v1
kind: Config
current-context: x
contexts:
${contexts}
clusters:
- name: c
  cluster:
    server: https://localhost:${port}
    certificate-authority-data: ${base64(root.pem)}
${cluster}
users:
- name: u
  user: ${user}
`;
}

const info = () => join(folder, "info");

/** A plug-in that prints `answer`, and keeps what it was given. */
const script = (answer: string) =>
  `#!/bin/sh\nprintf %s "$KUBERNETES_EXEC_INFO" > "${info()}"\nexec cat <<'END'\n${answer}\nEND\n`;

const apiVersion = "client.authentication.k8s.io/v1";
const execOf = (more: object = {}) => ({
  user: { exec: { apiVersion, command: "./plugin", interactiveMode: "Never", ...more } },
});
const credential = (status: object, version = apiVersion) =>
  JSON.stringify({ apiVersion: version, kind: "ExecCredential", status });

type Files = Readonly<Record<string, string>>;

interface Case {
  readonly files: () => Files;
  /** By default, `config`. */
  readonly kubeconfig?: readonly string[];
  readonly env?: (() => Readonly<Record<string, string>>) | undefined;
  /** What attaché takes although kubectl does not, or the other way round, and why. */
  readonly differs?: "attaché takes it" | "kubectl takes it";
}

const one = (parts: () => Parts, more: () => Files = () => ({})): Case => ({
  files: () => ({ config: config(parts()), ...more() }),
});

const text = (content: () => string): Case => ({ files: () => ({ config: content() }) });

const named = (hostname: string) => ({ cluster: { server: `https://${hostname}:6443` } });
const proxied =
  (url: () => string): Case["env"] =>
  () => ({ HTTPS_PROXY: url() });
const proxy = () => `http://127.0.0.1:${proxyPort}`;
const socks = (scheme = "socks5") => `${scheme}://127.0.0.1:${socksPort}`;
const through = (hostname: string, url: () => string) =>
  one(() => ({ cluster: { ...named(hostname).cluster, "proxy-url": url() } }));

const cases: Readonly<Record<string, Case>> = {
  "a token": one(() => ({})),
  "a token with a newline": { ...one(() => ({ user: { token: "t0ken\n" } })), differs: "attaché takes it" },
  "a password": one(() => ({ user: { username: "jane", password: "se:cret" } })),
  "a password without a name": {
    ...one(() => ({ user: { password: "secret" } })),
    differs: "attaché takes it",
  },
  "a token and a password": {
    ...one(() => ({ user: { token: "t", username: "j", password: "p" } })),
    differs: "attaché takes it",
  },
  "tokenFile before token": one(
    () => ({ user: { token: "inlined", tokenFile: "token" } }),
    () => ({ token: "from a file\n" }),
  ),
  "tokenFile that is missing, before token": one(() => ({
    user: { token: "inlined", tokenFile: "missing" },
  })),
  "tokenFile that is missing": one(() => ({ user: { tokenFile: "missing" } })),
  "a client certificate": one(() => ({
    user: { "client-certificate-data": base64(client.pem), "client-key-data": base64(client.keyPem) },
  })),
  "files beside it": one(
    () => ({
      cluster: { "certificate-authority-data": null, "certificate-authority": "pki/ca.pem" },
      user: { "client-certificate": "./pki/cert.pem", "client-key": "pki/key.pem" },
    }),
    () => ({ "pki/ca.pem": root.pem, "pki/cert.pem": client.pem, "pki/key.pem": client.keyPem }),
  ),
  "a certificate without its key": {
    ...one(() => ({ user: { "client-certificate-data": base64(client.pem) } })),
    differs: "attaché takes it",
  },
  "wrapped base64": one(() => ({
    cluster: { "certificate-authority-data": wrapped(root.pem) },
    user: { "client-certificate-data": wrapped(client.pem), "client-key-data": wrapped(client.keyPem) },
  })),
  "base64 as a literal block": text(() =>
    yaml("{ token: t }").replace(
      /certificate-authority-data: .*/,
      `certificate-authority-data: |\n${wrapped(root.pem).replace(/^/gm, "      ")}`,
    ),
  ),
  "no verification": one(() => ({
    cluster: { "certificate-authority-data": null, "insecure-skip-tls-verify": true },
  })),
  "a CA that is another": one(() => ({ cluster: { "certificate-authority-data": base64(other.pem) } })),
  "the server's certificate for a CA": one(() => ({
    cluster: { "certificate-authority-data": base64(leaf.pem) },
  })),
  impersonation: one(() => ({
    user: {
      token: "t",
      as: "jane",
      "as-uid": "7",
      "as-groups": ["a", "b"],
      "as-user-extra": { "x/y": ["1", "2"] },
    },
  })),
  "no user": {
    ...one(() => ({ more: { contexts: [{ name: "x", context: { cluster: "c" } }] } })),
    differs: "attaché takes it",
  },
  "a user that is missing": one(() => ({ more: { users: [] } })),
  "a cluster that is missing": one(() => ({ more: { clusters: [] } })),
  "a context that is missing": one(() => ({ more: { "current-context": "other" } })),
  "broken entries that are not used": text(() =>
    yaml(
      "{ token: t }",
      `- { name: empty, cluster: { server: "" } }
- { name: no-scheme, cluster: { server: "10.0.0.1:8080" } }
- { name: no-cluster }`,
    ).concat(
      `- { name: old, user: { exec: { apiVersion: client.authentication.k8s.io/v1alpha1, command: aws, args: null, env: null } } }
- { name: gone, user: { auth-provider: { name: gcp } } }
- { name: no-user }\n`,
    ),
  ),
  "an auth-provider": one(() => ({ user: { "auth-provider": { name: "gcp" } } })),
  "a scheme in capitals": one(() => ({ cluster: { server: `HTTPS://LocalHost:${port}` } })),
  "a server with a path": one(() => ({ cluster: { server: `https://localhost:${port}/k8s/clusters/c-1/` } })),
  "a server with a path and a query": one(() => ({
    cluster: { server: `https://localhost:${port}/a/b?x=1#y` },
  })),
  "a slash at the end": one(() => ({ cluster: { server: `https://localhost:${port}/` } })),
  "a server without TLS": { ...one(() => ({ cluster: { server: "http://10.255.255.1:1" } })) },
  "another server name": one(() => ({ cluster: { "tls-server-name": "other.test" } })),
  "another server name with a dot": one(() => ({ cluster: { "tls-server-name": "other.test." } })),
  "a server name that is wrong": one(() => ({ cluster: { "tls-server-name": "wrong.test" } })),
  "names that are numbers": {
    ...text(() =>
      yaml("{ token: t }").replaceAll("cluster: c", "cluster: 12").replace("name: c", "name: 12"),
    ),
    differs: "attaché takes it",
  },
  "two entries of one name": {
    ...one(() => ({
      more: {
        users: [
          { name: "u", user: { token: "1" } },
          { name: "u", user: { token: "2" } },
        ],
      },
    })),
    differs: "attaché takes it",
  },
  "a key twice": text(() =>
    yaml("{ token: one }").replace("current-context: x", "current-context: y\ncurrent-context: x"),
  ),
  "merge keys and anchors": text(() =>
    yaml("&u { token: t }\n- name: v\n  user: { <<: *u, as: jane }").replace("user: u", "user: v"),
  ),
  "tabs in JSON": text(() => JSON.stringify(JSON.parse(config()), null, "\t")),
  "a byte order mark": text(() => `\ufeff${config()}`),
  CRLF: text(() => yaml("{ token: t }").replaceAll("\n", "\r\n")),
  "no kind": text(() => yaml("{ token: t }").replace("apiVersion: v1\nkind: Config\n", "")),
  "a token that is a number": text(() => yaml("{ token: 123 }")),
  "no YAML": text(() => "a: b: c"),
  nothing: text(() => ""),
  "2 MB": one(() => ({
    more: {
      users: Array.from({ length: 1_000 }, (_, index) => ({
        name: index === 999 ? "u" : `u${index}`,
        user: { token: `t${index}`, "client-key-data": index === 999 ? null : base64("x".repeat(1_500)) },
      })),
    },
  })),
  "several files": {
    files: () => ({
      first: config({ user: { token: "of the first" }, more: { clusters: [], "current-context": "" } }),
      second: config({ user: { token: "of the second" }, more: { "current-context": "x" } }),
      third: config({ more: { "current-context": "third" } }),
      empty: "",
    }),
    kubeconfig: ["missing", "empty", "first", "second", "third"],
  },
  "several files, with an entry that is broken in the first": {
    files: () => ({
      first: config({ cluster: { server: "" } }),
      second: config({ user: { token: "of the second" } }),
    }),
    kubeconfig: ["first", "second"],
  },
  "several files, of which one is broken": {
    files: () => ({ first: config(), second: "a: b: c" }),
    kubeconfig: ["first", "second"],
  },
  "files beside each of several": {
    files: () => ({
      first: JSON.stringify({ "current-context": "x" }),
      "deep/second": config({ user: { tokenFile: "token" } }),
      "deep/token": "deep",
    }),
    kubeconfig: ["first", "deep/second"],
  },
  "no file at all": { files: () => ({}), kubeconfig: ["missing"] },
  "a plug-in": one(execOf, () => ({ plugin: script(credential({ token: "plug-in" })) })),
  "a plug-in with nulls": one(
    () => execOf({ args: null, env: null, installHint: null, provideClusterInfo: null }),
    () => ({ plugin: script(credential({ token: "t", expirationTimestamp: null, clientKeyData: null })) }),
  ),
  "a plug-in that prints YAML": one(execOf, () => ({
    plugin: script(
      `apiVersion: ${apiVersion}\nkind: ExecCredential\nstatus:\n  token: yaml\n  expirationTimestamp: "2099-01-01T02:00:00+02:00"`,
    ),
  })),
  "a plug-in that prints a date of YAML": one(execOf, () => ({
    plugin: script(
      `apiVersion: ${apiVersion}\nkind: ExecCredential\nstatus:\n  token: yaml\n  expirationTimestamp: 2099-01-01T00:00:00Z`,
    ),
  })),
  "a plug-in with a certificate": one(execOf, () => ({
    plugin: script(credential({ clientCertificateData: client.pem, clientKeyData: client.keyPem })),
  })),
  "a plug-in with half a certificate": one(execOf, () => ({
    plugin: script(credential({ token: "t", clientCertificateData: client.pem })),
  })),
  "a plug-in with nothing": one(execOf, () => ({ plugin: script(credential({})) })),
  "a plug-in with garbage": one(execOf, () => ({ plugin: script("garbage") })),
  "a plug-in of another version": {
    ...one(execOf, () => ({
      plugin: script(credential({ token: "t" }, "client.authentication.k8s.io/v1beta1")),
    })),
    differs: "attaché takes it",
  },
  "a plug-in of v1beta1": one(
    () => execOf({ apiVersion: "client.authentication.k8s.io/v1beta1", interactiveMode: undefined }),
    () => ({ plugin: script(credential({ token: "t" }, "client.authentication.k8s.io/v1beta1")) }),
  ),
  "a plug-in of v1alpha1": one(
    () => execOf({ apiVersion: "client.authentication.k8s.io/v1alpha1" }),
    () => ({ plugin: script(credential({ token: "t" }, "client.authentication.k8s.io/v1alpha1")) }),
  ),
  "a plug-in that fails": one(execOf, () => ({ plugin: "#!/bin/sh\nexit 3\n" })),
  "a plug-in that must ask": one(
    () => execOf({ interactiveMode: "Always" }),
    () => ({
      plugin: script(credential({ token: "t" })),
    }),
  ),
  "a plug-in without interactiveMode": {
    ...one(
      () => execOf({ interactiveMode: undefined }),
      () => ({ plugin: script(credential({ token: "t" })) }),
    ),
    differs: "attaché takes it",
  },
  "a plug-in beside a token": one(
    () => ({ user: { ...execOf().user, token: "inlined" } }),
    () => ({ plugin: script(credential({ token: "plug-in" })) }),
  ),
  "a plug-in with arguments and environment": one(
    () => execOf({ args: ["a b", "c"], env: [{ name: "WHO", value: "me" }] }),
    () => ({
      plugin: `#!/bin/sh\ntest "$1$2$WHO" = "a bcme" || exit 1\n${script(credential({ token: "t" })).replace(/^.*\n/, "")}`,
    }),
  ),
  "a plug-in that learns of the cluster": one(
    () => ({
      ...execOf({ provideClusterInfo: true }),
      cluster: {
        "tls-server-name": "other.test",
        "proxy-url": proxy(),
        extensions: [
          { name: "unrelated", extension: { x: 1 } },
          { name: "client.authentication.k8s.io/exec", extension: { audience: "a", more: [1] } },
        ],
      },
    }),
    () => ({ plugin: script(credential({ token: "t" })) }),
  ),
  "a plug-in that learns of a CA in a file": one(
    () => ({
      ...execOf({ provideClusterInfo: true }),
      cluster: { "certificate-authority-data": null, "certificate-authority": "ca.pem" },
    }),
    () => ({ plugin: script(credential({ token: "t" })), "ca.pem": root.pem }),
  ),
  "proxy-url": one(() => ({ cluster: { ...named("api.test").cluster, "proxy-url": proxy() } })),
  "proxy-url with a password": one(() => ({
    cluster: { ...named("api.test").cluster, "proxy-url": `http://jane:se%3Acret@127.0.0.1:${proxyPort}` },
  })),
  "proxy-url without a scheme": one(() => ({ cluster: { "proxy-url": `127.0.0.1:${proxyPort}` } })),
  "proxy-url of another kind": one(() => ({ cluster: { "proxy-url": "ftp://127.0.0.1:1" } })),
  "proxy-url before HTTPS_PROXY": {
    ...one(() => ({ cluster: { ...named("api.test").cluster, "proxy-url": proxy() } })),
    env: () => ({ HTTPS_PROXY: "http://127.0.0.1:1" }),
  },
  HTTPS_PROXY: { ...one(() => named("api.test")), env: proxied(proxy) },
  "HTTPS_PROXY without a scheme": {
    ...one(() => named("api.test")),
    env: proxied(() => `127.0.0.1:${proxyPort}`),
  },
  https_proxy: { ...one(() => named("api.test")), env: () => ({ https_proxy: proxy() }) },
  "HTTPS_PROXY and an address of this machine": {
    ...one(() => ({})),
    env: proxied(() => "http://127.0.0.1:1"),
  },
  "NO_PROXY that fits": {
    ...one(() => ({ cluster: { server: `https://localhost:${port}` } })),
    env: () => ({ HTTPS_PROXY: "http://127.0.0.1:1", NO_PROXY: "127.0.0.0/8" }),
  },
  "NO_PROXY that does not fit": {
    ...one(() => named("api.test")),
    env: () => ({ HTTPS_PROXY: proxy(), NO_PROXY: "10.0.0.0/8,.api.test,api.test:443" }),
  },
  "proxy-url of SOCKS": through("api.test", () => socks()),
  "proxy-url of SOCKS, names resolved by the proxy": through("api.test", () => socks("socks5h")),
  "proxy-url of SOCKS in capitals": through("api.test", () => socks("SOCKS5")),
  "proxy-url of SOCKS with a password": through(
    "api.test",
    () => `socks5://jane:se%3Acret@127.0.0.1:${socksPort}`,
  ),
  "proxy-url of SOCKS that is not there": through("api.test", () => "socks5://127.0.0.1:1"),
  "proxy-url of SOCKS 4": through("api.test", () => socks("socks4")),
  "SOCKS to an address": through("10.255.255.1", () => socks()),
  "HTTPS_PROXY of SOCKS": { ...one(() => named("api.test")), env: proxied(socks) },
  "a dot at the end of the host": { ...one(() => named("api.test.")), env: proxied(proxy) },
  "a dot at the end of the host, behind SOCKS": through("api.test.", () => socks()),
  "a dot at the end of the host, without a proxy": one(() => ({
    cluster: { server: `https://localhost.:${port}` },
  })),
};

describe("kubectl and attaché", () => {
  it.each(Object.entries(cases))(
    "agree on %s",
    async (_name, { files, kubeconfig = ["config"], env, differs }) => {
      for (const [name, content] of Object.entries(files())) {
        await mkdir(dirname(join(folder, name)), { recursive: true });
        await writeFile(join(folder, name), content);
        await chmod(join(folder, name), content.startsWith("#!") ? 0o700 : 0o600);
      }
      const paths = kubeconfig.map((name) => join(folder, name)).join(":");
      const environment = { ...env?.(), KUBECONFIG: paths, HOME: folder };
      const theirs = await witnessed(() => byKubectl(environment));
      const ours = await witnessed(() => byAttache(environment));
      if (differs === undefined) expect(ours).toEqual(theirs);
      else {
        const [taker, refuser] = differs === "attaché takes it" ? [ours, theirs] : [theirs, ours];
        expect({ taken: taker.isTaken, refused: !refuser.isTaken }).toEqual({ taken: true, refused: true });
      }
    },
  );
});

/** What came of a request, and what it looked like to those that it met. */
async function witnessed(request: () => Promise<unknown>) {
  seen = [];
  asked = [];
  await rm(info(), { force: true });
  const isTaken = await request().then(
    () => true,
    () => false,
  );
  const written = await readFile(info(), "utf8").catch(() => undefined);
  return {
    isTaken,
    seen: isTaken ? seen : [],
    asked: isTaken ? asked : [],
    written: written === undefined || !isTaken ? undefined : (JSON.parse(written) as unknown),
  };
}

function byKubectl(env: Readonly<Record<string, string>>): Promise<unknown> {
  const inherited = { PATH: process.env["PATH"] ?? "" };
  const options = { env: { ...inherited, ...env }, timeout: 20_000 };
  const running = promisify(execFile)(kubectl, ["get", "--raw", "/version"], options);
  // It would ask for a name and a password.
  running.child.stdin?.end();
  return running;
}

async function byAttache(env: Readonly<Record<string, string>>): Promise<unknown> {
  const access = await loadAccess({ env });
  await using api = openKubeClient(access, { userAgent: "attache/test", timeoutMs: 5_000 });
  return await api.request({ method: "GET", path: "/version" });
}

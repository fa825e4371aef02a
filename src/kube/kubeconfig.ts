/**
 * Kubeconfigs as kubectl reads them: by `KubeConfig` of Kubernetes' own client, and by hand what that lacks:
 * several files, `tokenFile`, all of impersonation, and exec plug-ins that read `KUBERNETES_EXEC_INFO` or
 * print YAML.
 */
import { type Cluster, KubeConfig } from "@kubernetes/client-node";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { promisify } from "node:util";
import { parse, YAMLParseError } from "yaml";
import { z } from "zod";
import type { Clock } from "../runtime/clock.ts";
import { isLoopback } from "../text/host.ts";
import { sanitizePeerText } from "../text/peer-text.ts";
import { type CredentialPlugin, type Material, type Principal, readMaterial } from "./access.ts";
import { ApiError } from "./api-error.ts";

const text = z.string().nullish();
const execSchema = z.looseObject({
  apiVersion: z.enum(["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"]),
  command: z.string().min(1),
  args: z.array(z.string()).nullish(),
  env: z.array(z.looseObject({ name: z.string(), value: z.string() })).nullish(),
  installHint: text,
  provideClusterInfo: z.boolean().nullish(),
  interactiveMode: z.enum(["Never", "IfAvailable"]).nullish(),
});
const userSchema = z.looseObject({
  ...{ token: text, tokenFile: text, username: text, password: text, as: text, "as-uid": text },
  "as-groups": z.array(z.string()).nullish(),
  "as-user-extra": z.record(z.string(), z.array(z.string())).nullish(),
  "auth-provider": z.looseObject({ name: z.string() }).nullish(),
  exec: execSchema.nullish(),
});
const answerSchema = z.looseObject({
  kind: z.literal("ExecCredential"),
  status: z.looseObject({
    ...{ token: text, clientCertificateData: text, clientKeyData: text },
    expirationTimestamp: z.iso.datetime({ offset: true }).nullish(),
  }),
});

type Fields = Record<string, unknown>;

/**
 * The API server and user of the files. If several files have an entry of one name, the first one counts.
 * @param options.context in place of the current one.
 * @throws ApiError that names the files.
 */
export async function fromKubeconfig(
  files: readonly string[],
  options: { readonly context?: string | undefined; readonly clock: Clock },
): Promise<Principal> {
  const where = files.join(", ");
  const all = await Promise.all(files.map(read));
  const [clusters, users] = [merged(all.map((raw) => raw.clusters)), merged(all.map((raw) => raw.users))];
  const contexts = merged(all.map((raw) => raw.contexts));
  const config = new KubeConfig();
  config.loadFromString(JSON.stringify({ clusters, users, contexts }), { onInvalidEntry: "filter" });
  const name = options.context ?? all.map(({ current }) => current).find(Boolean);
  if (!name) throw unusable(`no current context in ${where}`, "Choose one: kubectl config use-context NAME.");

  /** `KubeConfig` has left out broken entries. */
  function find<T extends { readonly name: string }>(what: string, of: string, entries: readonly T[]): T {
    const found = entries.find((entry) => entry.name === of);
    if (found !== undefined) return found;
    const known = entries.map((entry) => entry.name).join(", ") || "there is none";
    const problem = `there is no ${what} "${of}" in ${where}, or it is incomplete`;
    throw unusable(problem, `Name one that is there: ${known}.`);
  }

  const context = find("context", name, config.getContexts());
  const cluster = find("cluster", context.cluster, config.getClusters());
  const server = serverOf(cluster, where);
  const principal: Principal = {
    server,
    namespace: context.namespace ?? "default",
    proxyUrl: cluster.proxyUrl,
    serverName: cluster.tlsServerName,
    insecureSkipTlsVerify: cluster.skipTLSVerify,
    ca: pem(cluster.caFile, cluster.caData),
  };
  if (!context.user) return principal;
  const user = find("user", context.user, config.getUsers());
  const fields = users.find(({ name }) => name === user.name)?.["user"];
  const { data, error } = userSchema.safeParse(fields ?? {});
  if (data === undefined) {
    const problems = error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
    throw unusable(`the user "${user.name}" of ${where} is not as it should be: ${problems.join("; ")}`);
  }
  const { token, tokenFile, exec, "auth-provider": old } = data;
  if (old && !exec) {
    throw unusable(
      `the user of ${where} logs in with the auth-provider "${old.name}", which Kubernetes has given up`,
      "Use its exec plug-in, e.g. kubelogin, gke-gcloud-auth-plugin, aws eks get-token.",
    );
  }
  const { authorization, ...impersonation } = headersOf(data);
  // Without TLS, neither a token nor a password is sent.
  if (!server.startsWith("https:")) return { ...principal, headers: impersonation };
  return {
    ...principal,
    ...(token && { token: { text: token } }),
    ...(tokenFile && { token: { file: tokenFile, fallback: token } }),
    cert: pem(user.certFile, user.certData),
    key: pem(user.keyFile, user.keyData),
    plugin: exec ? execPlugin(exec, () => clusterInfo(cluster, clusters), options.clock) : undefined,
    headers: { ...impersonation, ...(authorization && { authorization }) },
  };
}

/** Also returns broken entries. Makes paths absolute. */
async function read(file: string) {
  const content = (await readMaterial({ file })) ?? "";
  try {
    // It takes JSON as well.
    const raw = (parse(content, { uniqueKeys: false, merge: true, logLevel: "error" }) ?? {}) as Fields;
    const lists = [raw["clusters"], raw["users"], raw["contexts"]] as (
      (Fields | null)[] | null | undefined
    )[];
    const [clusters = [], users = [], contexts = []] = lists.map((list) =>
      (list ?? []).filter((one) => one !== null),
    );
    for (const entry of [...clusters, ...users]) makeAbsolute(entry, dirname(file));
    return { clusters, users, contexts, current: raw["current-context"] as string | undefined };
  } catch (error) {
    // The parser's message is left out: it quotes the file, which has secrets.
    const line = error instanceof YAMLParseError ? `:${error.linePos?.[0].line ?? ""}` : "";
    throw unusable(`${file}${line} is no kubeconfig: it is not YAML, or no map`);
  }
}

/** Of each name the first entry, even if it is broken. */
function merged(lists: readonly (readonly Fields[])[]): readonly Fields[] {
  return Array.from(Map.groupBy(lists.flat(), ({ name }) => name).values(), ([first = {}]) => first);
}

const paths = ["certificate-authority", "client-certificate", "client-key", "tokenFile", "command"];

function makeAbsolute({ cluster, user }: Fields, folder: string): void {
  const { exec } = { ...(user as Fields | null) };
  for (const part of [cluster, user, exec] as (Fields | null | undefined)[])
    for (const name of paths) {
      const path = part?.[name];
      // A command without a slash is looked for in $PATH.
      const isPath = typeof path === "string" && (name === "command" ? path.includes("/") : path !== "");
      if (part && isPath) part[name] = resolve(folder, path);
    }
}

function serverOf({ server }: Cluster, where: string): string {
  const url = URL.parse(server.includes("://") ? server : `http://${server}`);
  if (url === null) throw unusable(`${where} has a server that is no URL`);
  const { protocol, origin, pathname, hostname } = url;
  const isLocal = isLoopback(hostname.replace(/^\[(.*)\]$/, "$1"));
  if (protocol !== "https:" && !(protocol === "http:" && isLocal)) {
    throw unusable(
      `${server} in ${where} has no TLS`,
      "Name it with https://; only an address of this machine may do without.",
    );
  }
  return `${origin}${pathname}`.replace(/\/+$/, "");
}

function headersOf(user: z.infer<typeof userSchema>) {
  const { username, password } = user;
  const basic = Buffer.from(`${username ?? ""}:${password ?? ""}`).toString("base64");
  const headers: Record<string, string | string[] | null | undefined> = {
    authorization: (username ?? password) && `Basic ${basic}`,
    "impersonate-user": user.as,
    "impersonate-uid": user["as-uid"],
    "impersonate-group": user["as-groups"],
  };
  for (const [name, values] of Object.entries(user["as-user-extra"] ?? {}))
    headers[`impersonate-extra-${encodeURIComponent(name)}`] = values;
  return withoutEmpty(headers);
}

function withoutEmpty<T>(fields: Readonly<Record<string, T | null | undefined>>): Record<string, T> {
  return Object.fromEntries(Object.entries(fields).filter((one): one is [string, T] => Boolean(one[1])));
}

/** Data take precedence over a file. */
function pem(file: string | undefined, data: string | undefined): Material | undefined {
  if (data) return { text: Buffer.from(data, "base64").toString("utf8") };
  return file ? { file } : undefined;
}

/** The cluster in `KUBERNETES_EXEC_INFO`, for a plug-in with `provideClusterInfo`. */
async function clusterInfo(cluster: Cluster, raw: readonly Fields[]): Promise<object> {
  const { name, server, caData, caFile, skipTLSVerify, tlsServerName, proxyUrl } = cluster;
  const fields = raw.find((entry) => entry["name"] === name)?.["cluster"] as Fields | undefined;
  const extensions = (fields?.["extensions"] ?? []) as { name: string; extension: unknown }[];
  const own = extensions.find((extension) => extension.name === "client.authentication.k8s.io/exec");
  const ca = caData ?? (caFile && (await readFile(caFile, "base64")));
  return {
    server,
    ...withoutEmpty({
      "tls-server-name": tlsServerName,
      "insecure-skip-tls-verify": skipTLSVerify,
      "certificate-authority-data": ca?.replace(/\s/g, ""),
      "proxy-url": proxyUrl,
    }),
    config: own?.extension ?? null,
  };
}

const limits = { timeout: 60_000, maxBuffer: 1024 * 1024, killSignal: "SIGKILL" } as const;

/**
 * A program that gives credentials, as clouds have them
 * (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins).
 */
function execPlugin(
  { apiVersion, command, args, env, installHint, provideClusterInfo }: z.infer<typeof execSchema>,
  cluster: () => Promise<object>,
  clock: Clock,
): CredentialPlugin {
  let last: z.infer<typeof answerSchema>["status"] | undefined;

  async function ask() {
    const given = Object.fromEntries((env ?? []).map(({ name, value }) => [name, value]));
    const spec = { interactive: false, ...(provideClusterInfo && { cluster: await cluster() }) };
    const info = JSON.stringify({ kind: "ExecCredential", apiVersion, spec });
    const options = { ...limits, env: { ...process.env, ...given, KUBERNETES_EXEC_INFO: info } };
    const running = promisify(execFile)(command, args ?? [], options);
    const { stdout } = await running.catch((error: unknown) => Promise.reject(failure(reasonOf(error))));
    const { data } = answerSchema.safeParse(documentIn(stdout));
    const { token, clientCertificateData: cert, clientKeyData: key } = data?.status ?? {};
    if (data !== undefined && Boolean(cert) === Boolean(key) && (token || cert)) return data.status;
    throw failure("it printed no ExecCredential with a token or certificate");
  }

  /** Has no cause, because that has the output of the program, which may be a token. */
  function failure(reason: string): ApiError {
    const remedy = installHint ? sanitizePeerText(installHint) : "Run the plug-in by hand, and log in again.";
    return unusable(`the credential plug-in ${command} of the kubeconfig fails: ${reason}`, remedy);
  }

  return {
    async run() {
      const expires = last?.expirationTimestamp;
      if (last === undefined || (expires && new Date(expires) <= clock.now())) last = await ask();
      return { token: last.token, cert: last.clientCertificateData, key: last.clientKeyData };
    },
    forget: () => (last = undefined),
  };
}

/** Nothing if it is no YAML; an alias without its anchor is only found when the value is made. */
function documentIn(output: string): unknown {
  try {
    return parse(output, { logLevel: "error" });
  } catch {
    return undefined;
  }
}

function reasonOf(error: unknown): string {
  const { killed, stderr, code } = error as { killed?: boolean; stderr?: string; code?: unknown };
  if (code === "ERR_CHILD_PROCESS_STDIO_MAXBUFFER") return `it printed more than ${limits.maxBuffer} bytes`;
  if (killed === true) return `it took longer than ${limits.timeout / 1000} s`;
  return sanitizePeerText(stderr ?? "") || `it ended with ${String(code)}`;
}

function unusable(problem: string, remedy?: string): ApiError {
  return new ApiError("ATTACHE_KUBERNETES_CONFIG", problem, remedy === undefined ? {} : { remedy });
}

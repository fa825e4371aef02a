/** Kubeconfig files as kubectl reads them, where `KubeConfig` of Kubernetes' own client does not. */
import { type Cluster, KubeConfig, type User } from "@kubernetes/client-node";
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { parse, YAMLParseError } from "yaml";
import { z } from "zod";
import type { Clock } from "../runtime/clock.ts";
import type { Material, Principal } from "./access.ts";
import { ApiError } from "./api-error.ts";
import { execPlugin, execSchema } from "./exec-plugin.ts";

const userSchema = z.looseObject({
  token: z.string().nullish(),
  tokenFile: z.string().nullish(),
  username: z.string().nullish(),
  password: z.string().nullish(),
  as: z.string().nullish(),
  "as-uid": z.string().nullish(),
  "as-groups": z.array(z.string()).nullish(),
  "as-user-extra": z.record(z.string(), z.array(z.string())).nullish(),
  exec: execSchema.nullish(),
  "auth-provider": z.looseObject({ name: z.string() }).nullish(),
});

/** One of several files that count as one. */
interface Loaded {
  readonly file: string;
  readonly config: KubeConfig;
  /** For what `KubeConfig` leaves out. */
  readonly raw: {
    readonly clusters?: {
      name: string;
      cluster: { extensions?: { name: string; extension: unknown }[] | null };
    }[];
    readonly users?: { name: string; user: unknown }[];
  };
}

/**
 * Whom the files name: of each name, the entry of the first file that has it.
 * @param options.context in place of the current one.
 * @throws ApiError that names the file.
 */
export async function fromKubeconfig(
  files: readonly string[],
  options: { readonly context?: string | undefined; readonly clock: Clock },
): Promise<Principal> {
  const loaded = await Promise.all(files.map(load));
  const where = files.join(", ");
  const name = options.context ?? loaded.map(({ config }) => config.getCurrentContext()).find(Boolean);
  if (!name) throw unusable(`no current context in ${where}`, "Choose one: kubectl config use-context NAME.");

  /** Without those that `KubeConfig` has left out because they are broken. */
  function find<T extends { readonly name: string }>(
    what: string,
    of: string,
    all: (one: KubeConfig) => T[],
  ) {
    for (const one of loaded) {
      const entry = all(one.config).find((entry) => entry.name === of);
      if (entry !== undefined) return { ...one, entry };
    }
    const known = loaded.flatMap(({ config }) => all(config).map((entry) => entry.name));
    const remedy = `Name one that is there: ${known.join(", ") || "there is none"}.`;
    throw unusable(`there is no ${what} "${of}" in ${where}, or it is incomplete`, remedy);
  }

  const { entry: chosen } = find("context", name, (config) => config.getContexts());
  const cluster = find("cluster", chosen.cluster, (config) => config.getClusters());
  const user = chosen.user ? find("user", chosen.user, (config) => config.getUsers()) : undefined;
  const server = serverOf(cluster.entry, cluster.file);
  return {
    server,
    namespace: chosen.namespace ?? "default",
    proxyUrl: cluster.entry.proxyUrl,
    serverName: cluster.entry.tlsServerName,
    insecureSkipTlsVerify: cluster.entry.skipTLSVerify,
    ca: pem(cluster.entry.caFile, cluster.entry.caData),
    ...(user && withoutSecrets(server, userPart(user, cluster, options.clock))),
  };
}

/** Without TLS, neither a token nor a password is sent. */
function withoutSecrets(server: string, part: Partial<Principal>): Partial<Principal> {
  if (server.startsWith("https:")) return part;
  const { authorization: _, ...headers } = part.headers ?? {};
  return { headers };
}

async function load(file: string): Promise<Loaded> {
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
    throw unusable(`${file} cannot be read (${code})`);
  });
  try {
    // Parsed here, as `KubeConfig` keeps only what it uses itself; it takes JSON as well.
    const raw = (parse(text, { uniqueKeys: false, merge: true, logLevel: "error" }) ?? {}) as Loaded["raw"];
    const config = new KubeConfig();
    config.loadFromString(JSON.stringify(raw), { onInvalidEntry: "filter" });
    config.makePathsAbsolute(dirname(file));
    return { file, config, raw };
  } catch (error) {
    // Without the parser's message, which quotes the file, and that has secrets.
    const line = error instanceof YAMLParseError ? `:${error.linePos?.[0].line ?? ""}` : "";
    throw unusable(`${file}${line} is no kubeconfig: it is not YAML, or no map`);
  }
}

function serverOf({ server }: Cluster, file: string): string {
  const text = server.includes("://") ? server : `http://${server}`;
  if (!URL.canParse(text)) throw unusable(`${file} has a server that is no URL`);
  const { protocol, origin, pathname, hostname } = new URL(text);
  const isLocal = hostname === "localhost" || hostname === "[::1]" || hostname.startsWith("127.");
  if (protocol !== "https:" && !(protocol === "http:" && isLocal)) {
    throw unusable(
      `${server} in ${file} has no TLS`,
      "Name it with https://; only an address of this machine may do without.",
    );
  }
  return `${origin}${pathname}`.replace(/\/+$/, "");
}

type Of<T> = Loaded & { readonly entry: T };

function userPart({ file, entry, raw }: Of<User>, cluster: Of<Cluster>, clock: Clock): Partial<Principal> {
  const found = raw.users?.find(({ name }) => name === entry.name)?.user ?? {};
  const { data, error } = userSchema.safeParse(found);
  if (data === undefined) {
    const problems = error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
    throw unusable(`the user "${entry.name}" of ${file} is not as it should be: ${problems.join("; ")}`);
  }
  const { token, tokenFile, username, password, as, exec, "auth-provider": old } = data;
  if (old && !exec) {
    throw unusable(
      `the user of ${file} logs in with the auth-provider "${old.name}", which Kubernetes has given up`,
      "Use its exec plug-in, e.g. kubelogin, gke-gcloud-auth-plugin, aws eks get-token.",
    );
  }
  const headers: Record<string, string | string[] | null | undefined> = {
    authorization:
      (username ?? password) &&
      `Basic ${Buffer.from(`${username ?? ""}:${password ?? ""}`).toString("base64")}`,
    "impersonate-user": as,
    "impersonate-uid": data["as-uid"],
    "impersonate-group": data["as-groups"],
  };
  for (const [name, values] of Object.entries(data["as-user-extra"] ?? {})) {
    headers[`impersonate-extra-${encodeURIComponent(name)}`] = values;
  }
  return {
    ...(token && { token: { text: token } }),
    ...(tokenFile && { token: { file: resolve(dirname(file), tokenFile), fallback: token } }),
    cert: pem(entry.certFile, entry.certData),
    key: pem(entry.keyFile, entry.keyData),
    plugin: exec
      ? execPlugin(exec, { folder: dirname(file), cluster: () => clusterInfo(cluster), clock })
      : undefined,
    headers: withoutEmpty(headers),
  };
}

function withoutEmpty<T>(headers: Record<string, T | null | undefined>): Record<string, T> {
  return Object.fromEntries(Object.entries(headers).filter((one): one is [string, T] => Boolean(one[1])));
}

/** The data win over the file. */
function pem(file: string | undefined, data: string | undefined): Material | undefined {
  if (data) return { text: Buffer.from(data, "base64").toString("utf8") };
  return file ? { file } : undefined;
}

/** For an exec plug-in with `provideClusterInfo`. */
async function clusterInfo({ entry, raw }: Of<Cluster>): Promise<object> {
  const { extensions } = raw.clusters?.find(({ name }) => name === entry.name)?.cluster ?? {};
  const ca = entry.caData ?? (entry.caFile && (await readFile(entry.caFile, "base64")));
  const own = extensions?.find(({ name }) => name === "client.authentication.k8s.io/exec");
  return {
    server: entry.server,
    ...withoutEmpty({
      "tls-server-name": entry.tlsServerName,
      "insecure-skip-tls-verify": entry.skipTLSVerify,
      "certificate-authority-data": ca?.replace(/\s/g, ""),
      "proxy-url": entry.proxyUrl,
    }),
    config: own?.extension ?? null,
  };
}

function unusable(problem: string, remedy?: string): ApiError {
  return new ApiError("ATTACHE_KUBERNETES_CONFIG", problem, remedy === undefined ? {} : { remedy });
}

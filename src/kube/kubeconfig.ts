import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { z } from "zod";
import type { Clock } from "../runtime/clock.ts";
import { DocumentError } from "../text/yaml/document-error.ts";
import { parseYaml } from "../text/yaml/document.ts";
import { explain } from "../text/yaml/explain.ts";
import { ApiError } from "./api-error.ts";
import { ExecPlugin, execSchema } from "./exec-plugin.ts";
import type { Material } from "./material.ts";
import type { Principal } from "./principal.ts";

const cluster = z.looseObject({
  server: z.string().regex(/^https?:\/\/[^/]/, "must begin with https://"),
  "certificate-authority": z.string().nullish(),
  "certificate-authority-data": z.base64().nullish(),
  "insecure-skip-tls-verify": z.boolean().nullish(),
  "tls-server-name": z.string().nullish(),
  "proxy-url": z.string().nullish(),
});

const user = z.looseObject({
  token: z.string().nullish(),
  tokenFile: z.string().nullish(),
  "client-certificate": z.string().nullish(),
  "client-certificate-data": z.base64().nullish(),
  "client-key": z.string().nullish(),
  "client-key-data": z.base64().nullish(),
  username: z.string().nullish(),
  password: z.string().nullish(),
  as: z.string().nullish(),
  "as-uid": z.string().nullish(),
  "as-groups": z.array(z.string()).nullish(),
  exec: execSchema.nullish(),
  "auth-provider": z.looseObject({ name: z.string() }).nullish(),
});

const context = z.looseObject({
  cluster: z.string(),
  user: z.string().nullish(),
  namespace: z.string().nullish(),
});

const kubeconfig = z.looseObject({
  clusters: z.array(z.looseObject({ name: z.string(), cluster })).nullish(),
  users: z.array(z.looseObject({ name: z.string(), user })).nullish(),
  contexts: z.array(z.looseObject({ name: z.string(), context })).nullish(),
  "current-context": z.string().nullish(),
});

/** One of several files that count as one. */
interface Loaded {
  readonly file: string;
  readonly content: z.infer<typeof kubeconfig>;
}

/**
 * Whom the kubeconfig files name, the first that says something having the last word, as with `kubectl`
 * (https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/). Files that do not exist count as empty.
 * @param contextName in place of the current context.
 * @throws ApiError or DocumentError that name the file.
 */
export async function fromKubeconfig(
  files: readonly string[],
  clock: Clock,
  contextName?: string,
): Promise<Principal> {
  const loaded = (await Promise.all(files.map(load))).filter((one) => one !== undefined);
  const where = files.join(", ");
  if (loaded.length === 0) throw unusable(`there is no kubeconfig ${where}`);
  const name =
    contextName ?? loaded.find(({ content }) => content["current-context"])?.content["current-context"];
  if (!name) throw unusable(`no current context in ${where}`, "Choose one: kubectl config use-context NAME.");
  const chosen = find(loaded, "contexts", name, where).entry.context;
  const at = find(loaded, "clusters", chosen.cluster, where);
  const as = chosen.user ? find(loaded, "users", chosen.user, where) : undefined;
  return {
    ...clusterPart(at.entry.cluster, at.file),
    ...(as !== undefined && userPart(as.entry.user, as.file, at.entry.cluster, clock)),
    namespace: chosen.namespace ?? "default",
  };
}

async function load(file: string): Promise<Loaded | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
    if (code === "ENOENT") return undefined;
    throw new ApiError("ATTACHE_KUBERNETES_CONFIG", `${file} cannot be read (${code})`, { cause });
  }
  const [document] = parseYaml(text, file);
  if (document === undefined) return undefined;
  const parsed = kubeconfig.safeParse(document.value, { reportInput: true });
  if (!parsed.success) throw new DocumentError(explain(parsed.error.issues, kubeconfig, document.place));
  return { file, content: parsed.data };
}

type Section = "clusters" | "users" | "contexts";
type Entry<S extends Section> = NonNullable<Loaded["content"][S]>[number];

function find<S extends Section>(
  loaded: readonly Loaded[],
  section: S,
  name: string,
  where: string,
): { readonly entry: Entry<S>; readonly file: string } {
  const known: string[] = [];
  for (const { content, file } of loaded) {
    const entries: readonly Entry<S>[] = content[section] ?? [];
    const entry = entries.find((one) => one.name === name);
    if (entry !== undefined) return { entry, file };
    known.push(...entries.map((one) => one.name));
  }
  throw unusable(
    `there is no ${section.slice(0, -1)} "${name}" in ${where}`,
    `Name one that is there: ${known.join(", ") || "there is none"}.`,
  );
}

function clusterPart(settings: z.infer<typeof cluster>, file: string): Omit<Principal, "namespace"> {
  const { server } = settings;
  if (
    server.startsWith("http://") &&
    !/^http:\/\/(?:127\.0\.0\.1|localhost|\[::1\])(?:[:/]|$)/.test(server)
  ) {
    throw unusable(
      `${server} in ${file} has no TLS`,
      "Use https://; http:// is for kubectl proxy on this machine.",
    );
  }
  return {
    server: server.replace(/\/+$/, ""),
    proxyUrl: settings["proxy-url"] ?? undefined,
    serverName: settings["tls-server-name"] ?? undefined,
    insecureSkipTlsVerify: settings["insecure-skip-tls-verify"] ?? undefined,
    ca: pem(settings["certificate-authority"], settings["certificate-authority-data"], file),
  };
}

function userPart(
  settings: z.infer<typeof user>,
  file: string,
  at: z.infer<typeof cluster>,
  clock: Clock,
): Partial<Principal> {
  if (settings["auth-provider"] && !settings.exec) {
    throw unusable(
      `the user of ${file} logs in with the auth-provider "${settings["auth-provider"].name}", which Kubernetes has given up`,
      "Use its exec plug-in, e.g. kubelogin, gke-gcloud-auth-plugin, aws eks get-token.",
    );
  }
  return {
    token: settings.token ? { text: settings.token } : fileOf(settings.tokenFile, file),
    cert: pem(settings["client-certificate"], settings["client-certificate-data"], file),
    key: pem(settings["client-key"], settings["client-key-data"], file),
    plugin: settings.exec ? new ExecPlugin(settings.exec, file, at, clock) : undefined,
    headers: {
      ...(settings.username && { authorization: basic(settings.username, settings.password ?? "") }),
      ...(settings.as && { "impersonate-user": settings.as }),
      ...(settings["as-uid"] && { "impersonate-uid": settings["as-uid"] }),
      ...(settings["as-groups"] && { "impersonate-group": settings["as-groups"] }),
    },
  };
}

function basic(name: string, password: string): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;
}

/** The data win over the file, as with `kubectl`. */
function pem(
  path: string | null | undefined,
  data: string | null | undefined,
  file: string,
): Material | undefined {
  return data ? { text: Buffer.from(data, "base64").toString("utf8") } : fileOf(path, file);
}

function fileOf(path: string | null | undefined, kubeconfigFile: string): Material | undefined {
  return path ? { file: resolve(dirname(kubeconfigFile), path) } : undefined;
}

function unusable(problem: string, remedy?: string): ApiError {
  return new ApiError("ATTACHE_KUBERNETES_CONFIG", problem, remedy === undefined ? {} : { remedy });
}

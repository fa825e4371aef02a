import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { parse } from "yaml";
import { z } from "zod";
import type { Clock } from "../runtime/clock.ts";
import { sanitizePeerText } from "../text/peer-text.ts";
import type { CredentialPlugin } from "./access.ts";
import { ApiError } from "./api-error.ts";

/** What a kubeconfig has under `users[].user.exec`. */
export const execSchema = z.looseObject({
  apiVersion: z.enum(["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"]),
  command: z.string().min(1),
  args: z.array(z.string()).nullish(),
  env: z.array(z.looseObject({ name: z.string(), value: z.string() })).nullish(),
  installHint: z.string().nullish(),
  provideClusterInfo: z.boolean().nullish(),
  interactiveMode: z.enum(["Never", "IfAvailable"]).nullish(),
});

const answerSchema = z.looseObject({
  kind: z.literal("ExecCredential"),
  status: z.looseObject({
    expirationTimestamp: z.iso.datetime({ offset: true }).nullish(),
    token: z.string().nullish(),
    clientCertificateData: z.string().nullish(),
    clientKeyData: z.string().nullish(),
  }),
});

type Answer = z.infer<typeof answerSchema>["status"];

const limits = { timeout: 60_000, maxBuffer: 1024 * 1024, killSignal: "SIGKILL" } as const;

interface ExecOptions {
  /** That of the kubeconfig: a command with a slash is looked for there. */
  readonly folder: string;
  /** What a plug-in that asks for it learns of the cluster, in the words of its API. */
  readonly cluster: () => Promise<object>;
  readonly clock: Clock;
}

/**
 * A program that gives credentials, as clouds have them
 * (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins).
 */
export function execPlugin(
  { apiVersion, command: name, args, env, installHint, provideClusterInfo }: z.infer<typeof execSchema>,
  { folder, cluster, clock }: ExecOptions,
): CredentialPlugin {
  const command = name.includes("/") ? resolve(folder, name) : name;
  let last: Answer | undefined;

  async function ask(): Promise<Answer> {
    const given = Object.fromEntries((env ?? []).map(({ name, value }) => [name, value]));
    const spec = { interactive: false, ...(provideClusterInfo && { cluster: await cluster() }) };
    const info = JSON.stringify({ kind: "ExecCredential", apiVersion, spec });
    const options = { ...limits, env: { ...process.env, ...given, KUBERNETES_EXEC_INFO: info } };
    const running = promisify(execFile)(command, args ?? [], options);
    const { stdout } = await running.catch((error: unknown) => Promise.reject(failure(reasonOf(error))));
    const { data } = answerSchema.safeParse(parsed(stdout));
    const { token, clientCertificateData: cert, clientKeyData: key } = data?.status ?? {};
    if (data !== undefined && Boolean(cert) === Boolean(key) && (token || cert)) return data.status;
    throw failure("it printed no ExecCredential with a token or certificate");
  }

  /** Without a cause, which has the output of the program, and that may be a token. */
  function failure(reason: string): ApiError {
    const remedy = installHint ? sanitizePeerText(installHint) : "Run the plug-in by hand, and log in again.";
    const problem = `the credential plug-in ${command} of the kubeconfig fails: ${reason}`;
    return new ApiError("ATTACHE_KUBERNETES_CONFIG", problem, { remedy });
  }

  return {
    async run() {
      const expires = last?.expirationTimestamp;
      if (last === undefined || (expires && new Date(expires) <= clock.now())) last = await ask();
      const { token, clientCertificateData: cert, clientKeyData: key } = last;
      return { token, cert, key };
    },
    forget: () => (last = undefined),
  };
}

/** YAML or JSON; `undefined` for what is neither. */
function parsed(text: string): unknown {
  try {
    return parse(text);
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

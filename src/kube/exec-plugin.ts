import { execFile } from "node:child_process";
import { dirname, isAbsolute, resolve } from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import type { Clock } from "../runtime/clock.ts";
import { sanitizePeerText } from "../text/peer-text.ts";
import { ApiError } from "./api-error.ts";

/** What a kubeconfig has under `users[].user.exec`. */
export const execSchema = z.looseObject({
  apiVersion: z.enum(["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"]),
  command: z.string().min(1),
  args: z.array(z.string()).nullish(),
  env: z.array(z.looseObject({ name: z.string(), value: z.string() })).nullish(),
  installHint: z.string().nullish(),
  provideClusterInfo: z.boolean().nullish(),
});

export type ExecSettings = z.infer<typeof execSchema>;

/** What a plug-in gives; secret. */
export interface ExecCredential {
  readonly token?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

const answerSchema = z.looseObject({
  kind: z.literal("ExecCredential"),
  status: z.looseObject({
    expirationTimestamp: z.iso.datetime({ offset: true }).optional(),
    token: z.string().optional(),
    clientCertificateData: z.string().optional(),
    clientKeyData: z.string().optional(),
  }),
});

type Answer = z.infer<typeof answerSchema>;

const timeoutMs = 60_000;
const maxBuffer = 1024 * 1024;

/**
 * A program that gives credentials, as clouds have them
 * (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins).
 */
export class ExecPlugin {
  readonly #settings: ExecSettings;
  readonly #command: string;
  readonly #cluster: object;
  readonly #clock: Clock;
  #last: Answer["status"] | undefined;

  /**
   * @param file the kubeconfig: a command with a slash is looked for beside it.
   * @param cluster what the plug-in is told of the cluster, if it asks for that.
   */
  constructor(settings: ExecSettings, file: string, cluster: object, clock: Clock) {
    this.#settings = settings;
    const { command } = settings;
    this.#command = command.includes("/") && !isAbsolute(command) ? resolve(dirname(file), command) : command;
    this.#cluster = cluster;
    this.#clock = clock;
  }

  /** What it gave last, as long as that is valid, else what it gives now. @throws ApiError */
  async run(): Promise<ExecCredential> {
    const expires = this.#last?.expirationTimestamp;
    if (this.#last === undefined || (expires !== undefined && new Date(expires) <= this.#clock.now())) {
      this.#last = this.#parse(await this.#ask());
    }
    const { token, clientCertificateData: cert, clientKeyData: key } = this.#last;
    return { token, cert, key };
  }

  /** The API server did not accept it. */
  forget(): void {
    this.#last = undefined;
  }

  async #ask(): Promise<string> {
    const { apiVersion, args, env, installHint, provideClusterInfo } = this.#settings;
    const spec = { interactive: false, ...(provideClusterInfo === true && { cluster: this.#cluster }) };
    const info = { apiVersion, kind: "ExecCredential", spec };
    try {
      const { stdout } = await promisify(execFile)(this.#command, args ?? [], {
        env: {
          ...process.env,
          ...Object.fromEntries((env ?? []).map(({ name, value }) => [name, value])),
          KUBERNETES_EXEC_INFO: JSON.stringify(info),
        },
        timeout: timeoutMs,
        maxBuffer,
      });
      return stdout;
    } catch (error) {
      throw this.#failure(reasonOf(error), installHint ?? undefined);
    }
  }

  #parse(text: string): Answer["status"] {
    try {
      const { status } = answerSchema.parse(JSON.parse(text));
      if (status.token !== undefined || status.clientCertificateData !== undefined) return status;
    } catch {
      // Neither the text nor what is wrong with it is shown: it holds a token.
    }
    throw this.#failure("it printed no ExecCredential with a token or certificate");
  }

  /** Without a cause: the error of a program that ended has its output, and that may be a token. */
  #failure(reason: string, installHint?: string): ApiError {
    return new ApiError(
      "ATTACHE_KUBERNETES_CONFIG",
      `the credential plug-in ${this.#command} of the kubeconfig fails: ${reason}`,
      {
        remedy:
          installHint === undefined
            ? "Run the plug-in by hand, and log in again."
            : sanitizePeerText(installHint),
      },
    );
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown error";
  if ("killed" in error && error.killed === true) return `it took longer than ${timeoutMs / 1000} s`;
  const said = "stderr" in error && typeof error.stderr === "string" ? sanitizePeerText(error.stderr) : "";
  const code = "code" in error ? String(error.code) : "";
  return said === "" ? `it ended with ${code}` : said;
}

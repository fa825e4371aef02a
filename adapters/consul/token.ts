import { readFile } from "node:fs/promises";
import { type Clock, MeshError, unlessAborted } from "../../src/mesh/adapter.ts";
import { codeOf } from "../../src/mesh/kit/errors.ts";

/** Where an auth method is; both are empty for the default one, and in Consul's community edition. */
export interface Tenancy {
  readonly namespace: string;
  readonly partition: string;
}

/** Where the ACL token comes from. */
export type TokenSource =
  | { readonly kind: "none" }
  | { readonly kind: "fixed"; readonly token: string }
  | { readonly kind: "file"; readonly path: string }
  | ({
      readonly kind: "login";
      readonly authMethod: string;
      readonly bearerTokenFile: string;
    } & Tenancy);

/** What Consul is shown in exchange for an ACL token. */
export interface Login extends Tenancy {
  readonly authMethod: string;
  readonly bearerToken: string;
}

/** Asks Consul for a token; resolves with its SecretID. */
export type LogIn = (login: Login) => Promise<string>;

/**
 * A server that is not the leader may learn of a new token only after this long, says Consul; until then it
 * is not taken for one that is gone. In milliseconds.
 */
const newForMs = 30_000;

/**
 * The ACL token of a mesh: what is configured, as it stands now, or what a login gave, for as long as Consul
 * knows it.
 */
export class AclToken {
  readonly source: TokenSource;
  readonly #clock: Clock;
  #session: Promise<{ readonly token: string; readonly sinceMs: number }> | undefined;
  #hasEnded = false;

  constructor(source: TokenSource, clock: Clock) {
    this.source = source;
    this.#clock = clock;
  }

  /**
   * The token; `undefined` for none. Logs in if need be, once for all who wait.
   * @throws MeshError if it cannot be had; never quotes it.
   */
  async read(logIn: LogIn, signal: AbortSignal): Promise<string | undefined> {
    const { source } = this;
    if (source.kind === "none") return undefined;
    if (source.kind === "fixed") return tokenIn(source.token, "the ACL token", aclRemedy);
    if (source.kind === "file") return unlessAborted(readTokenFile(source.path, aclRemedy), signal);
    if (this.#hasEnded) throw new MeshError("ATTACHE_MESH_UNREACHABLE", "attaché has logged out");
    this.#session ??= this.#logIn(source, logIn);
    const { token } = await unlessAborted(this.#session, signal);
    return token;
  }

  /**
   * To be called with why a request with `token` failed. Whether the next `read` brings another token, so
   * that the request is to be made again: a login that Consul does not know is forgotten now, or another call
   * has forgotten it before.
   */
  async replaces(token: string | undefined, error: unknown): Promise<boolean> {
    const isUnknown = MeshError.is(error) && error.code === "ATTACHE_MESH_UNAUTHENTICATED";
    if (!isUnknown || this.source.kind !== "login") return false;
    const session = await this.#session?.catch(() => undefined);
    if (session === undefined || session.token !== token) return true;
    if (this.#clock.elapsedMs() - session.sinceMs < newForMs) return false;
    this.#session = undefined;
    return true;
  }

  /** Gives what a login gave back to Consul, for good; a file or a fixed token stays as it is. */
  async logOut(logOut: (token: string) => Promise<void>): Promise<void> {
    this.#hasEnded = true;
    const session = await this.#session?.catch(() => undefined);
    this.#session = undefined;
    if (session !== undefined) await logOut(session.token);
  }

  async #logIn({ authMethod, bearerTokenFile, namespace, partition }: LoginSource, logIn: LogIn) {
    try {
      const bearerToken = await readTokenFile(bearerTokenFile, bearerRemedy);
      const token = await logIn({ authMethod, bearerToken, namespace, partition });
      return { token, sinceMs: this.#clock.elapsedMs() };
    } catch (error) {
      this.#session = undefined;
      throw error;
    }
  }
}

type LoginSource = Extract<TokenSource, { readonly kind: "login" }>;

const aclRemedy =
  "Put the SecretID of a Consul ACL token there, alone, and let attaché read it; it is read again each time.";
const bearerRemedy =
  "Mount the token of attaché's ServiceAccount there (a projected volume where the auth method has an audience), or correct `login.bearerTokenFile`.";

async function readTokenFile(path: string, remedy: string): Promise<string> {
  try {
    return tokenIn(await readFile(path, "utf8"), `the token file ${path}`, remedy);
  } catch (cause) {
    if (MeshError.is(cause)) throw cause;
    throw unusable(
      `the token file ${path} cannot be read (${codeOf(cause) ?? "unknown error"})`,
      remedy,
      cause,
    );
  }
}

/** Anything else cannot stand in a header, and Node's error would quote it. */
function tokenIn(text: string, place: string, remedy: string): string {
  const token = text.trim();
  if (/^[!-~]{1,8192}$/.test(token)) return token;
  throw unusable(`${place} holds ${token === "" ? "nothing" : "something that is no token"}`, remedy);
}

function unusable(problem: string, remedy: string, cause?: unknown): MeshError {
  return new MeshError("ATTACHE_MESH_UNAUTHENTICATED", problem, {
    remedy,
    ...(cause !== undefined && { cause }),
  });
}

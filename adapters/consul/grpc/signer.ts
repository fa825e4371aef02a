import { readCertificates } from "../../../src/credentials/certificates.ts";
import {
  Backoff,
  type Certificate,
  type Clock,
  type Logger,
  MeshError,
  type LatestValue,
  type WatchOptions,
} from "../../../src/mesh/adapter.ts";
import { readingInSlices } from "../../../src/mesh/kit/errors.ts";
import { firstOf, mayPass } from "../../../src/mesh/kit/reconnect-loop.ts";
import { retrying } from "../../../src/mesh/kit/retry.ts";
import type { ServiceAccountLogin } from "../definition.ts";
import type { Tenancy } from "../token.ts";
import { giveBack } from "../give-back.ts";
import type { AclToken } from "../token.ts";
import type { Session } from "./session.ts";
import { SignQueue } from "./sign-queue.ts";

interface SignerOptions {
  /** The present connection; `undefined` while there is none. */
  readonly sessions: LatestValue<Session | undefined>;
  readonly acl: AclToken;
  readonly csrMaxPerSecond: number;
  readonly serviceAccountLogin: (ServiceAccountLogin & Tenancy) | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Signing {
  readonly csr: () => Promise<string>;
  readonly neededBy: Date;
  /** Who signs it, if not attaché itself. */
  readonly serviceAccount: string | undefined;
  /** Who may mint its token. */
  readonly bearer: Pick<WatchOptions, "serviceAccountToken">;
  readonly signal: AbortSignal;
}

/** A request fails after so long, while the connection stays: longer than an election takes. */
const graceMs = 15_000;

/** The shortest that the API server gives. */
const tokenLifeSeconds = 600;

/** Has CSRs signed, over whatever connection there is, in the order of their urgency. */
export class Signer implements Disposable {
  readonly #options: SignerOptions;
  readonly #queue: SignQueue;
  /**
   * Those that have logged in, or are about to: they have a token to give back, whatever becomes of the
   * signature.
   */
  readonly #logins = new Set<Promise<unknown>>();

  constructor(options: SignerOptions) {
    this.#options = options;
    this.#queue = new SignQueue({ perSecond: options.csrMaxPerSecond, clock: options.clock });
  }

  /**
   * The leaf and its intermediates. Waits while there is no connection.
   * @throws MeshError for what concerns this CSR, or all while the connection stays; the signal's reason.
   */
  sign(signing: Signing): Promise<readonly Certificate[]> {
    const { neededBy, signal } = signing;
    const { clock, sessions } = this.#options;
    const backoff = new Backoff(clock, { capMs: 4_000 });
    let session: Session | undefined;
    let failsSinceMs: number | undefined;
    return retrying(
      async () => {
        const present = await firstOf(sessions, isPresent, signal);
        session = present;
        return this.#queue.add({ neededBy, signal, run: () => this.#signOver(present, signing) });
      },
      async (error) => {
        if (signal.aborted || !MeshError.is(error)) throw error;
        // The connection has reported it, and opens another session.
        if (session?.signal.aborted === true) return;
        failsSinceMs ??= clock.elapsedMs();
        if (!mayPass.has(error.code) || clock.elapsedMs() - failsSinceMs >= graceMs) throw error;
        await backoff.pause(error, signal);
      },
    );
  }

  /** Resolves when no login of a ServiceAccount is left. */
  async loggedOut(): Promise<void> {
    await Promise.allSettled(this.#logins);
  }

  [Symbol.dispose](): void {
    this.#queue[Symbol.dispose]();
  }

  async #signOver(session: Session, signing: Signing): Promise<readonly Certificate[]> {
    session.signal.throwIfAborted();
    const { serviceAccount, signal } = signing;
    if (serviceAccount !== undefined) {
      const signed = this.#signAs(serviceAccount, session, signing);
      this.#logins.add(signed);
      return signed.finally(() => this.#logins.delete(signed));
    }
    const csr = await signing.csr();
    const token = await session.token(signal);
    try {
      return await certificatesIn(await session.sign(csr, token, signal));
    } catch (error) {
      if (!(await this.#options.acl.replaces(token, error))) throw error;
      return await certificatesIn(await session.sign(csr, await session.token(signal), signal));
    }
  }

  /** With a token that is for this signature only, and that is given back afterwards. */
  async #signAs(serviceAccount: string, session: Session, signing: Signing): Promise<readonly Certificate[]> {
    const { serviceAccountLogin } = this.#options;
    if (serviceAccountLogin === undefined) throw new TypeError("an identity was taken that cannot log in");
    const { authMethod, audience, namespace, partition } = serviceAccountLogin;
    const { bearer, signal } = signing;
    const csr = await signing.csr();
    const { token: bearerToken } = await bearer.serviceAccountToken({
      serviceAccount,
      audiences: audience === undefined ? [] : [audience],
      expirationSeconds: tokenLifeSeconds,
      signal,
    });
    const token = await session.logIn({ authMethod, bearerToken, namespace, partition });
    try {
      return await certificatesIn(await session.sign(csr, token, signal));
    } catch (error) {
      const isForbidden = MeshError.is(error) && error.code === "ATTACHE_MESH_FORBIDDEN";
      throw isForbidden ? notItsService(error, serviceAccount, authMethod) : error;
    } finally {
      await giveBack(session.logOut(token), this.#options);
    }
  }
}

function isPresent(session: Session | undefined): session is Session {
  return session !== undefined;
}

function certificatesIn(pem: string): Promise<readonly Certificate[]> {
  return readingInSlices("what Consul signed", () => readCertificates(pem));
}

function notItsService({ problem }: MeshError, serviceAccount: string, authMethod: string): MeshError {
  return new MeshError("ATTACHE_MESH_FORBIDDEN", problem, {
    remedy: `Consul makes another service of the ServiceAccount ${serviceAccount}: correct \`service\`, or the binding rule of the auth method ${authMethod} (BindType=service, BindName=\${serviceaccount.name} for type kubernetes).`,
  });
}

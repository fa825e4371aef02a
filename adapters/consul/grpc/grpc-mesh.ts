import {
  type Check,
  type Credential,
  issue,
  type IssuanceRequest,
  type Mesh,
  type MeshContext,
  MeshError,
  type WatchOptions,
} from "../../../src/mesh/adapter.ts";
import { type ConsulIdentity, spiffeIdOf } from "../definition.ts";
import { giveBack } from "../give-back.ts";
import { late, within } from "../../../src/mesh/kit/checks.ts";
import { meshErrorOf } from "../../../src/mesh/kit/errors.ts";
import { firstOf } from "../../../src/mesh/kit/reconnect-loop.ts";
import { restarting } from "../../../src/mesh/kit/retry.ts";
import { enterpriseOnly } from "../meanings.ts";
import { AclToken } from "../token.ts";
import { checkServers, type Signature } from "./check.ts";
import { Connection } from "./connection.ts";
import type { ServerSettings } from "./connection-settings.ts";
import { reportedDatacenter } from "./errors.ts";
import { Signer } from "./signer.ts";

/** A new identity goes behind leaves that end sooner than this, and before all others. */
const newWithinMs = 60_000;

/** How long an identity of Consul Enterprise waits to hear whether the servers are. */
const versionsWithinMs = 10_000;

/** Consul's default name of a datacenter. */
const usualDatacenter = "dc1";

/**
 * Consul's servers: one connection, over which all identities have their CSRs signed and learn of the roots.
 */
export class GrpcMesh implements Mesh<ConsulIdentity> {
  readonly #settings: ServerSettings;
  readonly #context: MeshContext;
  /** Ends the watches. */
  readonly #disposed = new AbortController();
  readonly #acl: AclToken;
  readonly #connection: Connection;
  readonly #signer: Signer;
  /** Also those whose watch has failed, until they are wanted no longer. */
  readonly #wanted = new Map<string, ConsulIdentity>();
  /** As the servers have said. */
  #datacenter: string | undefined;
  #signature: Signature | undefined;

  constructor(settings: ServerSettings, context: MeshContext) {
    const { clock, logger } = context;
    this.#settings = settings;
    this.#context = context;
    this.#acl = new AclToken(settings.token, clock);
    this.#connection = new Connection({ settings, context, acl: this.#acl });
    this.#signer = new Signer({
      ...settings,
      sessions: this.#connection.sessions,
      acl: this.#acl,
      clock,
      logger,
    });
  }

  async *watch(identity: ConsulIdentity, options: WatchOptions): AsyncGenerator<Credential> {
    this.#connection.keep();
    const signal = AbortSignal.any([options.signal, this.#disposed.signal]);
    const key = JSON.stringify(identity);
    this.#wanted.set(key, identity);
    try {
      await this.#assertTakes(identity, signal);
      let spiffeId = "";
      yield* restarting(
        async () => {
          spiffeId = await this.#spiffeIdOf(identity, signal);
          return this.#issue(spiffeId, identity, { ...options, signal });
        },
        async (error) => {
          // Another datacenter than was assumed, or another trust domain than it was.
          const isOutdated = MeshError.is(error) && (await this.#spiffeIdOf(identity, signal)) !== spiffeId;
          if (!isOutdated) throw error;
        },
      );
    } finally {
      if (options.signal.aborted) this.#wanted.delete(key);
    }
  }

  check(): Promise<Check[]> {
    const identities = [...this.#wanted.values()].filter(
      ({ serviceAccount }) => serviceAccount === undefined,
    );
    return checkServers({
      settings: this.#settings,
      context: this.#context,
      acl: this.#acl,
      identities,
      signature: this.#signature,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { name } = this.#context;
    const reason = new MeshError("ATTACHE_MESH_UNREACHABLE", `the mesh "${name}" was disconnected`);
    this.#disposed.abort(reason);
    const loggedOut = this.#acl.logOut((token) => this.#connection.logOut(token));
    await giveBack(Promise.all([loggedOut, this.#signer.loggedOut()]), this.#context);
    await this.#connection[Symbol.asyncDispose]();
    this.#signer[Symbol.dispose]();
  }

  async *#issue(
    spiffeId: string,
    { serviceAccount }: ConsulIdentity,
    options: WatchOptions,
  ): AsyncGenerator<Credential> {
    const { current, signal } = options;
    const { clock } = this.#context;
    let endsAt = current?.chain[0].notAfter;
    const sign: IssuanceRequest["sign"] = async (csr, signal) => {
      const neededBy = endsAt ?? new Date(clock.now().getTime() + newWithinMs);
      try {
        const certificates = await this.#signer.sign({
          csr,
          neededBy,
          serviceAccount,
          bearer: options,
          signal,
        });
        const leaf = certificates.find(({ isCa }) => !isCa);
        if (leaf !== undefined) this.#signature = { at: clock.now(), notBefore: leaf.notBefore };
        return certificates;
      } catch (error) {
        this.#learnDatacenter(error);
        throw error;
      }
    };
    const request = { spiffeId, sign, roots: this.#connection.roots, clock, signal };
    for await (const credential of issue({ ...request, ...(current && { current }) })) {
      endsAt = credential.chain[0].notAfter;
      yield credential;
    }
  }

  /** Waits for the trust domain. */
  async #spiffeIdOf(identity: ConsulIdentity, signal: AbortSignal): Promise<string> {
    await firstOf(this.#connection.roots, () => true, signal);
    const datacenter = this.#settings.datacenter ?? this.#datacenter ?? usualDatacenter;
    return spiffeIdOf(identity, { trustDomain: this.#connection.trustDomain, datacenter });
  }

  /**
   * No answer but the refusal of a CSR names the datacenter; it is believed once, where none is configured.
   */
  #learnDatacenter(error: unknown): void {
    this.#datacenter ??= reportedDatacenter(error);
  }

  /** @throws MeshError for an identity that these settings or servers can never give. */
  async #assertTakes(
    { serviceAccount, namespace = "default", partition = "default" }: ConsulIdentity,
    signal: AbortSignal,
  ): Promise<void> {
    if (serviceAccount !== undefined && this.#settings.serviceAccountLogin === undefined) throw noLogin();
    if (namespace === "default" && partition === "default") return;
    const versions = await this.#versions(signal);
    // The community edition would sign it, and its sidecars would refuse the certificate.
    if (versions.length > 0 && !versions.some((one) => one.includes("+ent")))
      throw meshErrorOf(enterpriseOnly);
  }

  /** Empty if the servers do not tell. */
  async #versions(signal: AbortSignal): Promise<readonly string[]> {
    const { versions } = this.#connection;
    const limit = { ms: versionsWithinMs, late: () => late("Consul", versionsWithinMs), signal };
    try {
      return await within({ ...limit, clock: this.#context.clock }, (until) =>
        firstOf(versions, () => true, until),
      );
    } catch (error) {
      if (signal.aborted || !MeshError.is(error)) throw error;
      return [];
    }
  }
}

function noLogin(): MeshError {
  return new MeshError("ATTACHE_MESH_IDENTITY_REFUSED", "this mesh does not log in as ServiceAccounts", {
    retryable: false,
    remedy: "Set `serviceAccountLogin` in the mesh's settings, or leave `serviceAccount` out.",
  });
}

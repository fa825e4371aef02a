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
import { meshErrorOf } from "../../../src/mesh/kit/errors.ts";
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

/** Consul's servers: one connection, over which all identities have their CSRs signed and learn of the roots. */
export class GrpcMesh implements Mesh<ConsulIdentity> {
  readonly #settings: ServerSettings;
  readonly #context: MeshContext;
  /** Ends the watches. */
  readonly #disposed = new AbortController();
  /** Ends the connection, over which tokens are given back first. */
  readonly #over = new AbortController();
  readonly #acl: AclToken;
  readonly #connection: Connection;
  readonly #signer: Signer;
  /** Also those whose watch has failed, until they are wanted no longer. */
  readonly #wanted = new Map<string, ConsulIdentity>();
  /** As the servers have said. */
  #datacenter: string | undefined;
  #signature: Signature | undefined;
  #keeping: Promise<void> | undefined;

  constructor(settings: ServerSettings, context: MeshContext) {
    const { clock, logger } = context;
    this.#settings = settings;
    this.#context = context;
    this.#acl = new AclToken(settings.token, clock);
    this.#connection = new Connection({ settings, context, acl: this.#acl, signal: this.#over.signal });
    this.#signer = new Signer({
      ...settings,
      sessions: this.#connection.sessions,
      acl: this.#acl,
      clock,
      logger,
    });
  }

  async *watch(identity: ConsulIdentity, options: WatchOptions): AsyncGenerator<Credential> {
    this.#keeping ??= this.#keep();
    const signal = AbortSignal.any([options.signal, this.#disposed.signal]);
    const key = JSON.stringify(identity);
    this.#wanted.set(key, identity);
    try {
      await this.#assertTakes(identity, signal);
      for (;;) {
        const spiffeId = await this.#spiffeIdOf(identity, signal);
        try {
          yield* this.#issue(spiffeId, identity, { ...options, signal });
        } catch (error) {
          // Another datacenter than was assumed, or another trust domain than it was.
          const isOutdated = MeshError.is(error) && (await this.#spiffeIdOf(identity, signal)) !== spiffeId;
          if (!isOutdated) throw error;
        }
      }
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
    const reason = new MeshError("ATTACHE_MESH_UNREACHABLE", `the mesh ${name} was disconnected`);
    this.#disposed.abort(reason);
    const loggedOut = this.#acl.logOut((token) => this.#connection.logOut(token));
    await giveBack(Promise.all([loggedOut, this.#signer.loggedOut()]), this.#context);
    this.#over.abort(reason);
    this.#signer[Symbol.dispose]();
    await this.#keeping;
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
    const request = { spiffeId, sign, roots: this.#connection.bundle, clock, signal };
    for await (const credential of issue({ ...request, ...(current && { current }) })) {
      endsAt = credential.chain[0].notAfter;
      yield credential;
    }
  }

  /** Waits for the trust domain. */
  async #spiffeIdOf(identity: ConsulIdentity, signal: AbortSignal): Promise<string> {
    for await (const _bundle of this.#connection.bundle.subscribe(signal)) break;
    const datacenter = this.#settings.datacenter ?? this.#datacenter ?? usualDatacenter;
    return spiffeIdOf(identity, { trustDomain: this.#connection.trustDomain, datacenter });
  }

  /** No answer but the refusal of a CSR names the datacenter; it is believed once, where none is configured. */
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
    const over = new AbortController();
    const heard = (async () => {
      for await (const versions of this.#connection.versions.subscribe(
        AbortSignal.any([signal, over.signal]),
      ))
        return versions;
      return [];
    })();
    const late = this.#context.clock
      .sleep(versionsWithinMs, AbortSignal.any([signal, over.signal]))
      .then(() => []);
    try {
      return await Promise.race([heard, late]);
    } finally {
      over.abort();
      await Promise.allSettled([heard, late]);
    }
  }

  async #keep(): Promise<void> {
    try {
      await this.#connection.keep();
    } catch (error) {
      // The disposal, or a bug in attaché; after a bug the next watch begins again.
      this.#keeping = undefined;
      this.#connection.bundle.fail(error);
    }
  }
}

function noLogin(): MeshError {
  return new MeshError("ATTACHE_MESH_IDENTITY_REFUSED", "this mesh does not log in as ServiceAccounts", {
    retryable: false,
    remedy: "Set `serviceAccountLogin` in the mesh's settings, or leave `serviceAccount` out.",
  });
}

import type { ListedRoots } from "../../../src/credentials/certificates.ts";
import { type MeshContext, MeshError, LatestValue, ReconnectLoop } from "../../../src/mesh/adapter.ts";
import { firstThatWorks } from "../../../src/mesh/kit/retry.ts";
import type { AclToken } from "../token.ts";
import type { Verification } from "../../../src/mesh/kit/grpc/tls.ts";
import { openServerChannel, verificationOf } from "./channel.ts";
import type { ServerSettings } from "./connection-settings.ts";
import { probe } from "./probe.ts";
import { type Server, Servers } from "./servers.ts";
import { type Roots, Session } from "./session.ts";

/** A connection that lasted less was none: the next one waits its time. */
const soundAfterMs = 5_000;

interface ConnectionOptions {
  readonly settings: ServerSettings;
  readonly context: MeshContext;
  readonly acl: AclToken;
}

/** The one connection to Consul: to one server for as long as it is of use, then to another. */
export class Connection implements AsyncDisposable {
  /** The present one; `undefined` while there is none. */
  readonly sessions = new LatestValue<Session | undefined>();
  /** Every root that Consul lists; what has come stays while there is no connection. */
  readonly roots = new LatestValue<ListedRoots>();
  /** Of Consul's servers: "1.16.2", "1.16.2+ent". */
  readonly versions = new LatestValue<readonly string[]>();
  readonly #options: ConnectionOptions;
  readonly #servers: Servers;
  readonly #loop: ReconnectLoop;
  /** The one to the server that is being used, or tried. */
  #session: Session | undefined;
  /** The server that was used for a while, and is of no use any more: it is tried last. */
  #lost: Server | undefined;
  #trustDomain = "";

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#servers = new Servers(options.settings.addresses, options.context.clock);
    this.#loop = new ReconnectLoop({
      context: options.context,
      connect: (signal) => this.#useAny(signal),
      ended: (error) => this.roots.fail(error),
      soundAfterMs,
    });
  }

  /** Empty before there are roots. */
  get trustDomain(): string {
    return this.#trustDomain;
  }

  /** Begins to connect, unless it has begun before. */
  keep(): void {
    this.#loop.keep();
  }

  /**
   * Gives a token back, over another connection if there is none. @throws MeshError if no server takes it.
   */
  async logOut(token: string): Promise<void> {
    if (this.#session !== undefined) return this.#session.logOut(token);
    const { signal } = this.#loop;
    await firstThatWorks(await this.#servers.inTurn(signal), async (server) => {
      using session = this.#open(server, await this.#verificationOf(server), false, signal);
      await session.logOut(token);
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#loop[Symbol.asyncDispose]();
  }

  /** Tries all servers in turn; resolves when one that was of use for a while is lost. */
  async #useAny(signal: AbortSignal): Promise<void> {
    const servers = await this.#servers.inTurn(signal, this.#lost);
    this.#lost = undefined;
    await firstThatWorks(servers, (server) => this.#use(server, servers.length > 1, signal));
  }

  async #use(server: Server, isReplaceable: boolean, signal: AbortSignal): Promise<void> {
    const { settings, context } = this.#options;
    const { clock } = context;
    const verification = await this.#verificationOf(server);
    using session = this.#open(server, verification, isReplaceable, signal);
    this.#session = session;
    let sinceMs: number | undefined;
    try {
      await session.follow({
        roots: (roots) => {
          sinceMs ??= clock.elapsedMs();
          this.#received(session, roots);
        },
        servers: (named) => {
          this.versions.publish(named.map(({ version }) => version));
          if (!settings.serverWatch) return;
          this.#servers.named = named.map(({ address }) => address);
          if (this.#servers.isGone(server)) session.end(noLongerNamed(session));
        },
      });
    } catch (error) {
      if (signal.aborted || !MeshError.is(error)) throw error;
      if (sinceMs !== undefined && clock.elapsedMs() - sinceMs >= soundAfterMs) {
        this.#lost = server;
        return;
      }
      this.#loop.suspend();
      const reason = sinceMs === undefined ? await probe(server, verification, { clock, signal }) : undefined;
      throw reason ?? error;
    } finally {
      this.#session = undefined;
      if (this.sessions.value === session) this.sessions.publish(undefined);
    }
  }

  async #verificationOf(server: Server): Promise<Verification | undefined> {
    const { tls } = this.#options.settings;
    return tls && (await verificationOf(tls, server));
  }

  #open(
    server: Server,
    verification: Verification | undefined,
    isReplaceable: boolean,
    signal: AbortSignal,
  ): Session {
    const { context, acl } = this.#options;
    const client = openServerChannel(server, verification);
    return new Session({ server, client, acl, clock: context.clock, isReplaceable, signal });
  }

  #received(session: Session, { trustDomain, listed }: Roots): void {
    this.#trustDomain = trustDomain;
    this.roots.publish(listed);
    if (this.sessions.value !== session) this.sessions.publish(session);
    this.#loop.markConnected();
  }
}

function noLongerNamed({ name }: Session): MeshError {
  return new MeshError("ATTACHE_MESH_UNREACHABLE", `Consul counts ${name} no longer among its servers`);
}

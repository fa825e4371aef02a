import {
  Backoff,
  type Certificate,
  type MeshContext,
  MeshError,
  LatestValue,
} from "../../../src/mesh/adapter.ts";
import type { AclToken } from "../token.ts";
import { openServerChannel, type Verification, verificationOf } from "./channel.ts";
import type { ServerSettings } from "./connection-settings.ts";
import { probe } from "./probe.ts";
import { type Server, Servers } from "./servers.ts";
import { type Roots, Session } from "./session.ts";

/** A connection that lasted less was none: the next one waits its time. */
const soundMs = 5_000;

interface ConnectionOptions {
  readonly settings: ServerSettings;
  readonly context: MeshContext;
  readonly acl: AclToken;
  readonly signal: AbortSignal;
}

/** How the use of a server ended. */
interface Outcome {
  readonly error: MeshError;
  /** The server that was used for a while; `undefined` if none was. */
  readonly lost?: Server;
}

/** The one connection to Consul: to one server for as long as it is of use, then to another. */
export class Connection {
  /** The present one; `undefined` while there is none. */
  readonly sessions = new LatestValue<Session | undefined>();
  /** Every root that Consul lists; what has come stays while there is no connection. */
  readonly bundle = new LatestValue<readonly Certificate[]>();
  /** Of Consul's servers: "1.16.2", "1.16.2+ent". */
  readonly versions = new LatestValue<readonly string[]>();
  readonly #options: ConnectionOptions;
  readonly #servers: Servers;
  /** The one to the server that is being used, or tried. */
  #session: Session | undefined;
  #trustDomain = "";
  #isConnected = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#servers = new Servers(options.settings.addresses, options.context.clock);
  }

  /** Empty before there are roots. */
  get trustDomain(): string {
    return this.#trustDomain;
  }

  /** Connects again and again; ends only by throwing: the signal's reason, or a bug in attaché. */
  async keep(): Promise<never> {
    const { context, signal } = this.#options;
    const backoff = new Backoff(context.clock);
    for (let last: Server | undefined; ;) {
      const { error, lost } = await this.#useAny(last);
      last = lost;
      if (lost !== undefined) {
        backoff.succeeded();
        continue;
      }
      this.#isConnected = false;
      context.connection({ connected: false, error });
      await backoff.pause(error, signal);
    }
  }

  /** Gives a token back, over another connection if there is none. @throws MeshError if no server takes it. */
  async logOut(token: string): Promise<void> {
    if (this.#session !== undefined) return this.#session.logOut(token);
    let reason: unknown;
    for (const server of await this.#servers.inTurn(this.#options.signal)) {
      try {
        using session = this.#open(server, await this.#verificationOf(server), false);
        await session.logOut(token);
        return;
      } catch (error) {
        reason = error;
      }
    }
    throw reason;
  }

  /** Tries all servers in turn, until one that was of use for a while is lost. */
  async #useAny(last: Server | undefined): Promise<Outcome> {
    const { signal } = this.#options;
    try {
      const servers = await this.#servers.inTurn(signal, last);
      for (const [index, server] of servers.entries()) {
        const outcome = await this.#use(server, servers.length > 1);
        if (outcome.lost !== undefined || index === servers.length - 1) return outcome;
      }
      throw new TypeError("there are always servers to try");
    } catch (error) {
      if (signal.aborted || !MeshError.is(error)) throw error;
      return { error };
    }
  }

  async #use(server: Server, isReplaceable: boolean): Promise<Outcome> {
    const { settings, context, signal } = this.#options;
    const { clock } = context;
    const verification = await this.#verificationOf(server);
    using session = this.#open(server, verification, isReplaceable);
    this.#session = session;
    let sinceMs: number | undefined;
    try {
      return await session.follow({
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
      const wasSound = sinceMs !== undefined && clock.elapsedMs() - sinceMs >= soundMs;
      if (wasSound) return { error, lost: server };
      const reason = sinceMs === undefined ? await probe(server, verification, { clock, signal }) : undefined;
      return { error: reason ?? error };
    } finally {
      this.#session = undefined;
      if (this.sessions.value === session) this.sessions.publish(undefined);
    }
  }

  async #verificationOf(server: Server): Promise<Verification | undefined> {
    const { tls } = this.#options.settings;
    return tls && (await verificationOf(tls, server));
  }

  #open(server: Server, verification: Verification | undefined, isReplaceable: boolean): Session {
    const { context, acl, signal } = this.#options;
    const client = openServerChannel(server, verification);
    return new Session({ server, client, acl, clock: context.clock, isReplaceable, signal });
  }

  #received(session: Session, { trustDomain, bundle }: Roots): void {
    this.#trustDomain = trustDomain;
    this.bundle.publish(bundle);
    if (this.sessions.value !== session) this.sessions.publish(session);
    if (!this.#isConnected) this.#options.context.connection({ connected: true });
    this.#isConnected = true;
  }
}

function noLongerNamed({ name }: Session): MeshError {
  return new MeshError("ATTACHE_MESH_UNREACHABLE", `Consul counts ${name} no longer among its servers`);
}

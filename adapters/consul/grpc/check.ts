import { createCsr } from "../../../src/credentials/csr.ts";
import { generateKey } from "../../../src/credentials/keys.ts";
import { type Check, type Clock, type MeshContext, MeshError } from "../../../src/mesh/adapter.ts";
import { sanitizePeerText } from "../../../src/text/peer-text.ts";
import { checking, failed, late, ok, warning, within } from "../../../src/mesh/kit/checks.ts";
import { versionCheck } from "../../../src/mesh/kit/versions.ts";
import { clockCheck, supportedConsul } from "../checks.ts";
import { type ConsulIdentity, spiffeIdOf } from "../definition.ts";
import { addressText, isLocal } from "../../../src/mesh/kit/address.ts";
import type { AclToken } from "../token.ts";
import type { Verification } from "../../../src/mesh/kit/grpc/tls.ts";
import { openServerChannel, verificationOf } from "./channel.ts";
import type { ServerSettings } from "./connection-settings.ts";
import { reportedDatacenter } from "./errors.ts";
import { probe } from "./probe.ts";
import { type Server, Servers } from "./servers.ts";
import { type Roots, Session } from "./session.ts";

interface ChecksOptions {
  readonly settings: ServerSettings;
  readonly context: MeshContext;
  readonly acl: AclToken;
  /** Those that attaché has signed with its own token, or wants to. */
  readonly identities: Iterable<ConsulIdentity>;
  /** The last one. */
  readonly signature: Signature | undefined;
}

/** When a leaf came, and since when it says it is good. */
export interface Signature {
  readonly at: Date;
  readonly notBefore: Date;
}

/** By how much the leaves of Consul's own CA are backdated (agent/connect/ca/provider_consul.go, Sign). */
const backdatedMs = 60_000;

/** An operator waits for the answers. */
const identitiesMax = 20;

/**
 * A datacenter that there is not: what a CSR for it is refused with tells whether it would be signed, and
 * where.
 */
const noDatacenter = "attache-check";

/** Asks the servers for what an operator should know of them now. */
export async function checkServers(options: ChecksOptions): Promise<Check[]> {
  const over = new AbortController();
  try {
    return await checking("servers", () => new Checks(options, over.signal).run());
  } finally {
    over.abort();
  }
}

class Checks {
  readonly #options: ChecksOptions;
  readonly #signal: AbortSignal;

  constructor(options: ChecksOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  async run(): Promise<Check[]> {
    const { settings, context } = this.#options;
    const servers = await new Servers(settings.addresses, context.clock).inTurn(this.#signal);
    const reached = await Promise.all(servers.map((server) => this.#reach(server)));
    const [first] = reached.filter(({ check }) => check.status === "ok");
    const checks = [...reached.map(({ check }) => check), this.#transport(servers)];
    return first === undefined ? checks : [...checks, ...(await this.#ask(first))];
  }

  async #reach(server: Server): Promise<Reached> {
    const { settings, context } = this.#options;
    const name = `server ${addressText(server)}`;
    const verification = settings.tls && (await verificationOf(settings.tls, server));
    const problem = await probe(server, verification, { clock: context.clock, signal: this.#signal });
    return {
      server,
      verification,
      check: problem === undefined ? ok(name, "answers") : failed(name, problem),
    };
  }

  #transport(servers: readonly Server[]): Check {
    const name = "transport";
    const { tls } = this.#options.settings;
    if (tls?.insecureSkipVerify === true) {
      return warning(
        name,
        "TLS without verification: an attacker in between can read the token and choose the roots",
        "Set `tls.caFile` in place of `tls.insecureSkipVerify` and CONSUL_HTTP_SSL_VERIFY.",
      );
    }
    if (tls !== undefined) return ok(name, "TLS");
    if (servers.every((server) => isLocal(server))) return ok(name, "plain text that stays on this machine");
    return warning(
      name,
      "the ACL token and what is signed cross the network in plain text",
      "Use the servers' gRPC port with TLS (8503, on Kubernetes 8502) without http:// and with `tls.caFile`.",
    );
  }

  async #ask({ server, verification }: Reached): Promise<Check[]> {
    const { context, acl } = this.#options;
    const { clock } = context;
    using session = new Session({
      server,
      client: openServerChannel(server, verification),
      acl,
      clock,
      isReplaceable: false,
      signal: this.#signal,
    });
    try {
      const { roots, versions } = await firstAnswers(session, clock);
      // Only now: in place of one that has expired there is another.
      const token = await session.token(this.#signal);
      const { trustDomain, listed } = roots;
      return [
        ok("ACL token", token === undefined ? "this Consul asks for none" : "accepted"),
        ok("CA", `trust domain ${sanitizePeerText(trustDomain)}, ${listed.bundle.length} roots`),
        ...versionCheck("Consul", versions, supportedConsul),
        ...this.#clock(roots),
        ...(await this.#permissions(session, roots, token)),
      ];
    } catch (error) {
      if (!MeshError.is(error)) throw error;
      const isAboutToken = ["ATTACHE_MESH_UNAUTHENTICATED", "ATTACHE_MESH_FORBIDDEN"].includes(error.code);
      return [failed(isAboutToken ? "ACL token" : "CA", error)];
    }
  }

  /** The servers do not tell their time, but their signatures do. */
  #clock({ isOfConsul }: Roots): Check[] {
    const { signature } = this.#options;
    if (signature === undefined) return [];
    const ageMs = signature.at.getTime() - signature.notBefore.getTime();
    // How much another CA backdates is not known; that it is not born in the future is.
    return [clockCheck(isOfConsul ? ageMs - backdatedMs : Math.min(0, ageMs), "the servers")];
  }

  async #permissions(session: Session, { trustDomain }: Roots, token: string | undefined): Promise<Check[]> {
    const identities = [...this.#options.identities].slice(0, identitiesMax);
    const key = await generateKey();
    const reported = new Set<string>();
    const checks = await Promise.all(
      identities.map(async (identity) => {
        const name = `permission for ${sanitizePeerText(identity.service)}`;
        const csr = await createCsr(key, spiffeIdOf(identity, { trustDomain, datacenter: noDatacenter }));
        try {
          await session.sign(csr, token, this.#signal);
        } catch (error) {
          const datacenter = reportedDatacenter(error);
          if (datacenter === undefined) return failed(name, error as MeshError);
          reported.add(datacenter);
        }
        return ok(name, "service:write");
      }),
    );
    return [...checks, ...[...reported].map((datacenter) => this.#datacenter(datacenter))];
  }

  #datacenter(reported: string): Check {
    const { datacenter = reported } = this.#options.settings;
    if (datacenter === reported) return ok("datacenter", reported);
    return warning(
      "datacenter",
      `these servers are of ${reported}, and ${datacenter} is configured`,
      `Correct \`datacenter\`, or leave it out; for ${datacenter} name its own servers in \`addresses\`.`,
    );
  }
}

interface Reached {
  readonly server: Server;
  readonly verification: Verification | undefined;
  readonly check: Check;
}

/** Servers tell their versions beside the roots, or not at all. */
const versionsMs = 2_000;

async function firstAnswers(
  session: Session,
  clock: Clock,
): Promise<{ readonly roots: Roots; readonly versions: readonly string[] }> {
  const roots = Promise.withResolvers<Roots>();
  const servers = Promise.withResolvers<readonly string[]>();
  session
    .follow({
      roots: roots.resolve,
      servers: (named) => servers.resolve(named.map(({ version }) => version)),
    })
    .catch(roots.reject);
  const found = await roots.promise;
  const limit = { ms: versionsMs, late: () => late("Consul", versionsMs), clock };
  return { roots: found, versions: await within(limit, () => servers.promise).catch(() => []) };
}

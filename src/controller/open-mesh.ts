import type { Credential } from "../credentials/credential.ts";
import type { ZodError } from "zod";
import type { SourceKind } from "../api/rules.ts";
import { parseSpiffeIdPattern, type SpiffeIdPattern } from "../credentials/spiffe-id.ts";
import type {
  Adapter,
  IdentityOwner,
  Check,
  ConnectionState,
  Mesh,
  MeshContext,
  WatchOptions,
} from "../mesh/port.ts";
import { MeshError } from "../mesh/errors.ts";

/** A configured mesh as the reconcilers see it: what its adapter calls settings and identity is hidden. */
export interface OpenMesh extends AsyncDisposable {
  readonly name: string;
  readonly retainMs: number;
  readonly alpnProtocols: string | undefined;
  readonly trustDomain: string | undefined;
  /** As the adapter last reported it; `undefined` until it has. */
  readonly connection: ConnectionState | undefined;
  /**
   * The SPIFFE IDs that count as `identity`.
   * @throws MeshError if `identity` is not what the adapter takes.
   */
  expected(identity: unknown, bearer: IdentityOwner): SpiffeIdPattern;
  /** See {@link Mesh.watch}; rejects with a MeshError if `identity` is not what the adapter takes. */
  watch(identity: unknown, options: WatchOptions): Promise<AsyncIterable<Credential>>;
  check(): Promise<Check[]>;
}

interface MeshOptions<S> {
  readonly settings: S;
  /** Where a MeshCertificate's spec says what the adapter wants to know. */
  readonly source: SourceKind;
  readonly retainMs?: number | undefined;
  readonly trustDomain?: string | undefined;
  /** Called with each failure of the connection, however often it repeats. */
  readonly onFailure?: (error: MeshError) => void;
  /** Called after each change of {@link OpenMesh.connection}. */
  readonly onConnection: (state: ConnectionState) => void;
}

export function openMesh<S, I>(
  adapter: Adapter<S, I>,
  context: Omit<MeshContext, "connection">,
  { settings, source, retainMs, trustDomain, onConnection, onFailure }: MeshOptions<S>,
): OpenMesh {
  let connection: ConnectionState | undefined;
  let connecting: Promise<Mesh<I>> | undefined;

  /** One attempt for all who wait; a failed one is forgotten, as the file that it missed may come. */
  function connected(): Promise<Mesh<I>> {
    connecting ??= adapter
      .connect(settings, {
        ...context,
        connection: (state) => {
          if (!state.connected) onFailure?.(state.error);
          // Said once, however often it is tried again.
          if (connection !== undefined && isSame(connection, state)) return;
          connection = state;
          onConnection(state);
        },
      })
      .catch((error: unknown) => {
        connecting = undefined;
        throw error;
      });
    return connecting;
  }

  function parse(identity: unknown): I {
    const parsed = adapter.identity.safeParse(identity);
    if (parsed.success) return parsed.data;
    throw refused(source, adapter.kind, parsed.error);
  }

  return {
    name: context.name,
    retainMs: retainMs ?? adapter.defaults.retainMs,
    alpnProtocols: adapter.defaults.alpnProtocols,
    trustDomain,
    get connection() {
      return connection;
    },
    expected: (identity, bearer) => parseSpiffeIdPattern(adapter.expected(parse(identity), bearer)),
    async watch(identity, options) {
      const parsed = parse(identity);
      const mesh = await connected();
      return mesh.watch(parsed, options);
    },
    async check() {
      const mesh = await connected();
      return mesh.check();
    },
    async [Symbol.asyncDispose]() {
      const mesh = await connecting?.catch(() => undefined);
      await mesh?.[Symbol.asyncDispose]();
    },
  };
}

/** Stands for a mesh that an identity names and that is not configured. */
export function unknownMesh(name: string, configured: readonly string[]): OpenMesh {
  const error = new MeshError("ATTACHE_MESH_UNKNOWN", `no mesh "${name}" is configured`, {
    remedy: `Configure it under \`meshes:\`, or name one of: ${configured.join(", ") || "none yet"}.`,
  });
  return {
    name,
    retainMs: 0,
    alpnProtocols: undefined,
    trustDomain: undefined,
    connection: undefined,
    expected() {
      throw error;
    },
    watch: () => Promise.reject(error),
    check: () => Promise.resolve([]),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function isSame(one: ConnectionState, other: ConnectionState): boolean {
  if (one.connected || other.connected) return one.connected === other.connected;
  return one.error.message === other.error.message;
}

function refused(source: SourceKind, kind: string, { issues }: ZodError): MeshError {
  const problems = issues.map(({ path, message }) => `${["spec", source, ...path].join(".")}: ${message}`);
  return new MeshError("ATTACHE_MESH_IDENTITY_REFUSED", problems.join("; "), {
    remedy: `Write under \`spec.${source}\` what the adapter "${kind}" wants to know of an identity.`,
  });
}

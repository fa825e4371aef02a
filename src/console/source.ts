import type { MeshCertificate } from "../api/mesh-certificate.ts";
import type { Status } from "../api/status.ts";
import type { Certificate } from "../credentials/certificate.ts";
import type { Exposure } from "../emissary/exposure.ts";
import type { EmissaryEvaluation } from "../ingress/observation.ts";
import type { ConnectionState } from "../mesh/port.ts";
import type { State } from "../telemetry/state.ts";

/** The running attaché as the console sees it, live: each read gives the present state. */
export interface ConsoleSource {
  readonly state: State;
  /** The identities of this replica; none while another one leads. */
  readonly identities: Iterable<ConsoleIdentity>;
  /** Absent where consumers cannot be known. */
  readonly exposures?: readonly Exposure[] | undefined;
  readonly meshes: Iterable<{ readonly name: string; readonly connection: ConnectionState | undefined }>;
  /** What the Emissary pods have loaded of an identity; absent where no ingress is watched. */
  loadedOf(identity: MeshCertificate): readonly EmissaryEvaluation[] | undefined;
}

export interface ConsoleIdentity {
  readonly identity: MeshCertificate;
  /** As reported last, also by a process before. */
  readonly status: Status | undefined;
  /** Whether this process has computed the status. */
  readonly hasLooked: boolean;
  /** What is published: the chain, leaf first, and the roots. */
  readonly certificates: {
    readonly chain: readonly Certificate[];
    readonly bundle: readonly Certificate[];
  };
}

/** Where attaché runs, for the commands that the page offers. */
export interface Place {
  /** Whether identities and consumers are objects of a cluster. */
  readonly isCluster: boolean;
  /** Absent where attaché runs outside of a cluster. */
  readonly pod?: { readonly namespace: string; readonly name: string };
  /** The settings file; absent for a command without one. */
  readonly settings?: string;
}

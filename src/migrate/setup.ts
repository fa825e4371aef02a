import type { Consumer } from "../emissary/consumer.ts";
import type { TlsContext } from "../emissary/tls-context.ts";
import type { Fields, Given } from "./given.ts";
import type { Workload } from "./workload.ts";

/** Values of attaché's chart without identities, in the form of its `examples`. */
export type SetupValues = Fields & { readonly meshes: Fields };

/** A program that gives Emissary certificates of a mesh, and what attaché needs to give it the same identity. */
export interface Setup {
  /** What it is, in words. */
  readonly what: string;
  readonly workload: Workload;
  readonly values: SetupValues;
  /** The identity, as in `spec` of a MeshCertificate. */
  readonly source: Fields;
  /** What a TLSContext names that is fed by it, in words. */
  readonly feeding: string;
  readonly feeds: (context: TlsContext, spec: Fields) => boolean;
  /** The leaf in its pod, where neither a Secret has it nor the TLSContext names it. */
  readonly leafFile?: string;
  /** The mesh gives the identity to its pod, and must give it to attaché's. */
  readonly isOfPod?: true;
  /** How it ends if its workload goes on. Otherwise that is stopped and deleted. */
  readonly end?: Step;
}

/** A TLSContext that gets its certificates from attaché, under the name that it has. */
export interface Move {
  readonly setup: Setup;
  readonly given: Given;
  readonly context: TlsContext;
  /** All that name it. */
  readonly users: readonly Consumer[];
  /** Of the MeshCertificate, which has the same name. */
  readonly spec: Fields;
}

/** One step of a cut-over. Lines that begin with `#` are for a person, the others for a shell. */
export interface Step {
  readonly title: string;
  readonly run: readonly string[];
  /** How to see that it worked. */
  readonly see: readonly string[];
  readonly back: readonly string[];
}

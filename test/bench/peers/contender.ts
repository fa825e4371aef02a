import type { Running } from "../meshes/attache.ts";
import type { Watched } from "./observed.ts";

/** A controller that publishes certificates of its own CA, in one namespace. */
export interface Contender {
  readonly name: string;
  /** How its user agent begins. */
  readonly agent: string;
  /** Asks for certificates `svc-0`, `svc-1`…; the namespace exists. */
  want(namespace: string, count: number): Promise<void>;
  start(namespace: string): Promise<Running>;
  /** The Secrets that hold key and leaf. */
  leaves(namespace: string): Watched;
  /** Has all leaves renewed at once. */
  renew(namespace: string, count: number): Promise<void>;
}

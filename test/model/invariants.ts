import type { Pair, Snapshot } from "./published.ts";

/** What the mesh says, in numbers of the pool. */
export interface MeshState {
  /** The roots that it lists. */
  readonly listed: readonly number[];
  /** The leaf that it has issued last. */
  readonly newest: number;
}

/**
 * What must hold whenever Emissary may take a snapshot, which is always: so whatever it has loaded, in this
 * snapshot or in one after which others were lost, is sound.
 */
export class Invariants {
  #before: Snapshot | undefined;
  #newestLeaf = -1;
  #hadContext = false;

  /** @throws Error naming what does not hold. */
  check(now: Snapshot, { listed }: MeshState): void {
    const { context, leaf, ca, isUsed } = now;
    const before = this.#before;
    this.#before = now;
    if (context !== undefined) {
      this.#hadContext = true;
      must(leaf !== undefined, "a context without its leaf Secret: Emissary sends plaintext");
      must(ca !== undefined, "a context without its CA Secret: Emissary sends plaintext");
    }
    if (isUsed && before?.context !== undefined) {
      for (const part of ["context", "leaf", "ca"] as const) {
        must(
          before[part] === undefined || before[part].uid === now[part]?.uid,
          `the ${part} that a Mapping uses was deleted`,
        );
      }
    }
    if (leaf !== undefined) {
      must(leaf.certificate !== undefined && leaf.key !== undefined, "a leaf that the mesh has not issued");
      must(leaf.certificate === leaf.key, "a torn pair: Envoy refuses all configuration");
      must(leaf.certificate.index >= this.#newestLeaf, "a leaf that is older than the one before");
      this.#newestLeaf = leaf.certificate.index;
    }
    if (context === undefined || leaf?.certificate === undefined || ca === undefined) return;
    must(!ca.roots.includes(-1), "a root that the mesh has never had");
    const { root } = leaf.certificate;
    must(
      ca.roots.includes(root) || !listed.includes(root),
      `a leaf of the root ${root} without that root: upstreams that have one, too, are rejected`,
    );
    const lost = before?.ca?.roots.find((one) => listed.includes(one) && !ca.roots.includes(one));
    must(lost === undefined, `the root ${lost ?? ""} is gone, which upstreams have leaves of`);
  }

  /** And once nothing happens any more. @throws Error */
  checkAtRest({ isUsed, identity, context, leaf, ca }: Snapshot, { listed, newest }: MeshState): void {
    // One that was deleted before it had a context need not get one.
    if (identity === "gone" || (identity === "ending" && !isUsed)) {
      must(identity === "gone", "the MeshCertificate hangs in its deletion");
      must(!isUsed || !this.#hadContext, "the MeshCertificate is gone, and a Mapping uses what it published");
      must(context === undefined && leaf === undefined && ca === undefined, "something is left behind");
      return;
    }
    must(context !== undefined, "there is no context");
    must(leaf?.certificate?.index === newest, "the newest leaf is not published");
    must(String(ca?.roots.toSorted()) === String(listed), "the roots are not those that the mesh lists");
  }
}

/** What a cluster of Envoy has loaded. */
export interface Loaded {
  readonly pair: Pair | undefined;
  readonly roots: readonly number[];
}

/** What must hold of what an ingress has loaded, which may have missed snapshots. */
export class IngressInvariants {
  /** When the API server first had each root, by `elapsedMs()`. */
  readonly #unionMs = new Map<number, number>();

  /** @throws Error */
  check(loaded: readonly Loaded[], { leaf, ca }: Snapshot, { listed }: MeshState, nowMs: number): void {
    for (const root of ca?.roots ?? []) if (!this.#unionMs.has(root)) this.#unionMs.set(root, nowMs);
    for (const { pair, roots } of loaded) {
      must(pair !== undefined, "a cluster has lost TLS: it sends plaintext");
      must(pair.certificate !== undefined && pair.certificate === pair.key, "a cluster has a torn pair");
      must(
        roots.includes(pair.certificate.root) || !listed.includes(pair.certificate.root),
        "a leaf before its root",
      );
      // An upstream may have a leaf of that root, too. Where the old one is rejected itself,
      // nothing is to be waited for.
      const published = leaf?.certificate?.root ?? 0;
      const heldMs = nowMs - (this.#unionMs.get(published) ?? nowMs);
      const isUnusable = !listed.includes(published) || !listed.includes(pair.certificate.root);
      must(
        roots.includes(published) || heldMs >= longestHoldMs || isUnusable,
        `a leaf of the root ${published} is published while a cluster rejects upstreams of that root`,
      );
    }
  }
}

const longestHoldMs = 10_000;

function must(holds: boolean, problem: string): asserts holds {
  if (!holds) throw new Error(problem);
}

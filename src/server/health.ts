/** What the process knows of its own health. */
export interface Health {
  /** Whether every identity that the store had at the start has been looked at. */
  readonly synced: boolean;
  /** What an operator should know, one line each, the worst first; shown, but no reason to be not ready. */
  readonly concerns: readonly string[];
}

/** Enough to see what is wrong; `attache status` has the rest. */
const maxConcerns = 20;

export interface Readiness {
  readonly ready: boolean;
  readonly text: string;
}

/**
 * Ready once the store is followed. A mesh that is away makes no process unready: what is published stays good, and to
 * restart or bypass attaché would help nobody.
 */
export function readinessOf({ synced, concerns }: Health): Readiness {
  const shown = concerns.slice(0, maxConcerns);
  const more = concerns.length - shown.length;
  const lines = [
    synced
      ? "ready: all MeshIdentities are followed"
      : "not ready: the MeshIdentities have not all been read yet",
    ...shown,
    ...(more > 0 ? [`and ${more} more; see attache status`] : []),
  ];
  return { ready: synced, text: `${lines.join("\n")}\n` };
}

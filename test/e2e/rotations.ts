import { X509Certificate } from "node:crypto";
import type { Access } from "../peers/kubernetes/rest.ts";
import type { Emissary } from "./emissary.ts";
import { follow } from "./follow.ts";

/**
 * Follows each leaf and each new root from the API server, which has it, to the Envoys, which present or verify
 * by it.
 */
export interface Rotations extends AsyncDisposable {
  readonly all: readonly Rotation[];
}

export interface Rotation {
  readonly secret: string;
  readonly kind: "leaf" | "root";
  /** Of the first certificate, in seconds since 1970; no two leaves of a Secret have the same. */
  readonly end: number;
  /** When the API server reported it, in milliseconds of `performance.now()`. */
  readonly publishedAt: number;
  /** When all clusters of all pods had it; `undefined` as long as they have not. */
  readonly servedAt: number | undefined;
  /** When a later one was published before all of them had it. */
  readonly overtakenAt: number | undefined;
}

const everyMs = 50;

/** @param clusters of each identity in the namespace, as their series are called. */
export async function followRotations(
  { access, namespace }: { readonly access: Access; readonly namespace: string },
  emissary: Emissary,
  clusters: Readonly<Record<string, readonly string[]>>,
): Promise<Rotations> {
  const all: { -readonly [K in keyof Rotation]: Rotation[K] }[] = [];
  const pending = () => all.filter(({ servedAt, overtakenAt }) => (servedAt ?? overtakenAt) === undefined);

  const following = await follow(access, [`/api/v1/namespaces/${namespace}/secrets`], ({ after }) => {
    const pem = after?.data?.["tls.crt"];
    const secret = after?.metadata.name ?? "";
    const kind = secret.endsWith("-mesh-ca") ? "root" : "leaf";
    if (pem === undefined || !(identityOf(secret) in clusters)) return;
    const end = Date.parse(new X509Certificate(Buffer.from(pem, "base64")).validTo) / 1_000;
    const before = all.filter((one) => one.secret === secret);
    if (before.at(-1)?.end === end) return;
    const now = performance.now();
    for (const one of before) if (one.servedAt === undefined) one.overtakenAt ??= now;
    all.push({ secret, kind, end, publishedAt: now, servedAt: undefined, overtakenAt: undefined });
  });

  let looking: Promise<void> | undefined;
  async function look(): Promise<void> {
    const waiting = pending();
    if (waiting.length === 0) return;
    const shown = await Promise.all(emissary.pods.map((pod) => emissary.served(pod).catch(() => undefined)));
    const now = performance.now();
    for (const one of waiting) {
      const names = clusters[identityOf(one.secret)] ?? [];
      if (!shown.every((pod) => names.every((name) => pod?.get(name)?.[one.kind] === one.end))) continue;
      one.servedAt = now;
      // It came while we looked.
      one.overtakenAt = undefined;
    }
  }
  const timer = setInterval(() => {
    looking ??= look().finally(() => {
      looking = undefined;
    });
  }, everyMs);

  return {
    all,
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await looking;
      await following[Symbol.asyncDispose]();
    },
  };
}

function identityOf(secret: string): string {
  return secret.replace(/-mesh-(?:cert|ca)$/, "");
}

import { CredentialError } from "../../credentials/errors.ts";
import { MeshError, type MeshErrorCode, type MeshErrorOptions } from "../errors.ts";

/** What a failure comes to for an operator. */
export interface Meaning {
  readonly code: MeshErrorCode;
  readonly problem: string;
  readonly remedy?: string;
  readonly retryable?: boolean;
}

/** A row of an error table; one that says neither status nor text fits each failure. */
export interface ErrorRow extends Meaning {
  /** Of gRPC or HTTP. */
  readonly status?: readonly number[];
  /** Instead of `status`: the least of them. */
  readonly statusFrom?: number;
  /** In what the peer says of it. */
  readonly text?: RegExp;
}

/** The first row that fits. */
export function rowFor(table: readonly ErrorRow[], status: number, text: string): ErrorRow | undefined {
  return table.find(
    (row) =>
      (row.status?.includes(status) ?? true) &&
      status >= (row.statusFrom ?? status) &&
      (row.text?.test(text) ?? true),
  );
}

/** @param detail stands behind the problem as it is. */
export function meshErrorOf(meaning: Meaning, detail = "", more: MeshErrorOptions = {}): MeshError {
  const { code, problem, remedy, retryable } = meaning;
  return new MeshError(code, `${problem}${detail}`, {
    ...(remedy !== undefined && { remedy }),
    ...(retryable !== undefined && { retryable }),
    ...more,
  });
}

/** The code of a system or TLS error, as Node gives it. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}

/** As {@link reading}, of what is read in slices. */
export async function readingInSlices<T>(
  what: string,
  read: () => Promise<T>,
  options: MeshErrorOptions = {},
): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw readingError(what, error, options);
  }
}

/** What `read` gives; a CredentialError becomes a MeshError: "the agent's answer: no certificate". */
export function reading<T>(what: string, read: () => T, options: MeshErrorOptions = {}): T {
  try {
    return read();
  } catch (error) {
    throw readingError(what, error, options);
  }
}

function readingError(what: string, cause: unknown, options: MeshErrorOptions): unknown {
  if (!(cause instanceof CredentialError)) return cause;
  return new MeshError("ATTACHE_MESH_MALFORMED", `${what}: ${cause.problem}`, { ...options, cause });
}

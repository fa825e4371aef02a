import pem from "node-forge/lib/pem.js";
import { CredentialError } from "./errors.ts";

/** PEM text, or bytes that are PEM or DER; several together count as one input. */
export type Encoded = string | Uint8Array;

/** What attaché reads at most for one key, chain or bundle, in bytes: what a Kubernetes Secret could hold at all. */
export const maxEncodedBytes = 1024 * 1024;

export interface PemBlock {
  /** "CERTIFICATE", "EC PRIVATE KEY", … */
  readonly label: string;
  readonly der: Buffer;
  readonly encrypted: boolean;
}

/**
 * The blocks of a PEM text (RFC 7468); text around them is ignored, and only a blank text may have none.
 * @throws CredentialError if there is no block, or a damaged one.
 */
export function decodePem(input: Encoded): PemBlock[] {
  checkSize([input]);
  const text = typeof input === "string" ? input : Buffer.from(input).toString("latin1");
  const begun = text.split(beginning).length - 1;
  if (text.trim() === "") return [];
  const blocks = decode(text);
  // forge passes over a block without a proper end or body, and so would lose, say, a root in silence.
  if (blocks.length !== begun) {
    throw new CredentialError(`${begun} PEM blocks begin and ${blocks.length} are whole`);
  }
  return blocks.map(({ type, body, procType }) => ({
    label: type,
    der: Buffer.from(body, "latin1"),
    encrypted: type === "ENCRYPTED PRIVATE KEY" || procType !== null,
  }));
}

/** One block, lines of 64 characters, LF, with a final newline. */
export function encodePem(label: string, der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}

/** Whether bytes are DER: every certificate and key is a SEQUENCE, and no PEM text looks like one. */
export function isDer(input: Encoded): input is Uint8Array {
  return typeof input !== "string" && input[0] === 0x30 && !Buffer.from(input).includes(beginning);
}

/** @throws CredentialError if the inputs together exceed {@link maxEncodedBytes}. */
export function checkSize(inputs: readonly Encoded[]): void {
  const size = inputs.reduce((sum, input) => sum + input.length, 0);
  if (size > maxEncodedBytes) throw new CredentialError(`${size} bytes, more than ${maxEncodedBytes}`);
}

const beginning = "-----BEGIN ";

function decode(text: string): pem.ObjectPEM[] {
  try {
    return pem.decode(text);
  } catch (cause) {
    throw new CredentialError("not PEM", { cause });
  }
}

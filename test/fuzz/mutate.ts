import { mutant } from "../fixtures/der-mutants.ts";

/** A number from 0 to below `below`; the same seed draws the same numbers. */
export type Draw = (below: number) => number;

const maxBytes = 64 * 1024;

/** Bytes that mean something in DER, protobuf, JSON, YAML or PEM. */
const interesting = [
  ...[0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x13, 0x17, 0x18, 0x1e, 0x22, 0x2a, 0x30, 0x31, 0x3a],
  ...[0x5c, 0x7b, 0x7d, 0x7f, 0x80, 0x81, 0x82, 0x84, 0xa0, 0xa3, 0xc0, 0xff],
];

/**
 * `input` with one to four changes: bits, bytes, pieces removed, doubled, moved, cut, filled, or words put
 * in.
 */
export function mutate(input: Uint8Array, words: readonly string[], draw: Draw): Buffer {
  let bytes: Buffer = Buffer.from(input);
  for (let left = 1 + draw(4); left > 0; left -= 1) {
    bytes = changed(bytes, words, draw);
    if (bytes.length > maxBytes) bytes = bytes.subarray(0, maxBytes);
  }
  return bytes;
}

/** Of DER now and then by its elements, so that the lengths around a change are right. */
export function mutateDer(input: Buffer, draw: Draw): Buffer {
  return draw(3) === 0 ? mutate(input, [], draw) : mutant(input, draw);
}

function changed(bytes: Buffer, words: readonly string[], draw: Draw): Buffer {
  const at = draw(bytes.length + 1);
  const [before, behind] = [bytes.subarray(0, at), bytes.subarray(at)];
  const between = (piece: Uint8Array) => Buffer.concat([before, piece, behind]);
  switch (draw(8)) {
    case 0:
      return replaced(bytes, at, (byte) => byte ^ (1 << draw(8)));
    case 1:
      return replaced(bytes, at, () => interesting[draw(interesting.length)] ?? 0);
    case 2:
      return Buffer.concat([before, behind.subarray(1 + draw(8))]);
    case 3:
      return between(Buffer.from(Array.from({ length: 1 + draw(6) }, () => draw(256))));
    case 4: {
      const from = draw(bytes.length + 1);
      return between(bytes.subarray(from, from + draw(64)));
    }
    case 5:
      return before;
    case 6:
      return words.length === 0 ? bytes : between(Buffer.from(words[draw(words.length)] ?? ""));
    default:
      return between(Buffer.alloc(draw(400), bytes[at] ?? 0));
  }
}

function replaced(bytes: Buffer, at: number, change: (byte: number) => number): Buffer {
  const copy = Buffer.from(bytes);
  if (at < copy.length) copy[at] = change(copy[at] ?? 0) & 0xff;
  return copy;
}

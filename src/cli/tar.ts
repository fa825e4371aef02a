/** A file of an archive. */
export interface TarEntry {
  /** At most 100 bytes. */
  readonly name: string;
  readonly text: string;
}

const block = 512;

/** An archive in the format ustar (POSIX.1-1988), whose files only their owner may read. */
export function tar(entries: readonly TarEntry[], at: Date): Buffer {
  const parts = entries.flatMap(({ name, text }) => {
    const content = Buffer.from(text);
    const padding = Buffer.alloc((block - (content.length % block)) % block);
    return [header(name, content.length, at), content, padding];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * block)]);
}

function header(name: string, size: number, at: Date): Buffer {
  const bytes = Buffer.alloc(block);
  const octal = (value: number, length: number) => `${value.toString(8).padStart(length - 1, "0")}\0`;
  bytes.write(name, 0, 100);
  bytes.write(octal(0o600, 8), 100);
  bytes.write(octal(0, 8), 108);
  bytes.write(octal(0, 8), 116);
  bytes.write(octal(size, 12), 124);
  bytes.write(octal(Math.floor(at.getTime() / 1_000), 12), 136);
  // The checksum counts itself as blanks.
  bytes.write(" ".repeat(8), 148);
  bytes.write("0", 156);
  bytes.write("ustar\0" + "00", 257);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return bytes;
}

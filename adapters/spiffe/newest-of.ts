import type { Readable } from "node:stream";

/** The messages of a stream of bytes, except for those that a newer one, already there, makes obsolete. */
export async function* newestOf(stream: Readable): AsyncGenerator<Buffer> {
  const read = () => stream.read() as Buffer | null;
  for await (const message of stream as AsyncIterable<Buffer>) {
    let newest = message;
    for (let next = read(); next !== null; next = read()) newest = next;
    yield newest;
  }
}

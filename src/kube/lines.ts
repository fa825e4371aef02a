import { ApiError } from "./api-error.ts";

/** An object of etcd has 1.5 MB at most; as JSON, with its escapes and managed fields, it may be longer. */
const maxLineBytes = 8 * 1024 * 1024;

const lineEnd = 0x0a;

/** The lines of a stream of bytes, without their ends; what follows the last end is cut off and dropped. */
export async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let pending: Buffer[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(lineEnd); end !== -1; end = chunk.indexOf(lineEnd, from)) {
      yield Buffer.concat([...pending, chunk.subarray(from, end)]).toString("utf8");
      pending = [];
      length = 0;
      from = end + 1;
    }
    if (from === chunk.length) continue;
    pending.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > maxLineBytes) {
      throw new ApiError(
        "ATTACHE_KUBERNETES_MALFORMED",
        `a line of a watch is longer than ${maxLineBytes} bytes`,
      );
    }
  }
}

import { Writable } from "node:stream";
import { MeshError } from "../../../src/mesh/adapter.ts";

/** What attaché reads at most of one answer; a leaf has 2 KB, a long list of roots 50. */
export const maxBytes = 1024 * 1024;

/** Takes a body up to {@link maxBytes}; fails with a MeshError for one that is longer or cut. */
export class BoundedBody extends Writable {
  readonly #chunks: Buffer[] = [];
  #length = 0;

  constructor() {
    super();
    this.once("pipe", (source) => {
      // papi waits for an end that never comes when a body is cut.
      source.once("error", (cause) => this.destroy(malformed("Consul's answer is cut in the middle", cause)));
    });
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString("utf8");
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.#length += chunk.length;
    if (this.#length > maxBytes) {
      done(malformed(`Consul's answer is longer than ${maxBytes} bytes`));
      return;
    }
    this.#chunks.push(chunk);
    done();
  }
}

function malformed(problem: string, cause?: unknown): MeshError {
  return new MeshError("ATTACHE_MESH_MALFORMED", problem, cause === undefined ? {} : { cause });
}

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { parseCredential } from "../../src/credentials/assemble.ts";
import type { Adapter, Credential } from "../../src/mesh/adapter.ts";
import { LatestValue } from "../../src/runtime/latest-value.ts";
import { Semaphore } from "../../src/runtime/semaphore.ts";

/**
 * A mesh whose credentials another process has prepared as files, so that what is measured is attaché and not
 * the making of keys: `DIRECTORY/SERVICE.a.pem` holds key and leaf, `roots.pem` the bundle. A plug-in, and
 * there is one.
 */
export const adapter: Adapter<{ directory: string }, { service: string }> = {
  kind: "prepared",
  settings: z.strictObject({ directory: z.string() }),
  identity: z.strictObject({ service: z.string() }),
  defaults: { retainMs: 0 },
  expected: ({ service }) => uriOf(service),
  async connect({ directory }) {
    const roots = await readFile(join(directory, "roots.pem"));
    return {
      async *watch({ service }, { signal, current }) {
        const published = new LatestValue<Credential>();
        credentials.set(service, published);
        if (current === undefined) {
          issued += 1;
          published.publish(await few.run(() => load(join(directory, `${service}.a.pem`), roots)));
        }
        yield* published.subscribe(signal);
      },
      check: () => Promise.resolve([]),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  },
};

const credentials = new Map<string, LatestValue<Credential>>();
/**
 * Replies of a mesh come one after the other; a thousand files read at once would be parsed without a pause.
 */
const few = new Semaphore(8);
let issued = 0;

/** How often a credential was read for the first time: what a real mesh would have had to issue. */
export function issuedSoFar(): number {
  return issued;
}

/** Gives the service another credential. */
export function emit(service: string, credential: Credential): void {
  credentials.get(service)?.publish(credential);
}

export function uriOf(service: string): string {
  return `spiffe://bench.example/${service}`;
}

/** Key and leaf of one file, under the roots of another. */
export async function load(file: string, roots: Buffer): Promise<Credential> {
  const pem = await readFile(file);
  return parseCredential({ key: pem, certificates: pem, bundle: roots, now: new Date() });
}

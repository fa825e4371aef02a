/* global fetch */
import { issue, MeshError, Newest, parseCertificates } from "attache/adapter";
import { z } from "zod";

/**
 * The mesh of `../signer.ts`: each leaf is asked for with a CSR, so that it can be counted.
 *
 * @type {import("attache/adapter").Adapter<{ url: string }, { service: string }>}
 */
export const adapter = {
  kind: "signer",
  settings: z.strictObject({ url: z.string() }),
  identity: z.strictObject({ service: z.string() }),
  defaults: { retainMs: 0 },
  expected: ({ service }) => `spiffe://signer.example/${service}`,

  async connect({ url }, { clock, connection }) {
    const roots = new Newest();
    const listed = await fetch(`${url}/roots`);
    roots.publish(parseCertificates(await listed.text()));
    connection({ connected: true });
    async function reach(path, init) {
      try {
        const answer = await fetch(`${url}${path}`, init);
        connection({ connected: true });
        return await answer.text();
      } catch (cause) {
        if (init.signal.aborted) throw cause;
        const error = new MeshError("ATTACHE_MESH_UNREACHABLE", `${url} does not answer`, { cause });
        connection({ connected: false, error });
        throw error;
      }
    }
    return {
      watch: ({ service }, { signal, current }) =>
        issue({
          spiffeId: `spiffe://signer.example/${service}`,
          async sign(csr, signal) {
            const body = await csr();
            return parseCertificates(await reach(`/sign/${service}`, { method: "POST", body, signal }));
          },
          roots,
          clock,
          signal,
          ...(current && { current }),
        }),
      check: () => Promise.resolve([]),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  },
};

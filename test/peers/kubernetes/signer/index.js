/* global fetch */
import { issue, Newest, parseCertificates } from "attache/adapter";
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
    return {
      watch: ({ service }, { signal, current }) =>
        issue({
          spiffeId: `spiffe://signer.example/${service}`,
          async sign(csr, signal) {
            const body = await csr();
            const signed = await fetch(`${url}/sign/${service}`, { method: "POST", body, signal });
            return parseCertificates(await signed.text());
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

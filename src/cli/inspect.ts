import { keyOf } from "../api/mesh-certificate.ts";
import type { Certificate } from "../credentials/certificate.ts";
import { readBack } from "../render/read-back.ts";
import { UsageError } from "./errors.ts";
import { type Column, isTable, outputOf, print, relative } from "./output.ts";
import type { InspectOptions } from "./options.ts";
import { placeOf } from "./place.ts";
import { viewsOf } from "./views.ts";

interface Row {
  readonly role: "leaf" | "intermediate" | "root" | "retiring root";
  readonly certificate: Certificate;
}

/** Prints the certificates that are published for one identity, and the problems with roots of its mesh. */
export async function inspect(name: string, options: InspectOptions): Promise<void> {
  const now = new Date();
  const output = outputOf(options.output);
  await using place = await placeOf(options);
  const { views } = await viewsOf(place, { names: [name] });
  const [view, another] = views;
  if (view === undefined) return;
  if (another !== undefined) {
    throw new UsageError(`there is a MeshCertificate "${name}" in ${views.length} namespaces`, {
      remedy: `Name one of: ${views.map(({ identity }) => keyOf(identity)).join(", ")}.`,
    });
  }
  const { identity, status } = view;
  const problems = status?.rootProblems ?? [];
  const { credential, retained } = await readBack(identity, await view.manifests(), now);
  if (credential === undefined) {
    throw new UsageError(`nothing is published for ${keyOf(identity)}`, {
      remedy: "See `attache status` for the reason; is `attache run` running?",
    });
  }
  const [leaf, ...intermediates] = credential.chain;
  const rows: Row[] = [
    { role: "leaf", certificate: leaf },
    ...intermediates.map((certificate) => ({ role: "intermediate", certificate }) as const),
    ...credential.bundle.map((certificate) => ({ role: "root", certificate }) as const),
    ...retained.map(({ certificate }) => ({ role: "retiring root", certificate }) as const),
  ];
  const columns: readonly Column<Row>[] = [
    { heading: "ROLE", cell: ({ role }) => role },
    {
      heading: "NAME",
      cell: ({ certificate }) => certificate.uris.join(", ") || oneLine(certificate.subject),
    },
    { heading: "EXPIRES", cell: ({ certificate }) => relative(certificate.notAfter, now) },
    { heading: "SERIAL", cell: ({ certificate }) => certificate.serialNumber },
    { heading: "ISSUER", cell: ({ certificate }) => oneLine(certificate.issuer), wide: true },
    { heading: "FINGERPRINT", cell: ({ certificate }) => certificate.fingerprint, wide: true },
  ];
  const data = {
    identity: keyOf(identity),
    certificates: rows.map(factsOf),
    ...(problems.length > 0 && { rootProblems: problems }),
  };
  print(output, { rows, columns, data });
  if (!isTable(output)) return;
  for (const { message } of problems)
    process.stdout.write(`${message}
`);
}

function factsOf({ role, certificate }: Row): Record<string, unknown> {
  const { uris, subject, issuer, serialNumber, notBefore, notAfter, fingerprint } = certificate;
  return { role, uris, subject, issuer, serialNumber, notBefore, notAfter, fingerprint };
}

function oneLine(name: string): string {
  return name.replaceAll("\n", ", ");
}

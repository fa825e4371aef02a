import { TimeSlice } from "../runtime/time-slice.ts";
import { DocumentError, type Problem } from "../text/yaml/document-error.ts";
import { type YamlDocument, yamlDocuments } from "../text/yaml/document.ts";
import { explain } from "../text/yaml/explain.ts";
import { apiVersion, kind, type MeshCertificate, meshCertificate } from "./mesh-certificate.ts";

/**
 * The MeshCertificates in a YAML text of any number of documents; objects of other kinds are passed over. Of a thousand
 * of them the event loop gets its turn in between.
 * @throws DocumentError with everything that is wrong, all documents together.
 */
export async function parseMeshCertificates(text: string, file: string): Promise<MeshCertificate[]> {
  const problems: Problem[] = [];
  const identities: MeshCertificate[] = [];
  const slice = new TimeSlice();
  for (const document of yamlDocuments(text, file)) {
    await slice.maybeYield();
    const header = headerOf(document.value);
    if (header === undefined) problems.push(notAnObject(document));
    else if (isFormerKind(header)) problems.push(formerKindOf(document));
    else if (header.kind !== kind) continue;
    else if (header.apiVersion !== apiVersion) problems.push(wrongVersion(document));
    else {
      const parsed = meshCertificate.safeParse(document.value, { reportInput: true });
      if (parsed.success) identities.push(parsed.data);
      else problems.push(...explain(parsed.error.issues, meshCertificate, document.place));
    }
  }
  if (problems.length > 0) throw new DocumentError(problems);
  return identities;
}

function headerOf(value: unknown): { readonly kind?: unknown; readonly apiVersion?: unknown } | undefined {
  return typeof value === "object" && value !== null && "kind" in value ? value : undefined;
}

function notAnObject({ place }: YamlDocument): Problem {
  const message = `is no Kubernetes object; begin it with "apiVersion: ${apiVersion}" and "kind: ${kind}"`;
  return { place: place([]), path: "", message };
}

/** The kind was renamed: Kuma has a kind MeshIdentity, whose objects are not attaché's. */
const formerKind = "MeshIdentity";

function isFormerKind(header: { readonly kind?: unknown; readonly apiVersion?: unknown }): boolean {
  return header.kind === formerKind && String(header.apiVersion).startsWith("attache.dev/");
}

function formerKindOf({ place }: YamlDocument): Problem {
  return {
    place: place(["kind"]),
    path: "kind",
    message: `is now "${kind}", not "${formerKind}": rename it`,
  };
}

function wrongVersion({ place }: YamlDocument): Problem {
  return { place: place(["apiVersion"]), path: "apiVersion", message: `must be "${apiVersion}"` };
}

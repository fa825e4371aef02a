import { inSlices } from "../runtime/time-slice.ts";
import { didYouMean } from "../text/did-you-mean.ts";
import { DocumentError, maxProblems, type Problem } from "../text/yaml/document-error.ts";
import { yamlDocuments } from "../text/yaml/document.ts";
import { explain } from "../text/yaml/explain.ts";
import { apiVersion, kind, type MeshCertificate, meshCertificate } from "./mesh-certificate.ts";
import { excessOf } from "./size.ts";

/**
 * The MeshCertificates in a text of any number of YAML or JSON documents, as `kubectl apply` takes them: also
 * as items of lists, with empty fields, and with a status, which is ignored. Objects of other kinds are
 * passed over. Of a thousand of them the event loop gets its turn in between.
 * @throws DocumentError with what is wrong in all documents together.
 */
export function parseMeshCertificates(text: string, file: string): Promise<MeshCertificate[]> {
  return inSlices(meshCertificatesIn(text, file));
}

/** A MeshCertificate that is larger than half of it is refused. */
const maxScalarLength = 131_072;

function* meshCertificatesIn(text: string, file: string): Generator<undefined, MeshCertificate[]> {
  const problems: Problem[] = [];
  const identities: MeshCertificate[] = [];
  for (const document of yamlDocuments(text, file, { maxScalarLength })) {
    yield;
    if (document === undefined) continue;
    for (const object of objectsIn({ ...document, path: [] })) {
      yield;
      const found = read(object);
      if (Array.isArray(found)) problems.push(...found);
      else if (found !== undefined) identities.push(found);
      if (problems.length > maxProblems) break;
    }
    if (problems.length > maxProblems) break;
  }
  if (problems.length > 0) throw new DocumentError(problems);
  return identities;
}

/** A part of a document that is to be a Kubernetes object. */
interface Candidate {
  readonly value: unknown;
  readonly path: readonly PropertyKey[];
  /** Of a path in the whole document. */
  readonly place: (path: readonly PropertyKey[]) => string;
  /** What an item says whose list says it for all. */
  readonly inherited?: Header;
}

interface Header {
  readonly apiVersion: unknown;
  readonly kind: unknown;
}

/** The object, or the items of a list: `List`, or one kind's own. */
export function* objectsIn(candidate: Candidate): Generator<Candidate> {
  const { value, path, place } = candidate;
  const { kind: listKind, apiVersion: version, items } = fieldsOf(value);
  const isList = typeof listKind === "string" && listKind.endsWith("List");
  if (isList && (items === undefined || items === null)) return;
  if (!isList || !Array.isArray(items)) {
    yield candidate;
    return;
  }
  const itemKind = listKind.slice(0, -"List".length);
  const inherited = itemKind === "" ? {} : { inherited: { apiVersion: version, kind: itemKind } };
  for (const [index, item] of items.entries()) {
    yield* objectsIn({ value: item as unknown, path: [...path, "items", index], place, ...inherited });
  }
}

/** A MeshCertificate, what is wrong with it, or nothing if it is an object of another kind. */
function read(candidate: Candidate): MeshCertificate | Problem[] | undefined {
  const { value, path, inherited } = candidate;
  const { kind: ownKind = inherited?.kind, apiVersion: version = inherited?.apiVersion } = fieldsOf(value);
  const problem = (field: string, message: string): Problem[] => [
    { place: candidate.place(field === "" ? path : [...path, field]), path: field, message },
  ];
  if (typeof ownKind !== "string" || ownKind === "") {
    return problem(
      "",
      `is no Kubernetes object; begin it with "apiVersion: ${apiVersion}" and "kind: ${kind}"`,
    );
  }
  if (ownKind === "List") return problem("items", "must be array: write the objects that are listed");
  if (isSlipOf("List", ownKind)) return problem("kind", 'unknown kind; did you mean "List"?');
  const isOfOurGroup = String(version).split("/")[0] === group;
  if (ownKind !== kind && !isOfOurGroup) return undefined;
  if (ownKind === formerKind) return problem("kind", `is now "${kind}", not "${formerKind}": rename it`);
  if (ownKind !== kind) return problem("kind", unknownKind(ownKind));
  if (version !== apiVersion) return problem("apiVersion", `must be "${apiVersion}"`);
  const { status: _, metadata, spec, ...fields } = fieldsOf(withoutNulls(value));
  const written = { ...fields, metadata: withoutEmpty(metadata), spec: withBoolean(spec), apiVersion, kind };
  const excess = excessOf(written);
  if (excess !== undefined) return problem("", `the MeshCertificate ${excess}`);
  const parsed = meshCertificate.safeParse(written, { reportInput: true });
  if (parsed.success) return parsed.data;
  return explain(parsed.error.issues, meshCertificate, (at) => candidate.place([...path, ...at]));
}

const [group] = apiVersion.split("/");

/** The kind was renamed: Kuma has a kind MeshIdentity, whose objects are not attaché's. */
const formerKind = "MeshIdentity";

function isSlipOf(meant: string, written: string): boolean {
  return written.toLowerCase() === meant.toLowerCase() || didYouMean(written, [meant]) !== undefined;
}

function unknownKind(written: string): string {
  return isSlipOf(kind, written) ? `unknown kind; did you mean "${kind}"?` : `unknown kind; write "${kind}"`;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : {};
}

/** kubectl and the API server take an empty field for one that is left out; in a list it is a wrong value. */
function withoutNulls(value: unknown): unknown {
  // As the API server reads half of a surrogate pair, which no file can hold.
  if (typeof value === "string") return value.toWellFormed();
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value).filter(([, member]) => member !== null);
  return Object.fromEntries(entries.map(([name, member]) => [name, withoutNulls(member)]));
}

/** An empty namespace is the default one. */
function withoutEmpty(metadata: unknown): unknown {
  const { namespace, ...others } = fieldsOf(metadata);
  return namespace === "" ? others : metadata;
}

/** kubectl reads YAML 1.1, in which these are booleans; `adopt` is the only field that is one. */
function withBoolean(spec: unknown): unknown {
  const { target, ...others } = fieldsOf(spec);
  const { adopt } = fieldsOf(target);
  const meant = typeof adopt === "string" ? booleans.get(adopt.toLowerCase()) : undefined;
  return meant === undefined ? spec : { ...others, target: { ...fieldsOf(target), adopt: meant } };
}

const booleans = new Map([
  ["yes", true],
  ["on", true],
  ["no", false],
  ["off", false],
]);

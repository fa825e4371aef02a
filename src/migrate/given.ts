import { dnsLabel, dnsSubdomain } from "../api/names.ts";
import { objectsIn } from "../api/parse.ts";
import { annotatedResources } from "../emissary/annotations.ts";
import { type Consumer, type ConsumerName, consumerKinds, consumerOf } from "../emissary/consumer.ts";
import { fieldsOf, textOf } from "../emissary/fields.ts";
import { DocumentError, type Problem } from "../text/yaml/document-error.ts";
import { yamlDocuments } from "../text/yaml/document.ts";

export type Fields = Readonly<Record<string, unknown>>;

/** An object of the set-up that is left behind. Its name may stand in a command: the API server would take it. */
export interface Given extends ConsumerName {
  readonly object: Fields;
  /** `FILE:LINE:COLUMN` of a part, or the object where it comes from a cluster. */
  readonly place: (path: readonly PropertyKey[]) => string;
  /** The Service or Ingress in whose annotation it stands. */
  readonly holder?: ConsumerName;
}

/** Those that run a set-up's programs. */
export const workloadKinds = ["Deployment", "DaemonSet", "StatefulSet", "Pod"] as const;
const ofEmissary: ReadonlySet<string> = new Set([...consumerKinds, "TLSContext"]);
const ofKubernetes: ReadonlySet<string> = new Set([...workloadKinds, "ConfigMap", "Service", "Ingress"]);

/** What `kubectl get` prints of a whole cluster has more tokens than what attaché reads while it runs. */
const maxTokens = 400_000;

/**
 * What a migration has to do with among the objects of a file, as `kubectl get -o yaml` prints it or a user
 * writes it. What is a program's by its name, as `helper.conf`, is an object of the kind `File`.
 * @param namespace of objects that name none
 * @throws DocumentError
 */
export function readObjects(text: string, file: string, namespace: string): Given[] {
  if (/\.(conf|hcl|ctmpl|tmpl|tpl)$/.test(file)) {
    const name = file.split("/").at(-1) ?? file;
    return [{ kind: "File", namespace, name, object: { data: { [name]: text } }, place: () => file }];
  }
  const documents = [...yamlDocuments(text, file, { maxTokens })].filter((one) => one !== undefined);
  const candidates = documents.flatMap((document) => [...objectsIn({ ...document, path: [] })]);
  return candidates.flatMap(({ value, path, place, inherited }) => {
    const object = { ...inherited, ...fieldsOf(value) };
    return objectsOf(object, namespace, (at) => place([...path, ...at]));
  });
}

/** The object and those in its annotation; none if a migration has nothing to do with it. @throws DocumentError */
export function objectsOf(object: Fields, namespace: string, place: Given["place"]): Given[] {
  const kind = textOf(object["kind"]);
  if (kind === "")
    throw invalid(place, [], "is no Kubernetes object: give what `kubectl get -o yaml` prints");
  const isOfEmissary = textOf(object["apiVersion"]).startsWith("getambassador.io/");
  if (!(isOfEmissary ? ofEmissary : ofKubernetes).has(kind)) return [];
  const metadata: Fields = { namespace, ...fieldsOf(object["metadata"]) };
  for (const [field, schema] of Object.entries({ name: dnsSubdomain, namespace: dnsLabel }))
    if (!schema.safeParse(metadata[field]).success)
      throw invalid(place, ["metadata", field], "is not a name that Kubernetes takes: correct it");
  const own = { kind, namespace: textOf(metadata["namespace"]), name: textOf(metadata["name"]) };
  const given = { ...own, object: { ...object, metadata }, place };
  const held = annotatedResources(given.object).flatMap((one) =>
    objectsOf(
      { ...fieldsOf(one.object), kind: one.kind, apiVersion: "getambassador.io/v3alpha1" },
      own.namespace,
      () => place(["metadata", "annotations", "getambassador.io/config"]),
    ),
  );
  return [given, ...held.map((one) => ({ ...one, holder: own }))];
}

/** Each object that names a TLSContext. */
export function consumersIn(objects: readonly Given[]): Consumer[] {
  return objects.flatMap(({ kind, object, holder }) =>
    consumerKinds.filter((one) => one === kind).flatMap((one) => consumerOf(one, object, holder) ?? []),
  );
}

export function problemAt(
  given: Pick<Given, "place">,
  path: readonly PropertyKey[],
  message: string,
): Problem {
  return { place: given.place(path), path: path.map(String).join("."), message };
}

function invalid(place: Given["place"], path: readonly PropertyKey[], message: string): DocumentError {
  return new DocumentError([problemAt({ place }, path, message)]);
}

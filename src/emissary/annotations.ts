import { atOnce } from "../runtime/time-slice.ts";
import { DocumentError } from "../text/yaml/document-error.ts";
import { yamlDocuments } from "../text/yaml/document.ts";
import { fieldsOf, textOf } from "./fields.ts";

/** The annotation of a Service or an Ingress in which Emissary reads resources. */
const key = "getambassador.io/config";

/** A resource in an annotation, in the form of an object of its kind. */
export interface AnnotatedResource {
  readonly kind: string;
  readonly object: unknown;
}

/**
 * The resources in the annotation of a Service or an Ingress. One in the old form has its name and its
 * fields at the top level. Emissary ignores an annotation that is not YAML.
 */
export function annotatedResources(object: unknown): AnnotatedResource[] {
  return atOnce(readAnnotated(object));
}

/** Whether there is anything to read. */
export function isAnnotated(object: unknown): boolean {
  return textOf(fieldsOf(fieldsOf(fieldsOf(object)["metadata"])["annotations"])[key]) !== "";
}

/** As {@link annotatedResources}, in steps: 256 KB of empty or small documents take more than a second. */
export function* readAnnotated(object: unknown): Generator<unknown, AnnotatedResource[], undefined> {
  const { namespace, annotations } = fieldsOf(fieldsOf(object)["metadata"]);
  const text = textOf(fieldsOf(annotations)[key]);
  if (text === "") return [];
  return (yield* documentsIn(text)).map((document) => {
    const fields = fieldsOf(document);
    const metadata = fieldsOf(fields["metadata"]);
    return {
      kind: textOf(fields["kind"]),
      object: {
        metadata: {
          name: metadata["name"] ?? fields["name"],
          namespace: metadata["namespace"] ?? fields["namespace"] ?? namespace,
        },
        spec: fields["spec"] ?? fields,
      },
    };
  });
}

/** Also of lists: Emissary takes each of their items. */
function* documentsIn(text: string): Generator<unknown, unknown[], undefined> {
  const found: unknown[] = [];
  try {
    for (const document of yamlDocuments(text, key)) {
      if (document === undefined) yield;
      else found.push(document.value);
    }
    return found.flat();
  } catch (error) {
    if (error instanceof DocumentError) return [];
    throw error;
  }
}

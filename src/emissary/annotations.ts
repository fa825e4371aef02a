import { DocumentError } from "../text/yaml/document-error.ts";
import { parseYaml } from "../text/yaml/document.ts";
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
  const { namespace, annotations } = fieldsOf(fieldsOf(object)["metadata"]);
  const text = textOf(fieldsOf(annotations)[key]);
  if (text === "") return [];
  return documentsIn(text).map((document) => {
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
function documentsIn(text: string): unknown[] {
  try {
    return parseYaml(text, key).flatMap(({ value }) => value);
  } catch (error) {
    if (error instanceof DocumentError) return [];
    throw error;
  }
}

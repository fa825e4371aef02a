import type { Status } from "../../api/mesh-certificate.ts";
import { apiVersion, kind } from "../../api/mesh-certificate.ts";
import type { KubeClient } from "../../kube/client.ts";

/** As much of a schema of OpenAPI as says which fields there are. */
interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

interface Document {
  readonly components?: { readonly schemas?: Readonly<Record<string, Kind>> };
}

interface Kind extends Schema {
  readonly "x-kubernetes-group-version-kind"?: readonly { readonly kind: string }[];
}

/**
 * Which fields of a status the CRD in the cluster has: the API server takes others out, or refuses them. It reads the
 * schema that the API server publishes, as every authenticated client may (`system:discovery`).
 */
export class StatusFields {
  readonly #api: Pick<KubeClient, "request">;
  #schema: Promise<Schema> | undefined;

  constructor(api: Pick<KubeClient, "request">) {
    this.#api = api;
  }

  /** The status without what the CRD does not have; whole if that cannot be found out. */
  async keptOf(status: Partial<Status>): Promise<Partial<Status>> {
    this.#schema ??= this.#read();
    try {
      return kept(status, await this.#schema) as Partial<Status>;
    } catch {
      return status;
    }
  }

  /** The CRD may have been replaced: it is read again when it is needed. */
  forget(): void {
    this.#schema = undefined;
  }

  async #read(): Promise<Schema> {
    const document = await this.#api.request<Document>({
      method: "GET",
      path: `/openapi/v3/apis/${apiVersion}`,
    });
    const kinds = Object.values(document.components?.schemas ?? {});
    const own = kinds.find((one) => one["x-kubernetes-group-version-kind"]?.some((is) => is.kind === kind));
    return own?.properties?.["status"] ?? {};
  }
}

function kept(value: unknown, { properties, items }: Schema): unknown {
  if (Array.isArray(value)) return items ? value.map((item) => kept(item, items)) : value;
  if (typeof value !== "object" || value === null || properties === undefined) return value;
  const fields = Object.entries(value).flatMap(([name, field]) => {
    const schema = properties[name];
    return schema === undefined ? [] : [[name, kept(field, schema)] as const];
  });
  return Object.fromEntries(fields);
}

import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** The ServiceAccount that the API server keeps an audit log of. */
const account = "system:serviceaccount:emissary:attache";

/** What the API server notes: only who asked for what, and whether it was allowed. */
export const auditPolicy = {
  apiVersion: "audit.k8s.io/v1",
  kind: "Policy",
  omitStages: ["RequestReceived"],
  rules: [{ level: "Metadata", users: [account] }, { level: "None" }],
};

/** A request of attaché in the node's namespace `emissary`. */
export interface Asked {
  /** `VERB RESOURCE.GROUP` */
  readonly what: string;
  readonly isAllowed: boolean;
}

interface Entry {
  readonly verb: string;
  readonly objectRef?: {
    readonly resource: string;
    readonly subresource?: string;
    readonly apiGroup?: string;
  };
  readonly annotations: Readonly<Record<string, string>>;
}

/** All requests since the node started. @param folder of the node */
export async function askedIn(folder: string): Promise<Asked[]> {
  const text = await readFile(join(folder, "audit.log"), "utf8").catch(() => "");
  // The last line may be half written.
  return text
    .split("\n")
    .slice(0, -1)
    .flatMap((line) => {
      const { verb, objectRef, annotations } = JSON.parse(line) as Entry;
      if (objectRef === undefined) return [];
      const { resource, subresource, apiGroup = "" } = objectRef;
      const what = `${verb} ${[resource, subresource].filter(Boolean).join("/")}.${apiGroup}`;
      return { what, isAllowed: annotations["authorization.k8s.io/decision"] === "allow" };
    });
}

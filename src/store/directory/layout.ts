import { join } from "node:path";
import type { IdentityKey } from "../../api/mesh-certificate.ts";
import { dnsLabel, dnsSubdomain } from "../../api/names.ts";
import type { ObjectRef } from "../backend.ts";
import type { IdentityRef } from "../store.ts";
import { pemPrefix } from "./transaction.ts";

/**
 * Where everything lies in the store's folder, and back:
 *
 *     .lock                               held by the process that works here
 *     .tmp/                               what is being written; emptied at each start
 *     NAMESPACE/KIND-NAME.yaml            a manifest, as for `kubectl apply`
 *     NAMESPACE/pem-IDENTITY/             a PEM set, see pem-sets.ts
 *     status/NAMESPACE/IDENTITY.yaml      what attaché reports
 *
 * A namespace may be called `status`: nothing of its own is called like something of the statuses.
 *
 * Names come from a schema that allows no slash; that paths are made of nothing else is asserted all the same.
 */
export class Layout {
  readonly root: string;
  readonly lock: string;
  readonly temporary: string;
  readonly statuses: string;

  constructor(root: string) {
    this.root = root;
    this.lock = join(root, ".lock");
    this.temporary = join(root, ".tmp");
    this.statuses = join(root, "status");
  }

  namespace(namespace: string): string {
    return join(this.root, dnsLabel.parse(namespace));
  }

  /** Of a part that is published. */
  path({ kind, namespace, name }: ObjectRef): string {
    const file = dnsSubdomain.parse(name);
    return join(this.namespace(namespace), kind === "PemSet" ? pemPrefix + file : `${kind}-${file}.yaml`);
  }

  statusFolder(namespace: string): string {
    return join(this.statuses, dnsLabel.parse(namespace));
  }

  status({ metadata: { namespace, name } }: IdentityRef): string {
    return join(this.statusFolder(namespace), `${dnsSubdomain.parse(name)}.yaml`);
  }
}

export function isNamespace(name: string): boolean {
  return dnsLabel.safeParse(name).success;
}

/** What the name of something in a namespace's folder promises that it is. */
export function refIn(namespace: string, file: string): ObjectRef | undefined {
  const [, kind, name = file.startsWith(pemPrefix) ? file.slice(pemPrefix.length) : undefined] =
    /^(Secret|TLSContext)-(.+)\.yaml$/.exec(file) ?? [];
  if (!dnsSubdomain.safeParse(name).success || name === undefined) return undefined;
  return { kind: kind === "Secret" || kind === "TLSContext" ? kind : "PemSet", namespace, name };
}

/** The identity whose status a file of this name holds. */
export function keyOfStatus(namespace: string, name: string): IdentityKey | undefined {
  const identity = /^(.+)\.yaml$/.exec(name)?.[1];
  const isName = dnsSubdomain.safeParse(identity).success;
  return identity !== undefined && isName ? `${namespace}/${identity}` : undefined;
}

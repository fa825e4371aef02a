/** What every object of the API has; the rest is its kind's. */
export interface ApiObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
  /** A watch has left out members that are too large; see `skim()`. */
  readonly isCut?: boolean;
  readonly [field: string]: unknown;
}

export interface ObjectMeta {
  readonly name: string;
  /** None: of the cluster. */
  readonly namespace?: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
}

/** `NAMESPACE/NAME`, or `NAME` of what is of the cluster. */
export function keyOf({ namespace, name }: Pick<ObjectMeta, "namespace" | "name">): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

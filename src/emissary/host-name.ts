import { ambassadorIdsOf } from "./ambassador-id.ts";
import { fieldsOf, textOf } from "./fields.ts";

/** A Host, by which Emissary knows a context `NAME-context` of its own: another one of that name removes the Host. */
export interface HostName {
  readonly name: string;
  readonly ambassadorIds: readonly string[];
}

export function hostNameOf(object: unknown): HostName {
  const { metadata, spec } = fieldsOf(object);
  return {
    name: textOf(fieldsOf(metadata)["name"]),
    ambassadorIds: ambassadorIdsOf(fieldsOf(spec)["ambassador_id"]),
  };
}

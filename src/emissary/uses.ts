import { overlap } from "./ambassador-id.ts";
import type { Consumer } from "./consumer.ts";

/** What an identity publishes its TLSContext as. */
export interface ContextName {
  readonly name: string;
  readonly ambassadorIds: readonly string[];
}

/** The consumers of a context, in an order that does not depend on when they came. */
export function usersOf({ name, ambassadorIds }: ContextName, consumers: Iterable<Consumer>): Consumer[] {
  return [...consumers]
    .filter((one) => one.context === name && overlap(one.ambassadorIds, ambassadorIds))
    .toSorted((one, other) => compare(sortKey(one), sortKey(other)));
}

function sortKey({ namespace, name, kind }: Consumer): string {
  return `${namespace}/${name}/${kind}`;
}

function compare(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}

import type { ConsumerName, ContextName } from "./consumer.ts";
import { overlap } from "./fields.ts";
import type { SecretName, SecretUser, TlsContext } from "./tls-context.ts";

/**
 * Another object that Emissary takes for what an identity publishes, or that uses it from another namespace.
 */
export interface NameConflict {
  readonly reason: NameConflictReason;
  /** Both places, and what to do. */
  readonly message: string;
}

/** Also labels of the metric `attache_name_conflicts`. */
type NameConflictReason = "ContextNameTaken" | "SecretNameTaken" | "SecretNamedFromOutside";

/** What an identity publishes, or is about to. */
export interface PublishedNames {
  readonly namespace: string;
  readonly context: ContextName;
  /** Of its Secrets. */
  readonly secrets: readonly string[];
}

/** All TLSContexts and Hosts, objects and in annotations, whatever their owner. */
export interface ContextIndex {
  named(name: string): readonly TlsContext[];
  /** What names the Secret, or another one that takes its place: {@link SecretUser.secrets}. */
  naming(secret: SecretName): readonly SecretUser[];
}

interface Found extends NameConflict {
  readonly other: SecretUser;
}

/**
 * What conflicts with what an identity publishes, whichever was first. A context of the same namespace that
 * names its Secrets is a use.
 */
export function nameConflicts(
  { namespace, context, secrets }: PublishedNames,
  contexts: ContextIndex,
): NameConflict[] {
  const own = `TLSContext ${namespace}/${context.name}`;
  const isSeen = (other: SecretUser) => overlap(other.ambassadorIds, context.ambassadorIds);
  const namesakes: Found[] = contexts
    .named(context.name)
    .filter((other) => (other.namespace !== namespace || other.holder !== undefined) && isSeen(other))
    .map((other) => ({
      reason: "ContextNameTaken",
      other,
      message: `To Emissary, ${placeOf(other)} and ${own} are the same, and one of them is ignored. Remove the other one, or choose another name with spec.target.tlsContext.name.`,
    }));
  const users = secrets.flatMap((name) =>
    contexts.naming({ namespace, name }).flatMap((other): Found[] => {
      const secret = `Secret ${namespace}/${name}`;
      const isImitated = other.secrets.some(
        (one) => one.namespace === namespace && one.name === name && one.isImitation === true,
      );
      if (isImitated && isSeen(other)) {
        const reason = "SecretNameTaken";
        const message = `${placeOf(other)} names a Secret "${name}.${namespace}" of its own namespace, which Emissary takes for ${secret}. Remove the ${other.kind}.`;
        return [{ reason, other, message }];
      }
      if (isImitated || other.namespace === namespace) return [];
      const reason = "SecretNamedFromOutside";
      const message = `${placeOf(other)} uses ${secret} from another namespace. Remove it, or forbid this with the chart's admission policy.`;
      return [{ reason, other, message }];
    }),
  );
  const sortKey = ({ reason, other }: Found) => `${reason} ${placeOf(other)}`;
  return [...namesakes, ...users]
    .toSorted((one, next) => (sortKey(one) < sortKey(next) ? -1 : 1))
    .map(({ reason, message }) => ({ reason, message }));
}

/** Where in its holder a resource stands. */
export function partOf(holder: ConsumerName): string {
  return holder.kind === "Module" ? "" : "the annotation of ";
}

function placeOf({ kind, namespace, name, holder }: SecretUser): string {
  const where = holder && ` in ${partOf(holder)}${holder.kind} ${holder.namespace}/${holder.name}`;
  return `${kind} ${namespace}/${name}${where ?? ""}`;
}

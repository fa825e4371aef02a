import { isDeepStrictEqual } from "node:util";
import { apiVersion, kind } from "../api/mesh-certificate.ts";
import { type Consumer, consumerKey } from "../emissary/consumer.ts";
import { exposuresOf } from "../emissary/exposure.ts";
import { fieldsOf, listOf, textOf } from "../emissary/fields.ts";
import { hostAsUser, usesSecret } from "../emissary/secret-users.ts";
import { tlsContextOf } from "../emissary/tls-context.ts";
import { DocumentError, type Problem } from "../text/yaml/document-error.ts";
import { consulConnectors } from "./consul-connector.ts";
import { consulTemplates } from "./consul-template.ts";
import { beside, cutOver } from "./cut-over.ts";
import { consumersIn, type Fields, type Given, problemAt } from "./given.ts";
import { istioSidecars } from "./istio-sidecar.ts";
import type { Move, Setup, Step } from "./setup.ts";
import { spiffeHelpers } from "./spiffe-helper.ts";
import { targetOf } from "./target.ts";
import { environmentOf, labelSelector, unreadable, valueOf, workloadsOf } from "./workload.ts";

/** How to leave a set-up for attaché. */
export interface Plan {
  /** Of the chart, in the form of its `examples`. */
  readonly values: Fields;
  /** What the chart makes of them, for an attaché that is there already. */
  readonly certificates: readonly Fields[];
  readonly steps: readonly Step[];
}

/**
 * Pure.
 * @param command that prints the plan, for its text
 * @throws DocumentError that names each place where a field would be lost or requests would be plaintext.
 */
export function planOf(given: readonly Given[], command: string): Plan {
  const problems: Problem[] = [];
  const objects = withoutCopies(given, problems);
  const setups = [consulConnectors, istioSidecars, spiffeHelpers, consulTemplates].flatMap((read) =>
    read(objects, problems),
  );
  const [first] = setups;
  if (first === undefined && problems.length === 0) throw nothingKnown(objects);
  const labels = selectedLabels(objects, problems);
  const moves = setups.flatMap((setup) => movesOf(setup, objects, labels, problems));
  problems.push(
    ...setups.flatMap(({ workload, end }) => [
      ...unreadable(workload),
      ...(end === undefined ? [] : unchangeable(workload.given)),
    ]),
    ...contradictions(setups),
    ...fedTwice(moves),
    ...exposed(moves, objects),
    ...presented(moves, objects),
  );
  if (problems.length > 0 || first === undefined) throw new DocumentError(problems);
  const release = first.workload.given.namespace;
  return {
    values: {
      ...first.values,
      identities: moves.map(({ given: { name, namespace }, spec }) => ({
        name,
        ...(namespace !== release && { namespace }),
        spec,
      })),
      emissary: [emissaryOf(moves, objects, release)],
    },
    certificates: moves.map(({ given: { name, namespace }, spec }) => ({
      apiVersion,
      kind,
      metadata: { name, namespace },
      spec,
    })),
    steps: cutOver(moves, first, command),
  };
}

/** Each object once, as several files may have it. Two that differ are a problem. */
function withoutCopies(objects: readonly Given[], problems: Problem[]): readonly Given[] {
  const known = new Map<string, Given>();
  for (const one of objects) {
    const key = [one.holder, one].map((name) => name && consumerKey(name)).join(" in ");
    const before = known.get(key);
    if (before === undefined) known.set(key, one);
    else if (!isDeepStrictEqual(contentOf(before), contentOf(one)))
      problems.push(problemAt(one, [], `differs from ${consumerKey(one)} at ${before.place([])}: give one`));
  }
  return [...known.values()];
}

/** What a migration reads of an object. */
function contentOf({ object: { metadata, spec, data } }: Given) {
  const { labels, annotations } = fieldsOf(metadata);
  return { labels, annotations, spec, data };
}

function movesOf(
  setup: Setup,
  objects: readonly Given[],
  labels: ReadonlySet<string>,
  problems: Problem[],
): Move[] {
  const contexts = objects.filter((one) => one.kind === "TLSContext");
  const moves = contexts.flatMap((given) => {
    const context = tlsContextOf(given.object, given.holder);
    if (!setup.feeds(context, fieldsOf(given.object["spec"]))) return [];
    const besides = context.name + beside;
    if (contexts.some((one) => one.name === besides)) {
      const message = `the TLSContext "${besides}", which is to stand beside it, exists: finish that migration, or delete it`;
      problems.push(problemAt(given, ["metadata", "name"], message));
    }
    if (given.holder !== undefined) {
      const message = `the TLSContext "${context.name}" stands in an annotation, where attaché cannot take it over: make an object of it first`;
      problems.push(problemAt(given, [], message));
    }
    const users = consumersIn(objects).filter((one) => one.context === context.name);
    const own = fieldsOf(fieldsOf(given.object["metadata"])["labels"]);
    const selected = Object.fromEntries(Object.entries(own).filter(([key]) => labels.has(key)));
    const spec = { ...setup.source, ...targetOf(given, setup.source, selected, problems) };
    return { setup, given, context, users, spec };
  });
  if (moves.length > 0) return moves;
  const message = `is ${setup.what}, and no TLSContext names ${setup.feeding}: give the TLSContexts and Mappings, too`;
  problems.push(problemAt(setup.workload.given, ["metadata", "name"], message));
  return [];
}

/** The labels that an Emissary selects by: without those of the TLSContext, it reads no Secret. */
function selectedLabels(objects: readonly Given[], problems: Problem[]): ReadonlySet<string> {
  const selectors = workloadsOf(objects).flatMap(
    (one) => valueOf(one, environmentOf(one).get(labelSelector), problems) ?? [],
  );
  return new Set(selectors.flatMap((selector) => selector.split(/[^\w./-]+/)));
}

/** The API server changes no containers of a Pod. */
function unchangeable(given: Given): Problem[] {
  const message = "is a Pod of its own, from which nothing can be taken: make a Deployment of it first";
  return given.kind === "Pod" ? [problemAt(given, ["kind"], message)] : [];
}

/** TLSContexts that two set-ups feed, of which only one would end. */
function fedTwice(moves: readonly Move[]): Problem[] {
  const first = new Map<Given, Setup>();
  return moves.flatMap(({ setup, given }) => {
    const before = first.get(given);
    first.set(given, before ?? setup);
    const names = [before, setup].flatMap((one) =>
      one === undefined
        ? []
        : `${one.what} (container ${textOf(one.workload.container["name"])} of ${consumerKey(one.workload.given)})`,
    );
    const message = `is fed by ${names.join(" and by ")}: give one of them, and remove the other`;
    return before === undefined ? [] : [problemAt(given, ["metadata", "name"], message)];
  });
}

/** Set-ups that one release of the chart cannot replace together. */
function contradictions([first, ...others]: readonly Setup[]): Problem[] {
  return others.flatMap(({ workload: { given }, values }) => {
    const before = first?.workload.given;
    if (before?.namespace === given.namespace && isDeepStrictEqual(values, first?.values)) return [];
    const message = `needs other values than ${consumerKey(before ?? given)}: give the objects of one set-up at a time`;
    return [problemAt(given, ["metadata", "name"], message)];
  });
}

/** Consumers whose requests are not protected now, and would not be afterwards. */
function exposed(moves: readonly Move[], objects: readonly Given[]): Problem[] {
  const users = moves.flatMap((move) => move.users);
  const contexts = moves.map(({ context }) => {
    const secret = { namespace: context.namespace, name: context.name };
    return { ...context, secret, caSecret: secret };
  });
  const facts = { unsoundness: () => undefined, publishers: () => new Map<string, string>() };
  return exposuresOf(users, contexts, facts).map(({ consumer, severity }) => {
    const because = `its ambassador_id is none of those of the TLSContext, and its requests are ${severity}`;
    return problemAt(givenFor(consumer, objects), ["spec", "ambassador_id"], `${because}: correct it first`);
  });
}

/** Hosts that present to clients what the set-up writes, which ends with it. */
function presented(moves: readonly Move[], objects: readonly Given[]): Problem[] {
  return moves.flatMap(({ context, users }) => {
    const named = new Set(users.map(consumerKey));
    const hosts = objects.filter((one) => {
      if (one.kind !== "Host") return false;
      const isNamed = context.secret !== undefined && usesSecret(hostAsUser(one.object), context.secret);
      return isNamed || named.has(consumerKey(one));
    });
    const message = `presents what TLSContext ${context.namespace}/${context.name} has to clients, and nothing would renew it: give the Host a Secret of its own first`;
    return hosts.map((host) => problemAt(host, ["spec"], message));
  });
}

/** The Emissary whose pods confirm what they have loaded: its chart's Service of the admin port. */
function emissaryOf(moves: readonly Move[], objects: readonly Given[], release: string): Fields {
  const services = objects.filter(
    ({ kind: one, object }) =>
      one === "Service" &&
      listOf(fieldsOf(object["spec"])["ports"]).some(({ name }) => name === "ambassador-admin"),
  );
  const admin = services.find(({ namespace }) => namespace === release) ?? services[0];
  const ids = [...new Set(moves.flatMap(({ context }) => context.ambassadorIds))];
  return {
    ...(!isDeepStrictEqual(ids, ["default"]) && { ambassadorId: ids }),
    ...(admin !== undefined && admin.name !== "emissary-ingress-admin" && { service: admin.name }),
    ...(admin !== undefined && admin.namespace !== release && { namespace: admin.namespace }),
  };
}

function givenFor(consumer: Consumer, objects: readonly Given[]): Given {
  const found = objects.find((one) => consumerKey(one) === consumerKey(consumer));
  if (found === undefined) throw new TypeError(`${consumerKey(consumer)} comes from no object`);
  return found;
}

function nothingKnown(objects: readonly Given[]): DocumentError {
  const message = `no set-up that \`attache migrate\` knows: Emissary's Consul connector, an Istio sidecar that writes for Emissary, spiffe-helper, consul-template with caLeaf. Give its Deployment and ConfigMaps, the TLSContexts and the Mappings`;
  return new DocumentError([{ place: objects[0]?.place([]) ?? "the input", path: "", message }]);
}

import type { Consumer } from "../emissary/consumer.ts";
import { quoted } from "../text/quoted.ts";
import type { Place } from "./source.ts";

/** Commands for a shell, to copy from the page: each only reads. */
export class Commands {
  readonly #place: Place;

  constructor(place: Place) {
    this.#place = place;
  }

  /** Of attaché itself, where it runs. */
  attache(command: string): string {
    const { pod, settings } = this.#place;
    if (pod === undefined)
      return `attache ${command}${settings === undefined ? "" : ` --config ${quoted(settings)}`}`;
    return `kubectl exec -n ${quoted(pod.namespace)} ${quoted(pod.name)} -- attache ${command}`;
  }

  identity(namespace: string, name: string): string {
    if (!this.#place.isCluster) return this.attache(`inspect ${quoted(`${namespace}/${name}`)}`);
    return `kubectl describe -n ${quoted(namespace)} meshcertificates.attache.dev ${quoted(name)}`;
  }

  consumer({ kind, namespace, name, holder }: Consumer): string {
    const object = holder ?? { kind: `${kind}s.getambassador.io`, namespace, name };
    return `kubectl get -n ${quoted(object.namespace)} ${object.kind.toLowerCase()} ${quoted(object.name)} -o yaml`;
  }

  logs(): string {
    const { pod } = this.#place;
    if (pod === undefined) return this.attache("doctor");
    return `kubectl logs -n ${quoted(pod.namespace)} ${quoted(pod.name)} --tail 100`;
  }

  /** Opens the console of the replica that leads. */
  leader(): string {
    const { pod } = this.#place;
    return pod === undefined ? this.attache("console") : `attache console -n ${quoted(pod.namespace)}`;
  }
}

import { fieldsOf, listOf, textOf } from "../emissary/fields.ts";
import type { TlsContext } from "../emissary/tls-context.ts";
import { quoted } from "../text/quoted.ts";
import type { Problem } from "../text/yaml/document-error.ts";
import { type Fields, type Given, problemAt } from "./given.ts";
import { HclError, parseHcl } from "./hcl.ts";
import type { Setup, Step } from "./setup.ts";
import { isBelow, type Workload, workloadsOf } from "./workload.ts";

/** A text that a program reads: of a ConfigMap of its pod, or a file that was given as it is. */
export interface ProgramText {
  readonly given: Given;
  /** Its name in the ConfigMap. */
  readonly key: string;
  readonly text: string;
}

/** A program in a container, and the texts that it reads. */
export interface Program {
  readonly workload: Workload;
  readonly texts: readonly ProgramText[];
}

/** The containers that run a program, by image, command or arguments. */
export function programsIn(objects: readonly Given[], name: RegExp): Program[] {
  const files = objects.filter(({ kind }) => kind === "File").flatMap(textsIn);
  return workloadsOf(objects)
    .filter(({ container: { image, command, args } }) =>
      [image, command, args].flat().some((one) => name.test(textOf(one))),
    )
    .map((workload) => {
      const volumes = listOf(workload.pod["volumes"]);
      const sources = volumes.flatMap((one) => [one, ...listOf(fieldsOf(one["projected"])["sources"])]);
      const mounted = new Set(sources.map(({ configMap }) => fieldsOf(configMap)["name"]));
      const texts = objects.filter(
        (one) =>
          one.kind === "ConfigMap" && one.namespace === workload.given.namespace && mounted.has(one.name),
      );
      return { workload, texts: [...texts.flatMap(textsIn), ...files] };
    });
}

function textsIn(given: Given): ProgramText[] {
  return Object.entries(fieldsOf(given.object["data"])).map(([key, text]) => ({
    given,
    key,
    text: textOf(text),
  }));
}

/** What is wrong in a text, at its place. */
export function problemIn({ given, key }: ProgramText, field: string, message: string): Problem {
  const path = given.kind === "File" ? [] : ["data", key];
  return problemAt(given, path, field === "" ? message : `${field}: ${message}`);
}

/** Nothing, and a problem, where it is not HCL. */
export function configurationIn(text: ProgramText, problems: Problem[]): Fields {
  try {
    return parseHcl(text.text);
  } catch (error) {
    if (!(error instanceof HclError)) throw error;
    problems.push(problemIn(text, "", error.message));
    return {};
  }
}

/** Whether a program that writes `files` and has `text` feeds a TLSContext: by a file, or by a Secret that it names. */
export function feeds({ workload }: Program, files: readonly string[], text: string) {
  const seen = files.flatMap((file) => seenFrom(workload, file));
  return ({ secret }: TlsContext, spec: Fields): boolean =>
    seen.includes(textOf(spec["cert_chain_file"])) || (secret !== undefined && names(text, secret.name));
}

/** As a whole word of a script or a manifest in it. */
function names(text: string, name: string): boolean {
  return text.split(/[^\w.-]+/).includes(name);
}

/** The paths under which all containers of its pod see a file of the program. */
function seenFrom({ pod, container }: Workload, file: string): string[] {
  const mount = listOf(container["volumeMounts"]).find(({ mountPath }) => isBelow(file, textOf(mountPath)));
  if (mount === undefined) return [file];
  const rest = file.slice(textOf(mount["mountPath"]).replace(/\/+$/, "").length);
  return [...listOf(pod["containers"]), ...listOf(pod["initContainers"])]
    .flatMap(({ volumeMounts }) => listOf(volumeMounts))
    .filter(({ name }) => name === mount["name"])
    .map(({ mountPath }) => textOf(mountPath).replace(/\/+$/, "") + rest);
}

/** All that the program's pod runs and is given, to look for the name of a Secret in. */
export function allTextOf({ workload: { pod }, texts }: Program): string {
  return [JSON.stringify(pod), ...texts.map(({ text }) => text)].join("\n");
}

/** The words of its command line, also of one for a shell. */
export function wordsOf({ workload: { container } }: Program): readonly string[] {
  return [container["command"], container["args"]].flat().flatMap((one) => textOf(one).split(/[\s"']+/));
}

/** What a flag is set to: `-flag=VALUE`, or `VALUE` in the next word; also with two hyphens. */
export function flagsOf(words: readonly string[], name: string): readonly string[] {
  return words.flatMap((word, index) => {
    const [, written, value] = /^--?([\w-]+)(?:=([^]*))?$/.exec(word) ?? [];
    return written === name ? [value ?? words[index + 1] ?? ""] : [];
  });
}

/** Its container is taken from the pod, if there are others; with its pod it is stopped and deleted otherwise. */
export function endOf({
  given: { kind, namespace, name },
  container,
  list,
  isAlone,
}: Workload): Pick<Setup, "end"> {
  if (isAlone) return {};
  const where = `${kind.toLowerCase()} ${name} -n ${namespace}`;
  const left = { [list]: [{ name: container["name"], $patch: "delete" }] };
  const patch = JSON.stringify({ spec: { template: { spec: left } } });
  const end: Step = {
    title: `Take the container ${textOf(container["name"])} from ${kind} ${namespace}/${name}, also where that comes from. Its pods are replaced`,
    run: [`kubectl patch ${where} --type strategic -p ${quoted(patch)}`],
    see: [`kubectl rollout status ${where}`],
    back: [`kubectl rollout undo ${where}`, `kubectl rollout status ${where}`],
  };
  return { end };
}

import type { Command, Option } from "commander";
import { keyOf } from "../api/mesh-certificate.ts";
import { codes } from "../errors/codes.ts";
import { list } from "../kube/pages.ts";
import { resources } from "../kube/resources.ts";
import type { PlaceOptions } from "./options.ts";
import { placeOf } from "./place.ts";
import { viewsOf } from "./views.ts";

/**
 * Prints how the last of `words` may go on, as kubectl asks `kubectl_complete-attache` for: one a line,
 * with a tab before its description, then a line `:DIRECTIVE`
 * (https://github.com/kubernetes/sample-cli-plugin#shell-completion).
 */
export async function complete(words: readonly string[], program: Command): Promise<void> {
  const last = words.at(-1) ?? "";
  const all = await candidates(words.slice(0, -1), last, program);
  const found = all.filter(([word]) => word.startsWith(last));
  const lines = found.map(([word, description]) => (description === "" ? word : `${word}\t${description}`));
  process.stdout.write([...lines, `:${all === files ? fileNames : noFiles}`, ""].join("\n"));
}

/** Of cobra: https://pkg.go.dev/github.com/spf13/cobra#ShellCompDirective. */
const noFiles = 4;
const fileNames = 0;

/** A word, and what it means. */
type Candidate = readonly [word: string, description: string];

/** The shell completes the names of files. */
const files: readonly Candidate[] = [];

async function candidates(
  before: readonly string[],
  last: string,
  program: Command,
): Promise<readonly Candidate[]> {
  const command = program.commands.find((one) => before.includes(one.name()));
  if (command === undefined) return program.commands.map((one) => [one.name(), one.description()]);
  const { options, args } = read(before.slice(before.indexOf(command.name()) + 1), command);
  const open = optionOf(before.at(-1) ?? "", command);
  if (open?.required === true) return valuesOf(open, options);
  if (last.startsWith("-")) {
    const all = command.options.flatMap((one): Candidate[] =>
      one.long ? [[one.long, one.description]] : [],
    );
    return [...all, ["--help", "show help"]];
  }
  switch (command.name()) {
    case "explain":
      return Object.entries(codes).map(([code, { meaning }]) => [code, meaning]);
    case "completion":
      return ["bash", "zsh", "fish"].map((shell) => [shell, ""]);
    case "distrust":
      return args.length === 0 ? [] : identities(options);
    case "inspect":
      return args.length > 0 ? [] : identities(options);
    case "status":
    case "renew":
      return identities(options);
    default:
      return [];
  }
}

type Options = Readonly<Record<string, string | true>>;

/** The options and arguments that are complete. */
function read(words: readonly string[], command: Command): { options: Options; args: readonly string[] } {
  const options: Record<string, string | true> = {};
  const args: string[] = [];
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? "";
    const [flag = "", value] = word.split(/=(.*)/s);
    const option = optionOf(flag, command);
    if (option === undefined) args.push(word);
    else if (!option.required) options[option.attributeName()] = true;
    else {
      options[option.attributeName()] = value ?? words[index + 1] ?? "";
      if (value === undefined) index += 1;
    }
  }
  return { options, args };
}

function optionOf(flag: string, command: Command): Option | undefined {
  return flag.startsWith("-")
    ? command.options.find((one) => one.long === flag || one.short === flag)
    : undefined;
}

async function valuesOf(option: Option, options: Options): Promise<readonly Candidate[]> {
  switch (option.attributeName()) {
    case "output":
      return option.description
        .split(", ")
        .map((one) => one.replace("TEMPLATE", ""))
        .map((format) => [format, ""]);
    case "namespace":
      return named(async () => {
        await using place = await placeOf(placeIn({ ...options, allNamespaces: true, namespace: undefined }));
        if (place.kind === "directory") return [];
        return (await list(place.api, resources.namespaces, {})).map(({ metadata }) => metadata.name);
      });
    case "config":
    case "kubeconfig":
      return files;
    default:
      return (option.argChoices ?? []).map((choice) => [choice, ""]);
  }
}

function identities(options: Options): Promise<readonly Candidate[]> {
  return named(async () => {
    await using place = await placeOf(placeIn(options));
    const { views } = await viewsOf(place, {});
    const isAmbiguous = place.kind === "directory" || place.namespace === undefined;
    return views.map(({ identity }) => (isAmbiguous ? keyOf(identity) : identity.metadata.name));
  });
}

/** Who presses a key does not wait. */
function placeIn({
  config,
  kubeconfig,
  context,
  namespace,
  allNamespaces,
  as,
}: Record<string, unknown>): PlaceOptions {
  const given = { config, kubeconfig, context, namespace, allNamespaces, as };
  const isCluster = config === undefined;
  return Object.fromEntries(
    Object.entries({ ...given, ...(isCluster && { requestTimeout: "2s" }) }).filter(
      ([, value]) => value !== undefined,
    ),
  );
}

/** No names are better than an error in the middle of a command line. */
async function named(find: () => Promise<readonly string[]>): Promise<readonly Candidate[]> {
  try {
    return (await find()).map((name) => [name, ""]);
  } catch {
    return [];
  }
}

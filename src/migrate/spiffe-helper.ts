import { fieldsOf, textOf } from "../emissary/fields.ts";
import type { Problem } from "../text/yaml/document-error.ts";
import { type Fields, type Given, problemAt } from "./given.ts";
import {
  allTextOf,
  configurationIn,
  endOf,
  feeds,
  flagsOf,
  problemIn,
  type Program,
  programsIn,
  type ProgramText,
  wordsOf,
} from "./programs.ts";
import type { Setup } from "./setup.ts";
import { environmentOf, volumesFor, type Workload } from "./workload.ts";

/** What it does with files and processes, which attaché has no need of (README.md of spiffe/spiffe-helper). */
const meaningless: ReadonlySet<string> = new Set([
  ...[
    "agent_address",
    "cert_dir",
    "svid_file_name",
    "svid_key_file_name",
    "svid_bundle_file_name",
    "log_level",
  ],
  ...["cmd", "cmd_args", "renew_signal", "pid_file_name", "daemon_mode", "cert_file_mode", "key_file_mode"],
  ...["jwt_bundle_file_mode", "jwt_svid_file_mode", "health_checks", "omit_expired"],
  ...["hint", "include_federated_domains"],
]);

const remedies: Readonly<Record<string, string>> = {
  jwt_svids: "attaché publishes no JWT: leave them to spiffe-helper, in a configuration of their own",
  jwt_bundle_file_name:
    "attaché publishes no JWT bundle: leave it to spiffe-helper, in a configuration of its own",
  add_intermediates_to_bundle:
    "attaché publishes intermediates with the leaf, and trusts roots alone: have upstreams send theirs, then remove it",
};

/** spiffe-helper, whose files or hooks feed Emissary. */
export function spiffeHelpers(objects: readonly Given[], problems: Problem[]): Setup[] {
  return programsIn(objects, /spiffe-helper/).flatMap((program) => {
    const texts = program.texts.filter((one) => /\bsvid_?file_?name\b/i.test(one.text));
    const named = flagsOf(wordsOf(program), "config").map((path) => path.split("/").at(-1));
    const own = texts.length > 1 ? texts.filter(({ key }) => named.includes(key)) : texts;
    const [text, another] = own;
    if (text !== undefined && another === undefined)
      return setupOf(program, configurationOf(text, problems), problems);
    const message =
      texts.length === 0
        ? "runs spiffe-helper, and its configuration is not given: give its ConfigMap or helper.conf, too"
        : `runs spiffe-helper, and its configuration may be any of ${texts.map(({ key }) => key).join(", ")}: give that alone`;
    problems.push(problemAt(program.workload.given, program.workload.path(), message));
    return [];
  });
}

/** Older versions have keys in camelCase. */
function configurationOf(text: ProgramText, problems: Problem[]): Fields {
  const written = Object.entries(configurationIn(text, problems)).map(
    ([key, value]) => [key.replace(/[A-Z]/g, (one) => `_${one.toLowerCase()}`), value] as const,
  );
  for (const [key, value] of written)
    if (!meaningless.has(key) && value !== "" && value !== false)
      problems.push(
        problemIn(text, key, remedies[key] ?? "is unknown to attaché, and would be lost: remove it"),
      );
  return Object.fromEntries(written);
}

function setupOf(program: Program, configuration: Fields, problems: Problem[]): Setup {
  const { workload } = program;
  const { hint, include_federated_domains: isFederated } = configuration;
  const leaf = `${textOf(configuration["cert_dir"]).replace(/\/+$/, "")}/${textOf(configuration["svid_file_name"])}`;
  const socket = socketOf(workload, textOf(configuration["agent_address"]), problems);
  return {
    what: "spiffe-helper",
    workload,
    values: {
      meshes: {
        spiffe: {
          enabled: true,
          ...socket.mesh,
          ...(isFederated === true && { federatedTrustDomains: ["*"] }),
        },
      },
      ...socket.volumes,
    },
    source: { spiffe: { ...(textOf(hint) !== "" && { hint }) } },
    feeding: `the file ${leaf}, or a Secret that its hooks name`,
    feeds: feeds(program, [leaf], allTextOf(program)),
    isOfPod: true,
    ...endOf(workload),
  };
}

/** The CSI driver of SPIRE's chart is the default of attaché's; another volume is taken over as it is. */
function socketOf(workload: Workload, written: string, problems: Problem[]) {
  const variable = environmentOf(workload).get("SPIFFE_ENDPOINT_SOCKET")?.value;
  const address = written === "" ? (variable ?? "/tmp/spire-agent/public/api.sock") : written;
  if (address.startsWith("tcp:")) return { mesh: { endpointSocket: address }, volumes: {} };
  const path = address.replace(/^unix:(\/\/)?/, "");
  const volumes = volumesFor(workload, [path]);
  const [driver] = volumes.volumes.flatMap(({ csi }) => textOf(fieldsOf(csi)["driver"]) || []);
  if (driver !== undefined)
    return { mesh: driver === "csi.spiffe.io" ? {} : { csiDriver: driver }, volumes: {} };
  if (volumes.volumes.length === 0) {
    const message = `no volume of its pod has the agent's socket ${path}: give the Deployment as it runs`;
    problems.push(problemAt(workload.given, workload.path("volumeMounts"), message));
  }
  return { mesh: { endpointSocket: `unix://${path}` }, volumes };
}

import { Command, Option } from "commander";
import { levels } from "../telemetry/loggable.ts";
import {
  type DemoOptions,
  type DoctorOptions,
  type InspectOptions,
  type PlaceOptions,
  type RenderOptions,
  type RenewOptions,
  type RunOptions,
  type StatusOptions,
  formats,
} from "./options.ts";
import { isKubectlPlugin } from "./kubectl-plugin.ts";
import { version } from "../app/version.ts";

/**
 * The commands, each with the help that teaches it. What a command needs is loaded when it runs: `version` and
 * `--help` start as fast as Node does.
 */
export function program(): Command {
  const attache = new Command(isKubectlPlugin() ? "kubectl attache" : "attache")
    .description(
      "Obtains workload certificates from a service mesh, publishes them for Emissary-ingress, and keeps them in step.",
    )
    .showHelpAfterError("Run with --help to see what there is.")
    .showSuggestionAfterError()
    .version(`attache ${version}, node ${process.versions.node}`, "-V, --version", "as the command version")
    .exitOverride()
    .addHelpText(
      "after",
      `
Start here:
  attache demo                    see it work, on this machine alone
  attache run --config FILE       keep everything in step
  attache status --config FILE    is it fine, and if not, what to do

Environment:
  ATTACHE_…   overrides any setting: ATTACHE_LOG_LEVEL=debug is log.level
  NO_COLOR    no color in any output

Exit status:
  0  all is well          2  the command line, or a file that it names, is wrong
  1  something is not     3  another attaché works on the folder`,
    );

  attache
    .command("run")
    .description("Follow all MeshCertificates and keep what is published in step, until SIGTERM.")
    .addOption(config())
    .addOption(set())
    .addOption(new Option("--log-level <level>", "how much to log").choices(levels))
    .addHelpText(
      "after",
      `
SIGHUP, or a change of the settings file, reloads the settings; wrong ones are told and change nothing.
SIGTERM and SIGINT end it once what is being written is complete, and within 5 s in any case.`,
    )
    .action(async (options: RunOptions) => (await import("./run.ts")).run(options));

  attache
    .command("demo")
    .description(
      "Two development meshes, an mTLS upstream and a client, on this machine: watch rotations lose no request.",
    )
    .option("--duration <time>", "end after this long, e.g. 60s; by default it goes on until Ctrl-C")
    .option("--directory <path>", "where to keep what is published; by default a new temporary folder")
    .option("--chaos", "kill the meshes' servers and connections again and again")
    .option("--json", "print the summary as JSON, and nothing else on standard output")
    .addHelpText("after", "\nExit status 1 if any request failed.")
    .action(async (options: DemoOptions) => (await import("./demo.ts")).demo(options));

  attache
    .command("render")
    .description("Fetch the credential of each MeshCertificate once, print the manifests, write nothing.")
    .argument("[files...]", "files of MeshCertificates; by default those of the settings")
    .addOption(config())
    .addOption(set())
    .option("--timeout <time>", "how long to wait for the meshes", "30s")
    .addHelpText(
      "after",
      `
The output holds private keys. Straight to the cluster:
  attache render --config attache.yaml | kubectl apply -f -`,
    )
    .action(async (files: string[], options: RenderOptions) =>
      (await import("./render.ts")).renderOnce(files, options),
    );

  const status = attache
    .command("status")
    .description("Each identity: is it fine, until when, and if not, what to do.")
    .argument("[names...]", "NAMESPACE/NAME or NAME; by default all")
    .addOption(config())
    .addOption(set())
    .addOption(output());
  place(status)
    .option("-w, --watch", "go on, and print what changes")
    .addOption(
      new Option("--mappings", "instead: who names which TLSContext in `tls:`, and who is exposed").conflicts(
        "watch",
      ),
    )
    .addHelpText(
      "after",
      `${whichPlace}\nExit status 1 if any of them is not ready or exposed, or cannot be read.`,
    )
    .action(async (names: string[], options: StatusOptions) =>
      (await import("./status.ts")).status(names, options),
    );

  const inspect = attache
    .command("inspect")
    .description("What is published for one identity: leaf, chain and roots, never the key.")
    .argument("<name>", "NAMESPACE/NAME or NAME")
    .addOption(config())
    .addOption(set())
    .addOption(output());
  place(inspect)
    .addHelpText("after", whichPlace)
    .action(async (name: string, options: InspectOptions) =>
      (await import("./inspect.ts")).inspect(name, options),
    );

  const renew = attache
    .command("renew")
    .description("Ask for a new leaf now, for identities in a cluster.")
    .argument("[names...]", "NAMESPACE/NAME or NAME")
    .addOption(config())
    .addOption(set());
  place(renew)
    .option("--all", "all identities of the namespace, or of all with -A")
    .addHelpText(
      "after",
      `${whichPlace}
They are renewed one after the other. Only a mesh that signs for attaché can be asked: what a local agent holds, it
renews by itself.`,
    )
    .action(async (names: string[], options: RenewOptions) =>
      (await import("./renew.ts")).renew(names, options),
    );

  const distrust = attache
    .command("distrust")
    .description("Stop trusting a root now that the mesh lists no longer, for identities in a cluster.")
    .argument("<fingerprint>", "SHA-256 of the root, in hex; the first eight digits will do")
    .argument("[names...]", "NAMESPACE/NAME or NAME; by default all")
    .addOption(config())
    .addOption(set());
  place(distrust)
    .addHelpText(
      "after",
      `${whichPlace}
A root that the mesh has dropped stays trusted for a while (trust.retain in the settings); this ends it, for good. What the mesh
still lists is published: have it drop the root first. Fingerprints are shown by: attache inspect NAME -o wide`,
    )
    .action(async (fingerprint: string, names: string[], options: PlaceOptions) =>
      (await import("./distrust.ts")).distrust(fingerprint, names, options),
    );

  const doctor = attache
    .command("doctor")
    .description("Is everything there that attaché needs: API server, CRDs, permissions, meshes, clocks?")
    .addOption(config())
    .addOption(set())
    .addOption(output());
  place(doctor)
    .addHelpText(
      "after",
      `${whichPlace}
It looks with the rights, and from the place, of whoever runs it. As attaché itself:
  kubectl exec -n NAMESPACE deploy/attache -- attache doctor
Exit status 1 if anything is wrong.`,
    )
    .action(async (options: DoctorOptions) => (await import("./doctor.ts")).doctor(options));

  attache
    .command("crd")
    .description("Print the CustomResourceDefinition of MeshCertificate: attache crd | kubectl apply -f -")
    .action(async () => (await import("./crd.ts")).crd());

  attache
    .command("completion")
    .description("Print a completion script: source <(attache completion bash)")
    .argument("<shell>", "bash, zsh or fish")
    .action(async (shell: string) => (await import("./completion.ts")).completion(shell, attache));

  attache
    .command("version")
    .description("Print the version of attaché and of Node.")
    .action(() => void process.stdout.write(`attache ${version}, node ${process.versions.node}\n`));

  return attache;
}

function config(): Option {
  return new Option("-c, --config <file>", "the settings (default: attache.yaml)").env("ATTACHE_CONFIG");
}

function place(command: Command): Command {
  return command
    .option("--kubeconfig <file>", "how to reach the cluster; by default as kubectl does")
    .option("--context <name>", "which context of the kubeconfig")
    .option("-n, --namespace <name>", "which namespace; by default the context's")
    .option("-A, --all-namespaces", "all namespaces");
}

const whichPlace = `
Where it looks: at the store that the settings name; without settings, or with the flags of kubectl, at the cluster.`;

function set(): Option {
  return new Option(
    "--set <path=value>",
    "override a setting, e.g. --set log.level=debug; may stand several times",
  ).argParser<readonly string[] | undefined>((text, before = []) => [...before, text]);
}

function output(): Option {
  return new Option("-o, --output <format>", "how to print").choices(formats).default("table");
}

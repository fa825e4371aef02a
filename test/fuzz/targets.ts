import { readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAddress } from "../../adapters/consul/http/endpoint.ts";
import { readLeaf, readLogin, readRoots } from "../../adapters/consul/http/answers.ts";
import { nextIndex } from "../../adapters/consul/http/blocking-query.ts";
import { problemOf } from "../../adapters/consul/http/reply.ts";
import { connectCAService } from "../../adapters/consul/proto/connectca.pb.ts";
import { serverDiscoveryService } from "../../adapters/consul/proto/serverdiscovery.pb.ts";
import { readReply } from "../../adapters/istio/istiod/reply.ts";
import { istioCertificateService } from "../../adapters/istio/proto/ca.pb.ts";
import { secret, secretDiscoveryService } from "../../adapters/istio/proto/sds.pb.ts";
import { partNames, readPart, secretTypeUrl } from "../../adapters/istio/sds/secret.ts";
import { readEndpoint } from "../../adapters/spiffe/endpoint.ts";
import { spiffeWorkloadAPI } from "../../adapters/spiffe/proto/workload.pb.ts";
import { readSvids } from "../../adapters/spiffe/svid.ts";
import { parseMeshCertificates } from "../../src/api/parse.ts";
import { loadSettings } from "../../src/config/load.ts";
import { override, overridesFrom, parseOverride } from "../../src/config/overrides.ts";
import { settings } from "../../src/config/settings.ts";
import { parseCredential } from "../../src/credentials/assemble.ts";
import { defaultLimits } from "../../src/credentials/candidate.ts";
import { Certificate } from "../../src/credentials/certificate.ts";
import { parseCertificates } from "../../src/credentials/certificates.ts";
import { parseCrls } from "../../src/credentials/crl.ts";
import { parsePrivateKey } from "../../src/credentials/keys.ts";
import { encodePem } from "../../src/credentials/pem.ts";
import { admit } from "../../src/credentials/policies.ts";
import { profileOf } from "../../src/credentials/profile.ts";
import { revocationOf } from "../../src/credentials/revocation.ts";
import { covers, parseSpiffeIdPattern, readSpiffeId } from "../../src/credentials/spiffe-id.ts";
import { presentable } from "../../src/credentials/trust-bundle.ts";
import { consumerKinds, consumerOf } from "../../src/emissary/consumer.ts";
import { exposuresOf } from "../../src/emissary/exposure.ts";
import { MetricsPageReader } from "../../src/emissary/metrics-page.ts";
import { hostAsUser } from "../../src/emissary/secret-users.ts";
import { tlsContextOf } from "../../src/emissary/tls-context.ts";
import { leadership } from "../../src/kube/leader-election.ts";
import { answerError, parseStatus } from "../../src/kube/request-error.ts";
import { watchEvents } from "../../src/kube/watch-events.ts";
import { MeshError } from "../../src/mesh/errors.ts";
import { definitions } from "../../src/registry/registry.ts";
import type { Manifest } from "../../src/render/manifest.ts";
import { readBack } from "../../src/render/read-back.ts";
import { readRootRecord } from "../../src/render/root-record.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { manifestOf } from "../../src/store/directory/manifest-file.ts";
import { seenIdentity } from "../../src/store/kubernetes/identity.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import { loggable } from "../../src/telemetry/loggable.ts";
import { didYouMean } from "../../src/text/did-you-mean.ts";
import { parseDuration } from "../../src/text/duration.ts";
import { globMatches } from "../../src/text/glob.ts";
import { sanitizePeerText } from "../../src/text/peer-text.ts";
import { proxyOf } from "../../src/text/proxy.ts";
import { identity } from "../fixtures/identity.ts";
import { execCredential, kubeconfig, records } from "./file-targets.ts";
import { type Draw, mutateDer, mutate } from "./mutate.ts";
import type { Target } from "./run.ts";

const folder = join(import.meta.dirname, "corpus");
const file = (name: string) => readFileSync(join(folder, name));
const text = (name: string) => file(name).toString();
/** Those that once showed a fault of `target`. */
const found = (target: string) =>
  readdirSync(folder)
    .filter((name) => name.startsWith(`${target}-`))
    .map(file);

const [root, leaf, key] = [file("root.der"), file("leaf.der"), file("key.der")];
const crl = file("crl.der");
const [rootPem, leafPem] = [encodePem("CERTIFICATE", root), encodePem("CERTIFICATE", leaf)];
const keyPem = encodePem("PRIVATE KEY", key);
/** Within the life of the certificates in the corpus. */
const now = new Date("2026-11-30T12:00:00Z");
const storefront = identity();

const pemWords = [
  "-----BEGIN CERTIFICATE-----\n",
  "-----END CERTIFICATE-----\n",
  "-----BEGIN ",
  "-----BEGIN PRIVATE KEY-----\n",
  "Proc-Type: 4,ENCRYPTED\n\n",
  "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n",
  ...["\0", "====", "\r\n\r\n"],
];
const yamlWords = [
  ...[
    "&a ",
    "*a",
    "<<: *a\n",
    "<<: [*a, *a]\n",
    "__proto__: {a: b}\n",
    "constructor: x\n",
    "? ",
    "!!binary ",
    "|\n  ",
  ],
  ...[
    ">\n",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "[".repeat(50),
    "{a: ".repeat(30),
    "\t",
    "\u2028",
    "\ufeff",
    "'",
    '"',
  ],
  ...["- ", ": ", "#", "null", "~", "1e999", "kind: List\nitems:\n", "items: [", "\\ud800", "}{"],
];
const jsonWords = [
  ...[
    "{",
    "}",
    "[",
    "]",
    '"__proto__":',
    '"constructor":',
    "null",
    "1e400",
    '"\\ud800"',
    ",",
    ":",
    "[".repeat(200),
  ],
  ...["-1", "true", '""', "\u001b[2J"],
];
const textWords = [
  ...[
    "eyJhbGciOiJSUzI1NiJ9.",
    "bearer ",
    "token=",
    "-----BEGIN PRIVATE KEY-----",
    "\u001b[2J",
    "\u202e",
    "*",
    "**",
  ],
  ...[
    "https://u:p@",
    "A".repeat(60),
    "password: ",
    "..",
    "/",
    "%2e",
    "\0",
    "[::1]",
    ":65536",
    "unix://",
    "1h",
    "ns",
  ],
];

const bytes = (...texts: readonly string[]) => texts.map((one) => Buffer.from(one));

/** What a peer's bytes cannot be decoded to is gRPC's to report: it ends the call with a status. */
function decoded<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof Error && !(error instanceof RangeError && error.message.includes("call stack")))
      return undefined;
    throw error;
  }
}

async function attempts(...steps: readonly (() => unknown)[]): Promise<void> {
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      if (!(error instanceof MeshError)) throw error;
    }
  }
}

const { responseSerialize: sdsBytes, responseDeserialize: readSds } = secretDiscoveryService.streamSecrets;
const inline = (pem: string) => ({ specifier: "inlineBytes", inlineBytes: Buffer.from(pem) });
const discovery = (value: Parameters<typeof secret.encode>[0]) =>
  sdsBytes({
    versionInfo: "1",
    typeUrl: secretTypeUrl,
    nonce: "n",
    resources: [{ typeUrl: secretTypeUrl, value: secret.encode(value) }],
  });

const leafAnswer = { CertPEM: leafPem, PrivateKeyPEM: keyPem, ServiceURI: "spiffe://x/svc/web" };
const rootsAnswer = {
  TrustDomain: "x.consul",
  Roots: [{ ID: "x", RootCert: rootPem, IntermediateCerts: null, Active: true }],
};

const page = [
  'envoy_cluster_ssl_certificate_expiration_unix_time_seconds{envoy_tls_certificate="unnamed_cert_1",envoy_cluster_name="web_443"} 1.8e9',
  'envoy_cluster_membership_total{envoy_cluster_name="web_443"} 1',
  "envoy_cluster_manager_cds_update_success{} 5\nambassador_reconfiguration_time_seconds{} 0.5\n",
].join("\n");

const meshCertificate = {
  metadata: {
    name: "web",
    namespace: "edge",
    uid: "u",
    resourceVersion: "7",
    labels: { a: "b" },
    annotations: {},
  },
  spec: {
    consul: { service: "web" },
    target: { labels: { a: "b" }, tlsContext: { sni: "x", ambassadorId: ["a"] } },
  },
  status: {
    conditions: [],
    roots: [{ fingerprint: "a", notAfter: "2026-01-01T00:00:00Z", state: "active" }],
  },
};
const mapping = {
  metadata: { name: "web", namespace: "edge" },
  spec: {
    tls: "web",
    tlsContext: { name: "web" },
    service: "https://web:443",
    ambassador_id: ["default"],
    secret: "a",
  },
};
const watchLine = JSON.stringify({ type: "ADDED", object: meshCertificate });
const status = {
  kind: "Status",
  status: "Failure",
  message: "no",
  reason: "Conflict",
  code: 409,
  details: {},
};
const secretManifest = {
  apiVersion: "v1",
  kind: "Secret",
  metadata: {
    name: "storefront-mesh-ca",
    namespace: "emissary",
    labels: {},
    annotations: { "attache.dev/roots": '[{"fingerprint":"a","retireAt":"2027-01-01T00:00:00.000Z"}]' },
  },
  type: "Opaque",
  data: { "tls.crt": Buffer.from(rootPem).toString("base64") },
};

const settingsFile = join(tmpdir(), `attache-fuzz-${process.pid}.yaml`);

function json(input: Buffer): unknown {
  try {
    return JSON.parse(input.toString()) as unknown;
  } catch {
    return undefined;
  }
}

async function* pieces(input: Buffer, draw: Draw): AsyncGenerator<Buffer> {
  for (let at = 0; at < input.length;) {
    const length = 1 + draw(400);
    yield await Promise.resolve(input.subarray(at, at + length));
    at += length;
  }
}

const parsers: Readonly<Record<string, Target>> = {
  certificates: {
    samples: [leaf, root, Buffer.concat([leaf, root]), ...bytes(leafPem, leafPem + rootPem)],
    words: pemWords,
    run: (input, draw) => parseCertificates(draw(2) === 0 ? input : input.toString("latin1")),
  },
  profile: {
    samples: [leaf, root, file("constrained.der")],
    mutate: mutateDer,
    run: (input) => {
      profileOf(input, "leaf");
      const certificate = new Certificate(input);
      presentable([certificate, new Certificate(root)], now);
      const credential = parseCredential({ key, certificates: [input, leaf], bundle: [input, root], now });
      const limits = { ...defaultLimits };
      admit({ credential, expected: {}, allowed: [], now, clockSkewMs: 0, limits });
    },
  },
  crls: {
    samples: [crl, ...bytes(encodePem("X509 CRL", crl))],
    mutate: (input, draw) => (draw(2) === 0 ? mutateDer(input, draw) : mutate(input, [], draw)),
    run: (input) => {
      const chain = [new Certificate(leaf)] as const;
      const bundle = [new Certificate(file("signer.der"))];
      const offered = parseCrls(input);
      const limits = { now, clockSkewMs: 0, secretBytes: defaultLimits.secretBytes };
      revocationOf({ offered, published: offered.lists, chain, bundle, ...limits });
    },
  },
  keys: {
    samples: [key, file("sec1.der"), ...bytes(keyPem, encodePem("EC PRIVATE KEY", file("sec1.der")))],
    words: pemWords,
    run: (input) => parsePrivateKey(input),
  },
  sds: {
    samples: [
      discovery({
        name: "default",
        tlsCertificate: {
          certificateChain: inline(leafPem),
          privateKey: inline(keyPem),
          privateKeyProvider: null,
        },
        validationContext: null,
      }),
      discovery({
        name: "ROOTCA",
        tlsCertificate: null,
        validationContext: {
          trustedCa: inline(rootPem),
          crl: inline(encodePem("X509 CRL", crl)),
          customValidatorConfig: null,
        },
      }),
    ],
    words: pemWords,
    run: async (input) => {
      const answer = decoded(() => readSds(input));
      if (answer !== undefined) await attempts(...partNames.map((name) => () => readPart(name, answer, now)));
    },
  },
  spiffe: {
    samples: [
      spiffeWorkloadAPI.fetchX509SVID.responseSerialize({
        svids: [
          {
            ...{ spiffeId: "spiffe://example.org/ns/default/sa/web", hint: "" },
            ...{ x509Svid: leaf, x509SvidKey: key, bundle: root },
          },
        ],
        crl: [crl],
        federatedBundles: { "spiffe://other.org": root },
      }),
    ],
    run: async (input) => {
      const answer = decoded(() => spiffeWorkloadAPI.fetchX509SVID.responseDeserialize(input));
      if (answer === undefined) return;
      const reading = { federatedTrustDomains: ["*"], previous: [], now };
      await attempts(async () => {
        for (const svid of readSvids(answer, reading).slice(0, 3)) await attempts(() => svid.credential());
      });
    },
  },
  istiod: {
    samples: [istioCertificateService.createCertificate.responseSerialize({ certChain: [leafPem, rootPem] })],
    words: pemWords,
    run: async (input) => {
      const answer = decoded(() => istioCertificateService.createCertificate.responseDeserialize(input));
      if (answer !== undefined) await readReply(answer.certChain);
    },
  },
  "consul-http": {
    samples: bytes(JSON.stringify(leafAnswer), JSON.stringify(rootsAnswer), '{"SecretID":"x"}'),
    words: [...jsonWords, ...pemWords, ...textWords],
    run: async (input, draw) => {
      const answer = input.toString(draw(2) === 0 ? "utf8" : "latin1");
      await attempts(
        () => readLeaf(answer),
        () => readRoots(answer),
        () => readLogin(answer),
      );
      const headers = { "retry-after": answer.slice(0, 20) };
      problemOf({ status: 400 + draw(200), headers, text: answer }, ["sekret-token"], draw(2) === 0);
      nextIndex(5n, answer.slice(0, 30));
    },
  },
  "consul-grpc": {
    samples: [
      connectCAService.watchRoots.responseSerialize({
        activeRootId: "x",
        trustDomain: "x.consul",
        roots: [{ id: "x", rootCert: rootPem, intermediateCerts: [], active: true }],
      } as never),
    ],
    words: pemWords,
    run: (input) => {
      const answer = decoded(() => connectCAService.watchRoots.responseDeserialize(input));
      decoded(() => serverDiscoveryService.watchServers.responseDeserialize(input));
      for (const { rootCert } of answer?.roots ?? []) parseCertificates(rootCert);
    },
  },
  "metrics-page": {
    samples: bytes(page),
    words: [
      "envoy_cluster_",
      "{",
      "}",
      '="',
      '"',
      "\n",
      "\r",
      "e999",
      "NaN",
      "a".repeat(300),
      '\\"',
      '{a="b",'.repeat(20),
    ],
    run: (input, draw) => {
      const reader = new MetricsPageReader(new Set(["web_443"]));
      for (let at = 0; at < input.length;) {
        const length = 1 + draw(200);
        reader.take(input.subarray(at, at + length));
        at += length;
      }
      reader.end();
    },
  },
  settings: {
    samples: bytes(text("settings.yaml")),
    words: yamlWords,
    run: async (input) => {
      await writeFile(settingsFile, input);
      const loaded = await loadSettings(settingsFile);
      for (const [name, { adapter }] of Object.entries(loaded.settings.meshes)) {
        if (adapter === "consul") loaded.meshSettings(name, definitions.consul.settings);
      }
    },
  },
  overrides: {
    samples: bytes(
      "log.level=debug",
      "meshes.consul.address=x",
      "limits.clockSkew=1h30m",
      "store.kubernetes.namespaces=[a]",
    ),
    words: [...yamlWords, ...textWords],
    run: (input) => {
      const written = input.toString();
      const one = parseOverride(written);
      if (one !== undefined) override({ value: {}, place: () => "" }, [one], settings);
      overridesFrom({ ATTACHE_LIMITS_CLOCK_SKEW: written, [`ATTACHE_${written.slice(0, 40)}`]: written });
    },
  },
  identities: {
    samples: bytes(text("identities.yaml"), JSON.stringify({ kind: "List", items: [meshCertificate] })),
    words: [...yamlWords, ...jsonWords],
    run: (input) => parseMeshCertificates(input.toString(), "f"),
  },
  kubeconfig,
  "exec-credential": execCredential,
  objects: {
    samples: bytes(JSON.stringify(meshCertificate), JSON.stringify(mapping), JSON.stringify(secretManifest)),
    words: jsonWords,
    run: async (input) => {
      const object = json(input);
      const fields = typeof object === "object" && object !== null ? object : {};
      seenIdentity({ ...fields, metadata: meshCertificate.metadata });
      const contexts = [tlsContextOf(object), tlsContextOf(mapping)];
      const facts = { unsoundness: () => undefined, publishers: () => new Map<string, string>() };
      exposuresOf(
        consumerKinds.flatMap((kind) => consumerOf(kind, object) ?? []),
        contexts,
        facts,
      );
      hostAsUser(object);
      readRootRecord(input.toString(), []);
      const manifest = {
        ...secretManifest,
        ...fields,
        kind: "Secret",
        metadata: secretManifest.metadata,
      } as Manifest;
      const known = manifestOf(manifest);
      if (known !== undefined) await readBack(storefront, [known], now);
    },
  },
  watch: {
    samples: bytes(`${watchLine}\n${watchLine}\n`, `${JSON.stringify({ type: "ERROR", object: status })}\n`),
    words: ["\n", ...jsonWords],
    run: async (input, draw) => {
      answerError(
        { method: "GET", path: "/api" },
        { status: 400 + draw(200), text: input.toString(), retryAfter: input.toString("latin1", 0, 20) },
        [],
      );
      parseStatus(json(input));
      const asked = { method: "GET" as const, path: "/api" };
      const { signal } = new AbortController();
      for await (const { object } of watchEvents(pieces(input, draw), asked, signal)) {
        parseStatus(object);
      }
    },
  },
  leases: {
    samples: bytes(
      JSON.stringify({
        metadata: { name: "attache", namespace: "edge", uid: "u", resourceVersion: "7" },
        spec: { holderIdentity: "other", leaseDurationSeconds: 15, renewTime: "2026-01-01T00:00:00.000000Z" },
      }),
    ),
    words: jsonWords,
    run: async (input) => {
      const ended = new AbortController();
      // What the API server answers is read for three looks.
      let looks = 0;
      const sleep = () => ((looks += 1) < 3 ? Promise.resolve() : Promise.reject(new Error("enough")));
      const api = { namespace: "edge", request: () => Promise.resolve(json(input)) } as never;
      const clock = { ...systemClock, sleep };
      const logger = createLogger("silent");
      const terms = leadership({ api, name: "attache", holder: "us", clock, logger }, ended.signal);
      setImmediate(() => ended.abort(new Error("enough")));
      await terms.next().catch((error: unknown) => {
        if (error instanceof Error && error.message === "enough") return;
        throw error;
      });
      ended.abort(new Error("enough"));
      await terms.return(undefined);
    },
  },
  records,
  addresses: {
    samples: bytes(
      "https://127.0.0.1:8501",
      "unix:///run/consul.sock",
      "tcp://[::1]:8081",
      "https://[fe80::1%25eth0]:8501/consul",
      "10.0.0.0/8,.example.org,*",
    ),
    words: textWords,
    run: (input) => {
      const written = input.toString("latin1");
      readEndpoint(written);
      proxyOf("https://consul.example.org:8501", { NO_PROXY: written, HTTPS_PROXY: written });
      parseAddress(written, false);
    },
  },
  texts: {
    samples: bytes(
      "error: token abcdef at https://consul:8500/v1: permission denied",
      "spiffe://*.example.org/ns/*/sa/**",
      "1h30m",
    ),
    words: textWords,
    run: (input) => {
      const written = input.toString("latin1");
      const shown = sanitizePeerText(written, { secrets: ["sekret"] });
      if (shown.length > 300 || /\p{C}/u.test(shown)) throw new TypeError(`shows ${JSON.stringify(shown)}`);
      loggable({ msg: written, err: new Error(written), [written.slice(0, 30)]: [written] });
      parseDuration(written);
      didYouMean(written, ["level", "listen"]);
      globMatches(written, `${written}*${written}`);
      readSpiffeId(written);
      const pattern = parseSpiffeIdPattern(written);
      pattern.test(written);
      covers(pattern, pattern);
    },
  },
};

/** Every parser of bytes that come from outside, by its name for `--target`. */
export const targets: Readonly<Record<string, Target>> = Object.fromEntries(
  Object.entries(parsers).map(([name, target]) => [
    name,
    { ...target, samples: [...target.samples, ...found(name)] },
  ]),
);

/** Of two inputs one, so that a part of each meets the other. */
export function spliced(target: Target, draw: Draw): Buffer {
  const sample = () => Buffer.from(target.samples[draw(target.samples.length)] ?? []);
  const [one, other] = [sample(), sample()];
  const joined = Buffer.concat([
    one.subarray(0, draw(one.length + 1)),
    other.subarray(draw(other.length + 1)),
  ]);
  return mutate(joined, target.words ?? [], draw);
}

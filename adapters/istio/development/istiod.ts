import { type sendUnaryData, Server, type ServerUnaryCall, status } from "@grpc/grpc-js";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import { createServer } from "node:tls";
import type { Clock, Cluster, ServiceAccountToken, TokenRequest } from "../../../src/mesh/adapter.ts";
import type { Authority } from "../../../src/mesh/development/authority.ts";
import { readCsr } from "../../../src/mesh/development/csr.ts";
import { listen, shutDown } from "../../../src/mesh/development/grpc-server.ts";
import { Pipes } from "../../../src/mesh/development/pipes.ts";
import { LatestValue } from "../../../src/runtime/latest-value.ts";
import { defaultServerName } from "../definition.ts";
import {
  type IstioCertificateRequest,
  type IstioCertificateResponse,
  istioCertificateService,
} from "../proto/ca.pb.ts";
import type { StreamFailure } from "./sds-stream.ts";

/**
 * istiod's CA over a real authority, and of its cluster what attaché sees: the ConfigMap with the roots, and the tokens
 * of ServiceAccounts. As istiod it signs for whom the token is of, cross-signs nothing, and is known by the newest root.
 */
export interface DevelopmentIstiod extends AsyncDisposable {
  /** What connects the adapter to it. */
  readonly settings: { readonly mode: "istiod"; readonly address: string };
  readonly cluster: Cluster;
  /** The `data` of the ConfigMap. */
  readonly configMap: LatestValue<Readonly<Record<string, string>> | undefined>;
  /** Whether the authority's roots are written into it when they change; istiod is slow at times. */
  listsRoots: boolean;
  /** Writes them now. */
  list(): void;
  readonly mint: (namespace: string, request: TokenRequest) => Promise<ServiceAccountToken>;
  /** Every token that was minted. */
  readonly tokens: readonly string[];
  /** How many leaves were signed. */
  readonly signed: number;
  /** What was asked for last, with which metadata. */
  readonly lastRequest: (IstioCertificateRequest & { readonly clusterId: string | undefined }) | undefined;
  /** How it answers from now on in place of signing; `undefined`: it signs. */
  failure: StreamFailure | undefined;
  /** What it sends in place of a reply. */
  tamper: (reply: IstioCertificateResponse) => IstioCertificateResponse;
  /** Ends all connections, and takes no new ones. */
  stop(): Promise<void>;
  resume(): Promise<void>;
}

interface DevelopmentIstiodOptions {
  readonly authority: Authority;
  readonly clock: Clock;
  /** Of the tokens that it accepts; `istio-ca` by default. */
  readonly audience?: string;
}

type Call = ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>;
type Answer = sendUnaryData<IstioCertificateResponse>;

/** Longer than any leaf: a test may move the clock, and TLS looks at that of the machine. */
const yearMs = 365 * 24 * 3_600_000;

interface Holder {
  readonly namespace: string;
  readonly request: TokenRequest;
  readonly expiresAt: Date;
}

export async function startDevelopmentIstiod(options: DevelopmentIstiodOptions): Promise<DevelopmentIstiod> {
  const { authority, clock, audience = "istio-ca" } = options;
  const holders = new Map<string, Holder>();
  const configMap: DevelopmentIstiod["configMap"] = new LatestValue();
  const rootPem = () =>
    authority
      .roots()
      .map(({ certificate }) => certificate.toPem())
      .join("");
  const list = () => configMap.publish({ "root-cert.pem": rootPem() });

  function signed(call: Call): IstioCertificateResponse | StreamFailure {
    const [clusterId] = call.metadata.get("clusterid").map(String);
    istiod.lastRequest = { ...call.request, clusterId };
    if (istiod.failure !== undefined) return istiod.failure;
    const [bearer = ""] = call.metadata.get("authorization").map(String);
    const holder = holders.get(bearer.replace(/^Bearer /, ""));
    const isKnown = holder?.request.audiences.includes(audience) === true && holder.expiresAt > clock.now();
    if (!isKnown) return { code: status.UNAUTHENTICATED, details: "request authenticate failure" };
    const { namespace, request } = holder;
    const seconds = Number(call.request.validityDuration);
    const [leaf] = authority.sign({
      uri: `spiffe://${authority.trustDomain}/ns/${namespace}/sa/${request.serviceAccount}`,
      publicKey: readCsr(call.request.csr).publicKey,
      ...(seconds > 0 && { lifetimeMs: seconds * 1000 }),
    });
    istiod.signed += 1;
    return istiod.tamper({ certChain: [leaf.toPem(), rootPem()] });
  }

  function createCertificate(call: Call, answer: Answer): void {
    const result = signed(call);
    if ("certChain" in result) answer(null, result);
    else answer(result);
  }

  const grpc = new Server();
  grpc.addService(
    { CreateCertificate: istioCertificateService.createCertificate },
    { CreateCertificate: createCertificate },
  );
  const plainPort = await listen(grpc, "127.0.0.1:0");
  const pipes = new Pipes();
  // grpc-js cannot change a server's certificate, so that TLS ends here.
  const tls = createServer({ ALPNProtocols: ["h2"] }, (near) => {
    pipes.join(near, connect(plainPort, "127.0.0.1"));
  });
  let port = 0;

  async function renewServerCertificate(): Promise<void> {
    const uri = `spiffe://${authority.trustDomain}/ns/istio-system/sa/istiod`;
    const { key, chain } = await authority.issue({ uri, dns: [defaultServerName], lifetimeMs: yearMs });
    tls.setSecureContext({
      key: key.export({ type: "pkcs8", format: "pem" }),
      cert: chain[0].toPem(),
    });
  }

  async function resume(): Promise<void> {
    if (tls.listening) return;
    await once(tls.listen(port, "127.0.0.1"), "listening");
    ({ port } = tls.address() as AddressInfo);
  }

  async function stop(): Promise<void> {
    if (!tls.listening) return;
    const closed = once(tls.close(), "close");
    pipes.breakAll();
    await closed;
  }

  let renewing = renewServerCertificate();
  const unsubscribe = authority.subscribe(() => {
    renewing = renewing.then(renewServerCertificate);
    if (istiod.listsRoots) list();
  });
  await renewing;
  await resume();
  list();

  const istiod = {
    settings: { mode: "istiod" as const, address: `127.0.0.1:${port}` },
    cluster: {
      configMap: (_name: string, signal: AbortSignal) => configMap.subscribe(signal),
      async *clusterTrustBundle(_name: string, signal: AbortSignal) {
        for await (const data of configMap.subscribe(signal)) yield data?.["root-cert.pem"];
      },
    },
    configMap,
    listsRoots: true,
    list,
    mint(namespace: string, request: TokenRequest) {
      const token = `token-${randomUUID()}`;
      const expiresAt = new Date(clock.now().getTime() + request.expirationSeconds * 1000);
      holders.set(token, { namespace, request, expiresAt });
      return Promise.resolve({ token, expiresAt });
    },
    get tokens() {
      return [...holders.keys()];
    },
    signed: 0,
    lastRequest: undefined as DevelopmentIstiod["lastRequest"],
    failure: undefined as StreamFailure | undefined,
    tamper: (reply: IstioCertificateResponse) => reply,
    stop,
    resume,
    async [Symbol.asyncDispose]() {
      unsubscribe();
      await stop();
      await renewing;
      await shutDown(grpc);
    },
  };
  return istiod;
}

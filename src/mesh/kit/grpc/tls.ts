import { CallCredentials, ChannelCredentials } from "@grpc/grpc-js";
import {
  checkServerIdentity,
  connect,
  type ConnectionOptions,
  type SecureContext,
  type TLSSocket,
} from "node:tls";
import { sniOf } from "../../../text/tls.ts";

/** How a server proves itself. */
export interface Verification {
  readonly context: SecureContext;
  /**
   * What its certificate must carry: a name or an IP address. The handshake names it, unless it is an IP
   * address.
   */
  readonly name: string;
  /** False: any certificate will do. */
  readonly isVerified: boolean;
}

/**
 * As `tls.connect` takes it. grpc-js itself would name an IP address in the handshake, or keep the dot of an
 * absolute name.
 */
export function tlsOptions({ context, name, isVerified }: Verification): ConnectionOptions {
  return {
    secureContext: context,
    servername: sniOf(name) ?? "",
    ALPNProtocols: ["h2"],
    rejectUnauthorized: isVerified,
    checkServerIdentity: (_host, certificate) =>
      isVerified ? checkServerIdentity(name, certificate) : undefined,
  };
}

/** TLS for a channel. */
export class TlsCredentials extends ChannelCredentials {
  readonly #verification: () => Promise<Verification>;

  /** @param verification asked before each connection, which waits for it. */
  constructor(verification: () => Promise<Verification>) {
    super();
    this.#verification = verification;
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    ...[, , callCredentials = CallCredentials.createEmpty()]: Parameters<
      ChannelCredentials["_createSecureConnector"]
    >
  ): ReturnType<ChannelCredentials["_createSecureConnector"]> {
    let verification: Verification | undefined;
    return {
      waitForReady: async () => {
        verification = await this.#verification();
      },
      connect: (socket) => {
        if (verification === undefined)
          throw new TypeError("a connection was made before it could be verified");
        const secure = connect({ socket, ...tlsOptions(verification) });
        const { promise, resolve, reject } = Promise.withResolvers<{ socket: TLSSocket; secure: boolean }>();
        secure.once("secureConnect", () => resolve({ socket: secure, secure: true }));
        secure.on("error", reject);
        return promise;
      },
      getCallCredentials: () => callCredentials,
      destroy: () => undefined,
    };
  }
}

import {
  ChannelCredentials,
  type ChannelOptions,
  Client,
  connectivityState,
  credentials,
} from "@grpc/grpc-js";
import type { Socket } from "node:net";

/** Key, chain and bundle are some 10 KB; above this an answer is not read. */
const answerMaxBytes = 1024 * 1024;

/**
 * One channel of its own connection, so that a new one leaves a connection behind that hangs. Without
 * keepalive, unless `options` say otherwise: most servers take its pings for an attack (ENHANCE_YOUR_CALM)
 * and close. Nor through the proxy that the environment may name: keys and tokens are for the mesh alone.
 * @param target as grpc-js takes it: `unix:///run/agent.sock`, `dns:///consul.example:8503`,
 *   `ipv4:127.0.0.1:8080`.
 */
export function openChannel(
  target: string,
  security: ChannelCredentials = credentials.createInsecure(),
  options: ChannelOptions = {},
): Client {
  return new ClosedForGood(target, new EndingCredentials(security), {
    "grpc.max_receive_message_length": answerMaxBytes,
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_retries": 0,
    "grpc.enable_http_proxy": 0,
    ...options,
  });
}

/** Whether the peer is reachable, at each change; ends when the channel is closed. */
export async function* readinessOf(client: Client): AsyncGenerator<boolean> {
  const channel = client.getChannel();
  for (let last: connectivityState | undefined; ;) {
    const state = channel.getConnectivityState(false);
    if (state === connectivityState.SHUTDOWN) return;
    // Only now: a channel that is closed would connect again (seen in grpc-js 1.14).
    if (state === connectivityState.IDLE) channel.getConnectivityState(true);
    if (state === last) await change(channel, state);
    else if (state === connectivityState.READY) yield true;
    else if (state === connectivityState.TRANSIENT_FAILURE) yield false;
    last = state;
  }
}

function change(channel: ReturnType<Client["getChannel"]>, state: connectivityState): Promise<void> {
  return new Promise((resolve) => channel.watchConnectivityState(state, Infinity, () => resolve()));
}

/**
 * grpc-js (1.14) leaves connections to a closed channel: one that it was still making, if the peer then says
 * nothing; one that a peer which hangs does not close in its turn; and one that it makes a second after a
 * failure, as its timer is not stopped. After each absence of an agent one would be left.
 */
class ClosedForGood extends Client {
  readonly #credentials: EndingCredentials;

  constructor(target: string, ending: EndingCredentials, options: ChannelOptions) {
    super(target, ending, options);
    this.#credentials = ending;
  }

  override close(): void {
    super.close();
    this.#credentials.end();
  }
}

/** All connections of a channel are secured by its credentials, which know them thus, and can end them. */
class EndingCredentials extends ChannelCredentials {
  readonly #security: ChannelCredentials;
  readonly #sockets = new Set<Socket>();
  #hasEnded = false;

  constructor(security: ChannelCredentials) {
    super();
    this.#security = security;
  }

  /**
   * Closes what is open, a moment later so that the peer hears of calls that were cancelled; nothing is
   * opened any more.
   */
  end(): void {
    this.#hasEnded = true;
    setImmediate(() => {
      for (const socket of this.#sockets) socket.destroy();
    });
  }

  override _isSecure(): boolean {
    return this.#security._isSecure();
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    ...args: Parameters<ChannelCredentials["_createSecureConnector"]>
  ): Connector {
    const connector = this.#security._createSecureConnector(...args);
    return {
      // Asked before there is a socket.
      waitForReady: async () => {
        this.#assertNotEnded();
        await connector.waitForReady();
      },
      connect: async (socket) => {
        // The caller destroys the socket.
        this.#assertNotEnded();
        this.#sockets.add(socket);
        socket.once("close", () => this.#sockets.delete(socket));
        return connector.connect(socket);
      },
      getCallCredentials: () => connector.getCallCredentials(),
      destroy: () => connector.destroy(),
    };
  }

  #assertNotEnded(): void {
    if (this.#hasEnded) throw new Error("the channel was closed");
  }
}

type Connector = ReturnType<ChannelCredentials["_createSecureConnector"]>;

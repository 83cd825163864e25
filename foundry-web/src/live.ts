// The live connection: what changed, as it changes; found again when it is lost.
//
// Knows: WebSockets, messages of API.md. Must never know: tiles, panels.
// Keeps: after a loss it asks for what it missed; a message it cannot read is a reason to reconnect.

import { type Message, type Subscription, decodeMessage, encodeResume, encodeSubscribe } from "./wire.ts";

export type LiveState = "connecting" | "live" | "lost" | "off";

export class Live {
  private socket: WebSocket | null = null;
  private subscription: Subscription[] = [];
  /** The subscription in words, and the one that was sent. */
  private key = "[]";
  private sent = "";
  private failures = 0;
  private timer = 0;
  epoch = "0";
  seq = 0;
  state: LiveState = "off";
  onMessage: (m: Message) => void = () => {};
  onState: (s: LiveState) => void = () => {};

  start(epoch: string, seq: number): void {
    this.epoch = epoch;
    this.seq = seq;
    this.connect();
  }

  /** Tests break the connection to see it found again. */
  drop(): void {
    this.socket?.close();
  }

  private set(state: LiveState): void {
    if (this.state === state) return;
    this.state = state;
    this.onState(state);
  }

  private connect(): void {
    window.clearTimeout(this.timer);
    this.set(this.failures === 0 ? "connecting" : "lost");
    const url = new URL("api/v1/live", window.location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.hash = "";
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = (): void => {
      this.failures = 0;
      this.sent = "";
      this.tell();
      this.set("live");
    };
    socket.onmessage = (event: MessageEvent<ArrayBuffer>): void => {
      let message: Message;
      try {
        message = decodeMessage(event.data);
      } catch {
        socket.close();
        return;
      }
      if ("seq" in message && message.type !== "hello") this.seq = Math.max(this.seq, message.seq);
      if (message.type === "reset" || (message.type === "hello" && message.epoch !== this.epoch)) {
        this.epoch = message.epoch;
        this.seq = message.seq;
      }
      this.onMessage(message);
    };
    socket.onclose = (): void => {
      if (this.socket !== socket) return;
      this.failures++;
      this.set("lost");
      const wait = Math.min(10000, 200 * 2 ** Math.min(this.failures, 6)) * (0.75 + Math.random() / 2);
      this.timer = window.setTimeout(() => this.connect(), wait);
    };
  }

  /** Says whether these are others than before. */
  subscribe(entries: Subscription[]): boolean {
    const key = JSON.stringify(entries);
    const others = key !== this.key;
    [this.subscription, this.key] = [entries, key];
    this.tell();
    return others;
  }

  private tell(): void {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    if (this.key === this.sent) return;
    this.sent = this.key;
    this.socket.send(encodeSubscribe(this.subscription));
    // What changed in them between the last message and this one was told to nobody.
    this.socket.send(encodeResume(this.epoch, this.seq));
  }
}

// Does what the state machine wants done: one WebSocket, a few requests, timers. Decides nothing.
import { step } from "../protocol/machine";
import { initial, type Effect, type Input, type State } from "../protocol/state";
import type { ListedRoom } from "../protocol/wire";
import { ask, faultOf } from "./http";
import type { Session } from "./session";

const SUBPROTOCOL = "parlor.v1.json";

export class Driver {
  state: State = initial();
  #socket: WebSocket | null = null;
  #timers = new Map<string, ReturnType<typeof setTimeout>>();
  /** Goes up with each socket and each sign-out: what comes late from an older one is ignored. */
  #turn = 0;

  constructor(
    private readonly session: Session,
    private readonly changed: (state: State) => void,
  ) {}

  input(input: Input): void {
    const before = this.state;
    const { state, effects } = step(before, input);
    this.state = state;
    for (const effect of effects) this.#act(effect);
    if (this.state !== before) this.changed(this.state);
  }

  async join(room: string): Promise<void> {
    const token = await this.session.token();
    if (token === null) return;
    await ask(`/v1/rooms/${room}/join`, { method: "POST", token });
    this.input({ type: "joined", room });
  }

  #act(effect: Effect): void {
    switch (effect.do) {
      case "frame":
        if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(effect.frame));
        return;
      case "timer":
        clearTimeout(this.#timers.get(effect.name));
        this.#timers.set(effect.name, setTimeout(() => this.#fire(effect.name), delay(effect)));
        return;
      case "cancel":
        return this.#cancel(effect.name);
      case "cancel-all":
        return [...this.#timers.keys()].forEach((name) => this.#cancel(name));
      case "open-socket":
        return void this.#open();
      case "close-socket":
        return this.#close();
      case "list-rooms":
        return void this.#list();
      case "refresh-token":
        // A failure shows at the next use of the token.
        return void this.session.renew().catch(() => undefined);
    }
  }

  #fire(name: string): void {
    this.#timers.delete(name);
    this.input({ type: "timer", name });
  }

  #cancel(name: string): void {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  #close(): void {
    this.#turn++;
    this.#socket?.close(1000);
    this.#socket = null;
  }

  async #open(): Promise<void> {
    this.#close();
    const turn = this.#turn;
    let token: string | null;
    try {
      token = await this.session.token();
    } catch (error) {
      if (turn === this.#turn) this.input({ type: "closed", code: 1006, fault: faultOf(error) });
      return;
    }
    if (token === null || turn !== this.#turn) return;
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/v1/ws`, [SUBPROTOCOL]);
    this.#socket = socket;
    const mine = (act: () => void) => () => {
      if (turn === this.#turn) act();
    };
    socket.onopen = mine(() => this.input({ type: "opened", token }));
    socket.onmessage = (event: MessageEvent<unknown>) => {
      if (turn === this.#turn && typeof event.data === "string") this.input({ type: "frame", text: event.data });
    };
    socket.onclose = (event) => {
      if (turn !== this.#turn) return;
      this.#socket = null;
      this.input({ type: "closed", code: event.code });
    };
  }

  async #list(): Promise<void> {
    const me = this.state.me;
    try {
      const token = await this.session.token();
      if (token === null) return;
      const answer = await ask<ListedRoom[] | { rooms: ListedRoom[] }>("/v1/rooms", { token });
      if (this.state.me !== me) return;
      this.input({ type: "rooms", rooms: Array.isArray(answer) ? answer : answer.rooms });
    } catch (error) {
      if (this.state.me === me) this.input({ type: "rooms-failed", fault: faultOf(error) });
    }
  }
}

function delay(effect: { min: number; max: number }): number {
  return effect.min + Math.random() * (effect.max - effect.min);
}

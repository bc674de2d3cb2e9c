// For tests: a server in miniature with one room and one socket, and a client run against it step by step.
// It keeps the promises of PROTOCOL.md and nothing more: frames may be late, answers may fail after the act.
import { step } from "./machine";
import { initial, type Input, type State } from "./state";
import type { Page, PageMessage, RoomEvent, RoomReply, ServerFrame, User } from "./wire";

export const ME: User = { id: "me", username: "mia", display_name: "Mia" };
export const OTHER: User = { id: "other", username: "otto", display_name: "Otto" };
export const ROOM = "team-a/general";
export const TIME = "2026-11-24T10:00:00.000Z";

/** A small generator of pseudo-random numbers: the same seed, the same run. */
export function generator(seed: number): (below: number) => number {
  let state = seed + 0x9e3779b9;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

type Command = { id: number } & Record<string, Record<string, unknown>>;

export class World {
  state: State = initial();
  timers = new Map<string, number>();
  log: RoomEvent[] = [];
  epoch = "1-aaaaaa";
  /** Client → server and server → client, in order. */
  up: Command[] = [];
  down: ServerFrame[] = [];
  /** How many events of the log the socket got; null: not subscribed. */
  sent: number | null = null;
  open = false;
  listing = false;
  #pos = 0;

  input(input: Input): void {
    const { state, effects } = step(this.state, input);
    this.state = state;
    for (const effect of effects) {
      if (effect.do === "timer") this.timers.set(effect.name, effect.max);
      else if (effect.do === "cancel") this.timers.delete(effect.name);
      else if (effect.do === "cancel-all") this.timers.clear();
      else if (effect.do === "list-rooms") this.listing = true;
      else if (effect.do === "open-socket") this.open = true;
      else if (effect.do === "close-socket") this.hangUp();
      else if (effect.do === "frame" && Object.keys(effect.frame).length > 0) this.up.push(effect.frame as Command);
    }
  }

  hangUp(): void {
    this.open = false;
    this.up = [];
    this.down = [];
    this.sent = null;
  }

  get position(): { epoch: string; pos: number } {
    const last = this.log.at(-1);
    return { epoch: this.epoch, pos: last && last.epoch === this.epoch ? last.pos : 0 };
  }

  append(make: (base: { room: string; epoch: string; pos: number; time: string }) => RoomEvent): RoomEvent {
    this.#pos += 1024;
    const event = make({ room: ROOM, epoch: this.epoch, pos: this.#pos, time: TIME });
    this.log.push(event);
    return event;
  }

  say(sender: User, id: string, text: string): RoomEvent {
    return this.append((base) => ({ ...base, type: "message", sender, message: { id, text } }));
  }

  newEpoch(): void {
    this.epoch = `${Number.parseInt(this.epoch, 10) + 1}-bbbbbb`;
    this.#pos = 0;
    if (this.sent === null) return;
    this.sent = this.log.length;
    this.down.push({ reset: { room: ROOM, ...this.position } });
  }

  /** The socket gets the next event, or misses up to `missed` of them. */
  deliver(missed = 0): void {
    if (this.sent === null || this.sent >= this.log.length) return;
    const from = this.log[this.sent]!;
    if (missed === 0) {
      this.down.push({ ev: from });
      this.sent += 1;
      return;
    }
    this.sent = Math.min(this.sent + missed, this.log.length);
    this.down.push({ lagged: { room: ROOM, epoch: from.epoch, from: from.pos, to: this.log[this.sent - 1]!.pos } });
  }

  #subscribe(asked: { epoch?: string; pos?: number }): RoomReply {
    const reply = { room: ROOM, ...this.position };
    const current = this.log.filter((event) => event.epoch === this.epoch);
    if (asked.epoch !== this.epoch || asked.pos === undefined || asked.pos > this.position.pos) {
      this.sent = this.log.length;
      return { ...reply, recovered: false, events: [], more: false };
    }
    const missed = current.filter((event) => event.pos > asked.pos!);
    const events = missed.slice(0, 3);
    this.sent = this.log.length - missed.length + events.length;
    return { ...reply, pos: events.at(-1)?.pos ?? asked.pos, recovered: true, events, more: missed.length > 3 };
  }

  #page(asked: { before?: number; epoch?: string; limit?: number }): Page {
    const all = this.messages();
    const end = asked.before === undefined ? all.length : all.findIndex((one) => one.pos === asked.before && one.epoch === asked.epoch);
    const limit = 4;
    return { messages: all.slice(Math.max(0, end - limit), end), has_more: end > limit, ...this.position };
  }

  /** The fold of the whole log. */
  messages(): PageMessage[] {
    const out: PageMessage[] = [];
    const sets = new Map<PageMessage, Set<string>>();
    for (const event of this.log) {
      if (event.type === "message") out.push({ ...event, message: { ...event.message }, reactions: [] });
      if (event.type !== "edited" && event.type !== "deleted" && event.type !== "reaction") continue;
      const found = out.find((one) => one.message.id === event.message.id && one.sender?.id === event.message.author);
      if (!found || found.deleted) continue;
      if (event.type === "edited") Object.assign(found, { edited_at: event.time, message: { ...found.message, text: event.message.text } });
      if (event.type === "deleted") Object.assign(found, { deleted: true, reactions: [], message: { id: found.message.id } });
      if (event.type !== "reaction") continue;
      const set = sets.get(found) ?? new Set<string>();
      sets.set(found, set);
      if (event.removed) set.delete(event.sender!.id);
      else set.add(event.sender!.id);
      found.reactions = set.size === 0 ? [] : [{ emoji: "👍", count: set.size, me: set.has(ME.id) }];
    }
    return out;
  }

  /** The server takes one command. `bad` 1: an error before the act; 2: after it. */
  serve(bad = 0): void {
    const frame = this.up.shift();
    if (!frame) return;
    const { id, ...verbs } = frame;
    const [verb, body] = Object.entries(verbs)[0]!;
    const err = { code: "unavailable", message: "not now", temporary: true, retry_after_ms: 10 };
    if (bad === 1 && verb !== "connect") return void this.down.push({ id, err });
    const ok = this.#answer(verb, body);
    this.down.push(bad === 2 && verb === "send" ? { id, err } : { id, ok });
  }

  #answer(verb: string, body: Record<string, unknown>): unknown {
    if (verb === "connect") {
      const rooms = (body["rooms"] as { epoch?: string; pos?: number }[]).map((room) => this.#subscribe(room));
      return { session: "s", user: ME, ping_ms: 25000, rooms };
    }
    if (verb === "subscribe") return this.#subscribe(body);
    if (verb === "history") return this.#page(body);
    if (verb !== "send") return {};
    const message = body["message"] as { id: string; text: string };
    const first = this.log.find((event) => event.type === "message" && event.sender?.id === ME.id && event.message.id === message.id);
    const event = first ?? this.say(ME, message.id, message.text);
    return { room: ROOM, epoch: event.epoch, pos: event.pos, time: event.time, duplicate: first !== undefined };
  }

  /** The client takes one frame. */
  receive(): void {
    const frame = this.down.shift();
    if (frame) this.input({ type: "frame", text: JSON.stringify(frame) });
  }

  /** The list of rooms, the opened socket, or a timer that is due. */
  turnWheel(random: (below: number) => number): void {
    if (this.listing) {
      this.listing = false;
      const { epoch, pos } = this.position;
      this.input({ type: "rooms", rooms: [{ room: ROOM, display_name: "General", role: "Member", epoch, last_pos: pos, unread: 0 }] });
    } else if (this.open && this.state.phase === "connecting" && Object.keys(this.state.commands).length === 0) {
      this.input({ type: "opened", token: "t" });
    } else {
      const due = [...this.timers.keys()].filter((name) => /^(dial|list|subscribe|page|resend)/.test(name));
      const name = due[random(Math.max(due.length, 1))];
      if (name === undefined) return;
      this.timers.delete(name);
      this.input({ type: "timer", name });
    }
  }

  /** Until nothing is left to do: no faults any more. */
  settle(random: (below: number) => number): void {
    for (let i = 0; i < 5000; i++) {
      const before = this.state;
      this.turnWheel(random);
      this.serve();
      this.deliver();
      this.receive();
      if (before === this.state && this.down.length === 0 && this.up.length === 0) return;
    }
    throw new Error("the client never came to rest");
  }
}

/** A client that is online and shows the room. */
export function online(): World {
  const world = new World();
  world.input({ type: "show", room: ROOM });
  world.input({ type: "start", me: ME });
  world.settle(generator(1));
  return world;
}

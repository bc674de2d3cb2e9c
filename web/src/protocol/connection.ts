// The life of the connection: list of rooms, socket, `connect` with positions, close codes, reconnect with full jitter.
import * as outbox from "./outbox";
import { list, MOST_IN_CONNECT, subscribed, subscribeWanted, wanted } from "./rooms";
import { initial } from "./state";
import { command, fault, pause, set, setRoom, type Turn } from "./turn";
import type { Fault, RoomReply, User } from "./wire";

/** The server pings every 25 s: silent for longer than this, it is gone. */
export const SILENCE_MS = 40_000;
/** From opening the socket to the answer to `connect`. */
const CONNECT_MS = 20_000;
/** A connection that held this long was a good one: the next pause starts small again. */
const STEADY_MS = 10_000;
const TOKEN_EXPIRED = 3005;

export function start(turn: Turn, me: User): void {
  const { network, shown, nextCommand } = turn.state;
  turn.state = { ...initial(), me, network, shown, nextCommand, phase: "connecting" };
  list(turn);
}

export function stop(turn: Turn): void {
  const { network, shown, nextCommand } = turn.state;
  turn.state = { ...initial(), network, shown, nextCommand };
  turn.effects.push({ do: "cancel-all" }, { do: "close-socket" });
}

/** The first list of rooms is there: now the socket knows what to ask for. */
export function firstList(turn: Turn): void {
  if (turn.state.phase === "connecting") dial(turn);
}

export function listFailed(turn: Turn, why: Fault): void {
  const tries = turn.state.listTries;
  set(turn, { listing: "no", listTries: tries + 1, fault: turn.state.listed ? turn.state.fault : why });
  pause(turn, "list", tries, why.retry_after_ms ?? 0);
}

/** A try: open a socket, and bound how long it may take. */
export function dial(turn: Turn): void {
  set(turn, { phase: "connecting" });
  turn.effects.push({ do: "open-socket" }, { do: "timer", name: "connect", min: CONNECT_MS, max: CONNECT_MS });
}

/** The socket is open: say who we are and where we stand in each room. */
export function opened(turn: Turn, token: string): void {
  if (turn.state.phase !== "connecting") return;
  const rooms = Object.values(turn.state.rooms)
    .filter((room) => wanted(turn, room))
    .sort((a, b) => Number(b.address === turn.state.shown) - Number(a.address === turn.state.shown))
    .slice(0, MOST_IN_CONNECT);
  for (const room of rooms) setRoom(turn, room.address, { live: "asking", fault: null, tries: 0 });
  const positions = rooms.map((room) => ({ room: room.address, ...room.cursor }));
  command(turn, { verb: "connect" }, { token, client: "web/1.0", lines: true, rooms: positions });
}

/** `ok` to `connect`. */
export function connected(turn: Turn, replies: readonly RoomReply[]): void {
  const again = turn.state.tries > 0;
  set(turn, { phase: "online", fault: null, retryAfter: 0 });
  turn.effects.push({ do: "cancel", name: "connect" });
  turn.effects.push({ do: "timer", name: "steady", min: STEADY_MS, max: STEADY_MS });
  const answered = new Set(replies.map((reply) => reply.room));
  for (const reply of replies) subscribed(turn, reply);
  for (const room of Object.values(turn.state.rooms)) {
    if (room.live === "asking" && !answered.has(room.address) && !asked(turn, room.address)) {
      setRoom(turn, room.address, { live: "off" });
    }
  }
  subscribeWanted(turn);
  outbox.transmitAll(turn);
  if (again) list(turn);
}

/** A `subscribe` of the room is on its way. */
export function asked(turn: Turn, address: string): boolean {
  return Object.values(turn.state.commands).some((one) => one.verb === "subscribe" && one.room === address);
}

/** An error to `connect`. For those about the token the server closes; all others end the try here. */
export function connectRefused(turn: Turn, why: Fault): void {
  set(turn, { fault: why });
  if (why.code === "token_expired") turn.effects.push({ do: "refresh-token" });
  set(turn, { retryAfter: Math.max(turn.state.retryAfter, why.retry_after_ms ?? 0) });
  if (why.code === "token_expired" || why.code === "unauthenticated") return;
  turn.effects.push({ do: "close-socket" });
  closed(turn, why.temporary ? 3000 : 3501);
}

/** The socket is gone, or could not be opened. */
export function closed(turn: Turn, code: number, why?: Fault): void {
  const { phase, tries, retryAfter } = turn.state;
  if (phase !== "connecting" && phase !== "online") return;
  for (const name of ["connect", "steady", "silence"]) turn.effects.push({ do: "cancel", name });
  for (const id of Object.keys(turn.state.commands)) turn.effects.push({ do: "cancel", name: `answer ${id}` });
  set(turn, { commands: {} });
  outbox.interrupt(turn);
  for (const room of Object.values(turn.state.rooms)) {
    turn.effects.push({ do: "cancel", name: `subscribe ${room.address}` }, { do: "cancel", name: `page ${room.address}` });
    setRoom(turn, room.address, { live: "off", paging: "no", recent: [], fault: null, tries: 0, read: null });
  }
  if (code >= 3500 && code < 4000) {
    set(turn, { phase: "stopped", stop: code });
    return;
  }
  if (code === TOKEN_EXPIRED) turn.effects.push({ do: "refresh-token" });
  set(turn, { phase: "waiting", tries: tries + 1, retryAfter: 0, fault: why ?? turn.state.fault });
  pause(turn, "dial", tries, retryAfter);
}

/** The client ends a connection that does not live any more. */
export function abandon(turn: Turn, message: string): void {
  turn.effects.push({ do: "close-socket" });
  closed(turn, 3000, fault("unavailable", message));
}

/** The browser says whether there is a network. Tries go on without one: the services may be on this machine. */
export function network(turn: Turn, online: boolean): void {
  set(turn, { network: online });
  if (online && turn.state.phase === "waiting") pause(turn, "dial", 0);
}

/** The person wants to try now, without waiting. */
export function again(turn: Turn): void {
  const { phase, listed, listing } = turn.state;
  if (phase === "connecting" && !listed && listing === "no") {
    turn.effects.push({ do: "cancel", name: "list" });
    list(turn);
  }
  if (phase !== "waiting" && phase !== "stopped") return;
  set(turn, { stop: null, fault: null });
  turn.effects.push({ do: "cancel", name: "dial" });
  dial(turn);
}

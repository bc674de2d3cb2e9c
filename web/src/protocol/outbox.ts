// Optimistic sending: a message is shown at once, sent until the log has it, always under the same id.
// An error that is temporary means "outcome unknown": the machine tries again, and gives up after a minute.
import type { Sending } from "./state";
import { command, fault, pause, set, setRoom, type Turn } from "./turn";
import { add } from "./timeline";
import { compare } from "./position";
import type { Fault, MessageSent } from "./wire";

export const GIVE_UP_MS = 60_000;

function change(turn: Turn, address: string, id: string, by: Partial<Sending>): void {
  const outbox = turn.state.rooms[address]?.outbox.map((one) => (one.id === id ? { ...one, ...by } : one));
  if (outbox) setRoom(turn, address, { outbox });
}

function find(turn: Turn, address: string, id: string): Sending | undefined {
  return turn.state.rooms[address]?.outbox.find((one) => one.id === id);
}

/** A new message of mine. */
export function post(turn: Turn, address: string, id: string, text: string, time: string): void {
  const room = turn.state.rooms[address];
  if (!room || room.outbox.some((one) => one.id === id)) return;
  const entry: Sending = { id, text, time, state: "sending", command: null, resting: false, tries: 0, fault: null };
  setRoom(turn, address, { outbox: [...room.outbox, entry] });
  start(turn, address, id);
}

/** The person asks to try a failed message again, under the same id. */
export function retry(turn: Turn, address: string, id: string): void {
  if (find(turn, address, id)?.state !== "failed") return;
  change(turn, address, id, { state: "sending", command: null, resting: false, tries: 0, fault: null });
  start(turn, address, id);
}

function start(turn: Turn, address: string, id: string): void {
  turn.effects.push({ do: "timer", name: `give-up ${address} ${id}`, min: GIVE_UP_MS, max: GIVE_UP_MS });
  transmit(turn, address, id);
}

/** Sends one entry if there is a connection and it is not on its way already. */
export function transmit(turn: Turn, address: string, id: string): void {
  const entry = find(turn, address, id);
  if (!entry || entry.state !== "sending" || entry.command !== null || turn.state.phase !== "online") return;
  const sent = command(turn, { verb: "send", room: address, id }, { room: address, message: { id, text: entry.text } });
  change(turn, address, id, { command: sent, resting: false, tries: entry.tries + 1 });
}

/** After `connect`: all that waits, in the order it was written. */
export function transmitAll(turn: Turn): void {
  for (const room of Object.values(turn.state.rooms)) {
    for (const entry of room.outbox) if (!entry.resting) transmit(turn, room.address, entry.id);
  }
}

/** The connection is gone: whatever was on its way waits for the next one. */
export function interrupt(turn: Turn): void {
  for (const room of Object.values(turn.state.rooms)) {
    if (room.outbox.some((one) => one.command !== null)) {
      setRoom(turn, room.address, { outbox: room.outbox.map((one) => ({ ...one, command: null })) });
    }
  }
}

/** The log has it: by `ok`, by its event, or in a page; also after it was given up. */
export function confirm(turn: Turn, address: string, id: string): void {
  const entry = find(turn, address, id);
  const room = turn.state.rooms[address];
  if (!entry || !room) return;
  setRoom(turn, address, { outbox: room.outbox.filter((one) => one.id !== id) });
  turn.effects.push({ do: "cancel", name: `give-up ${address} ${id}` });
  turn.effects.push({ do: "cancel", name: `resend ${address} ${id}` });
}

export interface SendOk {
  epoch: string;
  pos: number;
  time: string;
}

/** `ok` to a send. Before its own event it also puts the message into the list; after it there is nothing to add. */
export function accepted(turn: Turn, address: string, id: string, ok: SendOk): void {
  const entry = find(turn, address, id);
  const room = turn.state.rooms[address];
  const me = turn.state.me;
  if (!entry || !room || !me) return;
  confirm(turn, address, id);
  const ahead = !room.cursor || compare(ok, room.cursor) > 0;
  if (!ahead || !(room.loaded || room.paging !== "no")) return;
  const event: MessageSent = {
    type: "message",
    room: address,
    epoch: ok.epoch,
    pos: ok.pos,
    time: ok.time,
    sender: me,
    message: { id, text: entry.text },
  };
  setRoom(turn, address, { timeline: add(room.timeline, event) });
}

/** An error to a send, or no answer. */
export function refused(turn: Turn, address: string, id: string, why: Fault): void {
  const entry = find(turn, address, id);
  if (!entry || entry.state !== "sending") return;
  if (!why.temporary) {
    fail(turn, address, id, why);
    if (why.reason === "room_closed") setRoom(turn, address, { open: false });
    return;
  }
  change(turn, address, id, { command: null, resting: true, fault: why });
  pause(turn, `resend ${address} ${id}`, Math.min(entry.tries - 1, 3), why.retry_after_ms ?? 0);
}

/** The minute is over. */
export function giveUp(turn: Turn, address: string, id: string): void {
  const entry = find(turn, address, id);
  if (entry?.state !== "sending") return;
  fail(turn, address, id, entry.fault ?? fault("unavailable", "Not sent: there was no connection."));
}

function fail(turn: Turn, address: string, id: string, why: Fault): void {
  change(turn, address, id, { state: "failed", command: null, resting: false, fault: why });
  turn.effects.push({ do: "cancel", name: `give-up ${address} ${id}` });
  turn.effects.push({ do: "cancel", name: `resend ${address} ${id}` });
}

/** The timer `resend`. */
export function rested(turn: Turn, address: string, id: string): void {
  change(turn, address, id, { resting: false });
  transmit(turn, address, id);
}

/** A removed room takes the timers of its outbox with it. */
export function drop(turn: Turn, address: string): void {
  for (const entry of turn.state.rooms[address]?.outbox ?? []) confirm(turn, address, entry.id);
  const { [address]: _gone, ...rooms } = turn.state.rooms;
  set(turn, { rooms });
}

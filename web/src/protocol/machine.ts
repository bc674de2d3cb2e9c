// The client as a pure function: (state, input) → (state, effects). Which part answers which input and frame.
import * as connection from "./connection";
import * as outbox from "./outbox";
import * as paging from "./paging";
import * as rooms from "./rooms";
import type { Effect, Input, State } from "./state";
import { command, set, setRoom, settle, type Turn } from "./turn";
import type { Fault, Page, RoomReply, ServerFrame } from "./wire";

export function step(state: State, input: Input): { state: State; effects: Effect[] } {
  const turn: Turn = { state, effects: [] };
  take(turn, input);
  return turn;
}

function take(turn: Turn, input: Input): void {
  if (input.type === "network") connection.network(turn, input.online);
  else if (input.type === "start") connection.start(turn, input.me);
  else if (input.type === "show") rooms.show(turn, input.room);
  if (turn.state.phase === "idle") return;
  switch (input.type) {
    case "stop":
      return connection.stop(turn);
    case "rooms": {
      const first = !turn.state.listed;
      rooms.listed(turn, input.rooms);
      return first ? connection.firstList(turn) : undefined;
    }
    case "rooms-failed":
      return connection.listFailed(turn, input.fault);
    case "opened":
      return connection.opened(turn, input.token);
    case "closed":
      return connection.closed(turn, input.code, input.fault);
    case "frame":
      return received(turn, input.text);
    case "timer":
      return fired(turn, input.name);
    case "token":
      if (turn.state.phase === "online") command(turn, { verb: "refresh" }, { token: input.token });
      return;
    case "send":
      return outbox.post(turn, input.room, input.id, input.text, input.time);
    case "retry":
      return outbox.retry(turn, input.room, input.id);
    case "older":
      return paging.older(turn, input.room);
    case "seen":
      return rooms.seen(turn, input.room);
    case "joined":
      return rooms.joined(turn, input.room);
    case "again":
      return connection.again(turn);
  }
}

function fired(turn: Turn, name: string): void {
  const [what, first = "", second = ""] = name.split(" ");
  switch (what) {
    case "silence":
      return connection.abandon(turn, "The server has gone silent.");
    case "connect":
      return connection.abandon(turn, "The server did not answer in time.");
    case "steady":
      return set(turn, { tries: 0 });
    case "dial":
      return turn.state.phase === "waiting" ? connection.dial(turn) : undefined;
    case "list":
      return rooms.list(turn);
    case "answer":
      return answered(turn, Number(first), undefined, rooms.noAnswer);
    case "subscribe":
      setRoom(turn, first, { fault: null });
      return rooms.subscribeWanted(turn);
    case "page":
      return paging.page(turn, first);
    case "resend":
      return outbox.rested(turn, first, second);
    case "give-up":
      return outbox.giveUp(turn, first, second);
  }
}

/** A frame may hold several objects, one a line; `{}` is a ping. What is no object is ignored. */
function received(turn: Turn, text: string): void {
  const { phase } = turn.state;
  if (phase !== "connecting" && phase !== "online") return;
  turn.effects.push({ do: "timer", name: "silence", min: connection.SILENCE_MS, max: connection.SILENCE_MS });
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    const frame = parse(line);
    if (!frame) continue;
    if (Object.keys(frame).length === 0) turn.effects.push({ do: "frame", frame: {} });
    else if (frame.id !== undefined) answered(turn, frame.id, frame.ok, frame.err);
    else pushed(turn, frame);
  }
}

function parse(line: string): ServerFrame | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as ServerFrame) : null;
  } catch {
    return null;
  }
}

function pushed(turn: Turn, frame: ServerFrame): void {
  if (frame.ev) rooms.happened(turn, frame.ev);
  else if (frame.lagged) rooms.lagged(turn, frame.lagged);
  else if (frame.reset) rooms.newLog(turn, frame.reset.room, frame.reset.epoch, frame.reset.pos);
  else if (frame.unsubscribed) rooms.out(turn, frame.unsubscribed.room);
  else if (frame.rooms_changed) rooms.list(turn);
  else if (frame.auth_expiring) turn.effects.push({ do: "refresh-token" });
  else if (frame.disconnect) set(turn, { retryAfter: frame.disconnect.retry_after_ms ?? 0 });
}

/** The answer to a command: `ok`, or an error, or none in time. */
function answered(turn: Turn, id: number, ok: unknown, err: Fault | undefined): void {
  const what = settle(turn, id);
  switch (what?.verb) {
    case "connect":
      if (err) connection.connectRefused(turn, err);
      else connection.connected(turn, (ok as { rooms?: RoomReply[] }).rooms ?? []);
      return;
    case "subscribe":
      if (err) rooms.refused(turn, what.room, err);
      else rooms.subscribed(turn, ok as RoomReply);
      return;
    case "unsubscribe":
      if (connection.asked(turn, what.room)) return;
      setRoom(turn, what.room, { live: "off", cursor: null });
      return rooms.subscribeWanted(turn);
    case "send":
      if (err) outbox.refused(turn, what.room, what.id, err);
      else outbox.accepted(turn, what.room, what.id, ok as outbox.SendOk);
      return;
    case "history":
      if (err) paging.failed(turn, what, err);
      else paging.arrived(turn, what, ok as Page);
      return;
    case "read":
      if (err) setRoom(turn, what.room, { read: null });
      return;
    case "refresh":
      if (err && err.code === "token_expired") turn.effects.push({ do: "refresh-token" });
      return;
  }
}

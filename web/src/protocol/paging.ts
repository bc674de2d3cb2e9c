// Reading history: the newest page when a room is shown, older ones on request.
import * as outbox from "./outbox";
import { compare } from "./position";
import { command, fault, pause, setRoom, type Turn } from "./turn";
import { merge } from "./timeline";
import type { Command } from "./state";
import type { Fault, Page } from "./wire";

export const PAGE = 50;

/** Reads the newest page of the room on the screen, if it is not there and a cursor is. */
export function page(turn: Turn, address: string): void {
  const room = turn.state.rooms[address];
  if (!room || turn.state.shown !== address || turn.state.phase !== "online") return;
  if (room.loaded || room.paging !== "no" || room.live !== "on") return;
  // What an interrupted try left behind may have holes: from here on the events are kept without one.
  setRoom(turn, address, { paging: "first", timeline: [], recent: [] });
  const what: Command = { verb: "history", room: address, generation: room.generation, from: room.cursor };
  command(turn, what, { room: address, limit: PAGE });
}

/** Reads the page before the oldest message. */
export function older(turn: Turn, address: string): void {
  const room = turn.state.rooms[address];
  const oldest = room?.timeline[0];
  if (!room || !oldest || !room.loaded || !room.hasMore || room.paging !== "no") return;
  if (turn.state.phase !== "online") return;
  setRoom(turn, address, { paging: "older" });
  const what: Command = { verb: "history", room: address, generation: room.generation, from: room.cursor };
  command(turn, what, { room: address, before: oldest.pos, epoch: oldest.epoch, limit: PAGE });
}

/** A page came. */
export function arrived(turn: Turn, what: Command & { verb: "history" }, answer: Page): void {
  const room = turn.state.rooms[what.room];
  const me = turn.state.me;
  if (!room || !me || room.generation !== what.generation) return;
  // A page that knows less than was already delivered would leave a hole.
  if (what.from && compare(answer, what.from) < 0) {
    failed(turn, what, fault("unavailable", "The history is behind."));
    return;
  }
  const first = room.paging === "first";
  setRoom(turn, what.room, {
    timeline: merge(room.timeline, answer, room.recent, me.id),
    recent: [],
    loaded: true,
    hasMore: answer.has_more && answer.messages.length > 0,
    paging: "no",
    fault: null,
    tries: 0,
  });
  if (first) turn.effects.push({ do: "cancel", name: `page ${what.room}` });
  for (const entry of answer.messages) {
    if ("message" in entry && entry.sender?.id === me.id) outbox.confirm(turn, what.room, entry.message.id);
  }
}

/** No page: the newest one is asked for again by itself, an older one by the person. */
export function failed(turn: Turn, what: Command & { verb: "history" }, why: Fault): void {
  const room = turn.state.rooms[what.room];
  if (!room || room.generation !== what.generation) return;
  const first = room.paging === "first";
  setRoom(turn, what.room, { paging: "no", recent: [], fault: why, tries: room.tries + 1 });
  if (first && why.temporary) pause(turn, `page ${what.room}`, room.tries, why.retry_after_ms ?? 0);
}

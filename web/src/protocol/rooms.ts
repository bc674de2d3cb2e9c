// Rooms as live cursors: subscribing, resuming, events, lagged, reset, and the list of rooms.
import * as outbox from "./outbox";
import { page } from "./paging";
import { compare, ordinal } from "./position";
import { emptyRoom, type Room } from "./state";
import { add, update } from "./timeline";
import { command, fault, pause, set, setRoom, type Turn } from "./turn";
import type { Fault, ListedRoom, RoomEvent, RoomReply, ServerFrame } from "./wire";

/** Most rooms in one `connect`, and most subscribes on their way. */
export const MOST_IN_CONNECT = 200;
const MOST_ASKING = 10;
/** A list that nobody looks at is not kept longer than this. */
export const MOST_UNSEEN = 2000;
const AFTER_TRIM = 500;

export function wanted(turn: Turn, room: Room): boolean {
  return room.role !== null || turn.state.shown === room.address;
}

/** Asks for the list of rooms; at most one request at a time, at most one more behind it. */
export function list(turn: Turn): void {
  if (turn.state.listing === "no") turn.effects.push({ do: "list-rooms" });
  set(turn, { listing: turn.state.listing === "no" ? "running" : "again" });
}

/** The list of rooms: who is in it is seen, who is not is gone. */
export function listed(turn: Turn, entries: readonly ListedRoom[]): void {
  const again = turn.state.listing === "again";
  set(turn, { listed: true, listing: "no", listTries: 0 });
  const seen = new Set(entries.map((entry) => entry.room));
  for (const address of Object.keys(turn.state.rooms)) if (!seen.has(address)) outbox.drop(turn, address);
  const rooms = { ...turn.state.rooms };
  for (const entry of entries) rooms[entry.room] = fromList(rooms[entry.room] ?? emptyRoom(entry.room), entry);
  set(turn, { rooms });
  if (again) list(turn);
  subscribeWanted(turn);
}

function fromList(room: Room, entry: ListedRoom): Room {
  const at = entry.epoch ? { epoch: entry.epoch, pos: entry.last_pos ?? 0 } : null;
  const next: Room = {
    ...room,
    name: entry.display_name || entry.room,
    topic: entry.topic ?? "",
    visibility: entry.visibility ?? "Public",
    role: entry.role ?? null,
    open: entry.open ?? true,
  };
  // A server that has seen less than this client cannot correct its count.
  if (!room.cursor || !at || compare(at, room.cursor) >= 0 || !room.counted) {
    next.unread = entry.unread ?? 0;
    next.mentions = entry.mentions ?? 0;
    next.counted = at;
  }
  if (room.live === "off" && !room.loaded && !room.cursor) next.cursor = at;
  return next;
}

/** Subscribes to rooms that should be live and are not, a few at a time. */
export function subscribeWanted(turn: Turn): void {
  if (turn.state.phase !== "online") return;
  const rooms = Object.values(turn.state.rooms);
  let asking = rooms.filter((room) => room.live === "asking").length;
  for (const room of rooms) {
    if (asking >= MOST_ASKING) return;
    if (room.live !== "off" || room.fault || !wanted(turn, room)) continue;
    subscribe(turn, room.address);
    asking++;
  }
}

export function subscribe(turn: Turn, address: string): void {
  const room = turn.state.rooms[address];
  if (!room || room.live === "asking" || turn.state.phase !== "online") return;
  setRoom(turn, address, { live: "asking" });
  command(turn, { verb: "subscribe", room: address }, { room: address, ...room.cursor });
}

/** Drops what is held of a room's messages; they are paged anew if it is on the screen. */
export function forget(turn: Turn, address: string): void {
  const room = turn.state.rooms[address];
  if (!room) return;
  setRoom(turn, address, {
    timeline: [],
    loaded: false,
    hasMore: false,
    paging: "no",
    recent: [],
    generation: room.generation + 1,
  });
}

/** The answer to `subscribe`, or a room's part of the answer to `connect`. */
export function subscribed(turn: Turn, reply: RoomReply): void {
  const room = turn.state.rooms[reply.room];
  if (!room) return;
  if (reply.err) {
    refused(turn, reply.room, reply.err);
    return;
  }
  turn.effects.push({ do: "cancel", name: `subscribe ${reply.room}` });
  setRoom(turn, reply.room, { live: "on", fault: null, tries: 0 });
  if (reply.recovered && room.cursor?.epoch === reply.epoch) {
    for (const event of reply.events ?? []) happened(turn, event);
    const cursor = turn.state.rooms[reply.room]?.cursor;
    if (cursor && reply.pos > cursor.pos) setRoom(turn, reply.room, { cursor: { ...cursor, pos: reply.pos } });
  } else {
    const fresh = !room.cursor;
    forget(turn, reply.room);
    setRoom(turn, reply.room, { cursor: { epoch: reply.epoch, pos: reply.pos } });
    if (!fresh) list(turn);
  }
  page(turn, reply.room);
  subscribeWanted(turn);
}

/** An error to `subscribe`: try again later, or the room is not ours to see. */
export function refused(turn: Turn, address: string, why: Fault): void {
  const room = turn.state.rooms[address];
  if (!room) return;
  if (why.code === "not_found") {
    outbox.drop(turn, address);
    list(turn);
    return;
  }
  setRoom(turn, address, { live: "off", fault: why, tries: room.tries + 1 });
  if (why.temporary) pause(turn, `subscribe ${address}`, room.tries, why.retry_after_ms ?? 0);
  subscribeWanted(turn);
}

/** A live or replayed event, applied once and in order. */
export function happened(turn: Turn, event: RoomEvent): void {
  const room = turn.state.rooms[event.room];
  const me = turn.state.me;
  if (!room || !me || room.live !== "on") return;
  if (room.cursor && room.cursor.epoch !== event.epoch) {
    if (ordinal(event.epoch) > ordinal(room.cursor.epoch)) newLog(turn, event.room, event.epoch, event.pos);
    return;
  }
  if (room.cursor && event.pos <= room.cursor.pos) return;
  setRoom(turn, event.room, { cursor: { epoch: event.epoch, pos: event.pos } });
  switch (event.type) {
    case "message":
      said(turn, room, event);
      break;
    case "edited":
    case "deleted":
    case "reaction": {
      const recent = room.paging === "no" ? room.recent : [...room.recent, event];
      setRoom(turn, event.room, { timeline: update(room.timeline, event, me.id), recent });
      break;
    }
    case "member":
      if (event.user.id === me.id) setRoom(turn, event.room, { role: event.change === "left" ? null : event.role });
      break;
    case "room":
      setRoom(turn, event.room, {
        name: event.display_name || event.room,
        topic: event.topic,
        open: event.open,
        visibility: event.visibility ?? room.visibility,
      });
      break;
    case "attachment":
      setRoom(turn, event.room, { attachments: { ...room.attachments, [event.attachment.id]: event.attachment } });
      break;
  }
}

function said(turn: Turn, room: Room, event: RoomEvent & { type: "message" }): void {
  const me = turn.state.me;
  if (event.sender && event.sender.id === me?.id) outbox.confirm(turn, room.address, event.message.id);
  else if (room.role !== null && (!room.counted || compare(event, room.counted) > 0)) {
    const mention = (event.message.text ?? "").toLowerCase().includes(`@${me?.username}`) ? 1 : 0;
    setRoom(turn, room.address, { unread: room.unread + 1, mentions: room.mentions + mention });
  }
  if (room.loaded || room.paging !== "no") setRoom(turn, room.address, { timeline: add(room.timeline, event) });
  if (room.timeline.length > MOST_UNSEEN && turn.state.shown !== room.address) forget(turn, room.address);
}

/** `lagged`: subscribe again from before what was missed. Had something behind it been applied, the room starts over. */
export function lagged(turn: Turn, what: NonNullable<ServerFrame["lagged"]>): void {
  const room = turn.state.rooms[what.room];
  if (!room || room.live !== "on") return;
  if (room.cursor && (room.cursor.epoch !== what.epoch || room.cursor.pos >= what.from)) forget(turn, what.room);
  setRoom(turn, what.room, { cursor: { epoch: what.epoch, pos: what.from - 1 } });
  subscribe(turn, what.room);
}

/** `reset`: the room goes on in a new log. */
export function newLog(turn: Turn, address: string, epoch: string, pos: number): void {
  if (!turn.state.rooms[address]) return;
  forget(turn, address);
  setRoom(turn, address, { cursor: { epoch, pos } });
  page(turn, address);
}

/** `unsubscribed`: we are out. If it can still be seen, the list brings it back. */
export function out(turn: Turn, address: string): void {
  if (!turn.state.rooms[address]) return;
  outbox.drop(turn, address);
  list(turn);
}

/** Puts a room on the screen, and takes the one before off it. */
export function show(turn: Turn, address: string | null): void {
  const before = turn.state.shown;
  if (before === address) return;
  set(turn, { shown: address });
  const left = before === null ? undefined : turn.state.rooms[before];
  if (left && left.role === null) {
    if (left.live !== "off" && turn.state.phase === "online") {
      command(turn, { verb: "unsubscribe", room: left.address }, { room: left.address });
    }
    forget(turn, left.address);
    setRoom(turn, left.address, { live: "off", cursor: null });
  }
  if (address === null) return;
  const room = turn.state.rooms[address];
  if (room?.fault && !room.fault.temporary) setRoom(turn, address, { fault: null });
  if (room?.live === "off" && !room.fault?.temporary) subscribe(turn, address);
  page(turn, address);
}

/** The newest message of the room is on the screen of someone who looks. */
export function seen(turn: Turn, address: string): void {
  const room = turn.state.rooms[address];
  if (!room || !room.loaded || !room.cursor) return;
  if (room.unread > 0 || room.mentions > 0) setRoom(turn, address, { unread: 0, mentions: 0 });
  if (room.timeline.length > MOST_UNSEEN) {
    setRoom(turn, address, { timeline: room.timeline.slice(-AFTER_TRIM), hasMore: true });
  }
  const due = !room.read || compare(room.cursor, room.read) > 0;
  if (!due || room.role === null || room.live !== "on" || turn.state.phase !== "online") return;
  setRoom(turn, address, { read: room.cursor });
  command(turn, { verb: "read", room: address }, { room: address, ...room.cursor });
}

/** The person just joined. */
export function joined(turn: Turn, address: string): void {
  const room = turn.state.rooms[address];
  if (room && room.role === null) setRoom(turn, address, { role: "Member" });
  list(turn);
  subscribeWanted(turn);
}

export const noAnswer = fault("unavailable", "The server did not answer in time.");

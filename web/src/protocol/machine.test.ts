// The promises of PROTOCOL.md one by one, as the client sees them.
import { describe, expect, test } from "vitest";
import { step } from "./machine";
import { generator, ME, online, OTHER, ROOM, TIME, World } from "./model";
import { compare, ordinal } from "./position";
import { initial, type Effect, type Input, type Room, type State } from "./state";
import { banner, light } from "./status";
import { uuid7 } from "./uuid";
import type { RoomEvent } from "./wire";

const random = generator(7);

function room(world: World): Room {
  return world.state.rooms[ROOM]!;
}

function effects(world: World, input: Input): Effect[] {
  const answer = step(world.state, input);
  world.state = answer.state;
  return answer.effects;
}

function frames(list: Effect[]): object[] {
  return list.flatMap((effect) => (effect.do === "frame" ? [effect.frame] : []));
}

function push(world: World, frame: object): Effect[] {
  return effects(world, { type: "frame", text: JSON.stringify(frame) });
}

function texts(world: World): string[] {
  return room(world).timeline.map((item) => (item.kind === "gap" ? "gap" : item.text));
}

function send(world: World, id: string): Effect[] {
  return effects(world, { type: "send", room: ROOM, id, text: `text of ${id}`, time: TIME });
}

function said(pos: number, id: string, sender = OTHER, epoch = "1-aaaaaa"): RoomEvent {
  return { type: "message", room: ROOM, epoch, pos, time: TIME, sender, message: { id, text: `text of ${id}` } };
}

function commandOf(list: Effect[]): number {
  return (frames(list)[0] as { id: number }).id;
}

describe("positions and ids", () => {
  test("epochs are ordered by their number, positions only behind it", () => {
    expect(ordinal("12-abcdef")).toBe(12);
    expect(compare({ epoch: "2-aaaaaa", pos: 1 }, { epoch: "10-aaaaaa", pos: 0 })).toBeLessThan(0);
    expect(compare({ epoch: "2-aaaaaa", pos: 1025 }, { epoch: "2-aaaaaa", pos: 1024 })).toBeGreaterThan(0);
  });

  test("message ids are UUIDv7 that carry the time", () => {
    const id = uuid7(0x0192_3456_789a, new Uint8Array(10).fill(255));
    expect(id).toBe("01923456-789a-7fff-bfff-ffffffffffff");
  });
});

describe("sending", () => {
  test("ok before its own event: one message, sent", () => {
    const world = online();
    const id = commandOf(send(world, "m1"));
    expect(room(world).outbox[0]?.state).toBe("sending");
    push(world, { id, ok: { room: ROOM, epoch: "1-aaaaaa", pos: 1024, time: TIME, duplicate: false } });
    expect(room(world).outbox).toEqual([]);
    push(world, { ev: said(1024, "m1", ME) });
    expect(texts(world)).toEqual(["text of m1"]);
  });

  test("ok after its own event: one message, sent", () => {
    const world = online();
    const id = commandOf(send(world, "m1"));
    push(world, { ev: said(1024, "m1", ME) });
    expect(room(world).outbox).toEqual([]);
    push(world, { id, ok: { room: ROOM, epoch: "1-aaaaaa", pos: 1024, time: TIME, duplicate: false } });
    expect(texts(world)).toEqual(["text of m1"]);
  });

  test("a temporary error is tried again under the same id, not before the server asks", () => {
    const world = online();
    const id = commandOf(send(world, "m1"));
    const after = push(world, { id, err: { code: "unavailable", message: "later", temporary: true, retry_after_ms: 700 } });
    const timer = after.find((effect) => effect.do === "timer" && effect.name.startsWith("resend"));
    expect(timer).toMatchObject({ name: `resend ${ROOM} m1`, min: 700 });
    expect(room(world).outbox[0]?.state).toBe("sending");
    const again = frames(effects(world, { type: "timer", name: `resend ${ROOM} m1` }));
    expect(again).toMatchObject([{ send: { message: { id: "m1", text: "text of m1" } } }]);
  });

  test("a final error fails, and the retry by hand has the same id", () => {
    const world = online();
    const id = commandOf(send(world, "m1"));
    push(world, { id, err: { code: "forbidden", message: "join first", temporary: false } });
    expect(room(world).outbox[0]).toMatchObject({ id: "m1", state: "failed" });
    const again = frames(effects(world, { type: "retry", room: ROOM, id: "m1" }));
    expect(again).toMatchObject([{ send: { message: { id: "m1" } } }]);
  });

  test("an event with my author and id turns failed into sent; another author's equal id does not", () => {
    const world = online();
    send(world, "m1");
    effects(world, { type: "timer", name: `give-up ${ROOM} m1` });
    expect(room(world).outbox[0]?.state).toBe("failed");
    push(world, { ev: said(1024, "m1", OTHER) });
    expect(room(world).outbox[0]?.state).toBe("failed");
    push(world, { ev: said(2048, "m1", ME) });
    expect(room(world).outbox).toEqual([]);
    expect(texts(world)).toHaveLength(2);
  });

  test("what was on its way when the connection broke leaves again, in order, under the same ids", () => {
    const world = online();
    world.input({ type: "send", room: ROOM, id: "m1", text: "1", time: TIME });
    world.input({ type: "send", room: ROOM, id: "m2", text: "2", time: TIME });
    world.hangUp();
    world.input({ type: "closed", code: 1006 });
    world.input({ type: "send", room: ROOM, id: "m3", text: "3", time: TIME });
    world.settle(random);
    expect(texts(world)).toEqual(["1", "2", "3"]);
    expect(room(world).outbox).toEqual([]);
  });
});

describe("following a room", () => {
  test("edits, deletions, reactions, members, the room and attachments are folded in", () => {
    const world = online();
    const base = { room: ROOM, epoch: "1-aaaaaa", time: TIME, sender: OTHER };
    const about = { id: "o1", author: OTHER.id, epoch: "1-aaaaaa", pos: 1024 };
    push(world, { ev: said(1024, "o1") });
    push(world, { ev: { ...base, pos: 2048, type: "edited", message: { ...about, text: "new" } } });
    push(world, { ev: { ...base, pos: 3072, type: "reaction", message: about, emoji: "👍", removed: false } });
    push(world, { ev: { ...base, pos: 3073, type: "reaction", message: about, emoji: "👍", removed: false } });
    expect(room(world).timeline[0]).toMatchObject({ text: "new", editedAt: TIME, reactions: [{ emoji: "👍", count: 1 }] });
    push(world, { ev: { ...base, pos: 4096, type: "deleted", message: about } });
    push(world, { ev: { ...base, pos: 5120, type: "edited", message: { ...about, text: "too late" } } });
    expect(room(world).timeline[0]).toMatchObject({ text: "", deleted: true, reactions: [] });
    push(world, { ev: { ...base, pos: 6144, type: "room", display_name: "Hall", topic: "T", open: false } });
    push(world, { ev: { ...base, pos: 7168, type: "member", user: ME, change: "role", role: "ReadOnly" } });
    const attachment = { id: "a", name: "a.png", media_type: "image/png", bytes: 1, state: "ready" };
    push(world, { ev: { ...base, pos: 8192, type: "attachment", attachment } });
    expect(room(world)).toMatchObject({ name: "Hall", open: false, role: "ReadOnly", attachments: { a: { name: "a.png" } } });
    expect(banner(world.state)?.text).toContain("closed");
  });

  test("after a break it resumes from its position and gets exactly what it missed", () => {
    const world = online();
    world.say(OTHER, "o1", "one");
    world.settle(random);
    world.hangUp();
    world.input({ type: "closed", code: 3001 });
    for (const id of ["o2", "o3", "o4", "o5", "o6"]) world.say(OTHER, id, id);
    world.settle(random);
    expect(texts(world)).toEqual(["one", "o2", "o3", "o4", "o5", "o6"]);
    expect(room(world).generation).toBe(0);
  });

  test("recovered:false drops what was held and pages", () => {
    const world = online();
    world.say(OTHER, "o1", "one");
    world.settle(random);
    world.hangUp();
    world.input({ type: "closed", code: 3010 });
    world.newEpoch();
    world.say(OTHER, "o2", "two");
    world.settle(random);
    expect(texts(world)).toEqual(["one", "two"]);
    expect(room(world).cursor).toEqual({ epoch: "2-bbbbbb", pos: 1024 });
  });

  test("lagged subscribes again from just before the first missed event and ignores events until the answer", () => {
    const world = online();
    push(world, { ev: said(1024, "o1") });
    const asked = push(world, { lagged: { room: ROOM, epoch: "1-aaaaaa", from: 2048, to: 3072 } });
    expect(frames(asked)).toMatchObject([{ subscribe: { room: ROOM, epoch: "1-aaaaaa", pos: 2047 } }]);
    push(world, { ev: said(4096, "o4") });
    expect(texts(world)).toEqual(["text of o1"]);
    const events = [said(2048, "o2"), said(3072, "o3")];
    push(world, { id: commandOf(asked), ok: { room: ROOM, epoch: "1-aaaaaa", pos: 3072, recovered: true, events, more: true } });
    push(world, { ev: said(4096, "o4") });
    expect(texts(world)).toEqual(["text of o1", "text of o2", "text of o3", "text of o4"]);
  });

  test("reset drops the room, pages, and goes on in the new log", () => {
    const world = online();
    push(world, { ev: said(5120, "o1") });
    const asked = push(world, { reset: { room: ROOM, epoch: "2-bbbbbb", pos: 0 } });
    expect(frames(asked)).toMatchObject([{ history: { room: ROOM } }]);
    expect(texts(world)).toEqual([]);
    push(world, { ev: said(1024, "n1", OTHER, "2-bbbbbb") });
    push(world, { ev: said(9216, "stale") });
    const page = { messages: [said(5120, "o1")], has_more: true, epoch: "2-bbbbbb", pos: 0 };
    push(world, { id: commandOf(asked), ok: page });
    expect(texts(world)).toEqual(["text of o1", "text of n1"]);
    expect(room(world).hasMore).toBe(true);
  });

  test("a live event changes a page's message only above the page's position, also if it came first", () => {
    const world = online();
    push(world, { reset: { room: ROOM, epoch: "2-bbbbbb", pos: 0 } });
    const id = world.state.nextCommand - 1;
    const base = { room: ROOM, epoch: "2-bbbbbb", time: TIME, sender: OTHER };
    const about = (name: string, pos: number): object => ({ id: name, author: OTHER.id, epoch: "1-aaaaaa", pos });
    push(world, { ev: { ...base, pos: 1024, type: "edited", message: { ...about("a", 1024), text: "older than the page" } } });
    push(world, { ev: { ...base, pos: 3072, type: "edited", message: { ...about("b", 2048), text: "newer" } } });
    const messages = [said(1024, "a"), said(2048, "b"), { gap: { epoch: "1-aaaaaa", from: 3072, to: 4096 } }];
    push(world, { id, ok: { messages, has_more: false, epoch: "2-bbbbbb", pos: 2048 } });
    expect(texts(world)).toEqual(["text of a", "newer", "gap"]);
  });

  test("a page that knows less than was delivered is asked for again", () => {
    const world = online();
    push(world, { reset: { room: ROOM, epoch: "2-bbbbbb", pos: 2048 } });
    const after = push(world, { id: world.state.nextCommand - 1, ok: { messages: [], has_more: false, epoch: "2-bbbbbb", pos: 1024 } });
    expect(after).toContainEqual(expect.objectContaining({ do: "timer", name: `page ${ROOM}` }));
    expect(room(world).loaded).toBe(false);
  });

  test("unsubscribed removes the room, rooms_changed reads the list", () => {
    const world = online();
    expect(push(world, { rooms_changed: { room: "team-a/new" } })).toContainEqual({ do: "list-rooms" });
    push(world, { unsubscribed: { room: ROOM, code: "forbidden" } });
    expect(world.state.rooms).toEqual({});
  });

  test("unread counts others' messages behind what the server counted, and ends when they are seen", () => {
    const world = online();
    world.input({ type: "show", room: null });
    push(world, { ev: said(1024, "o1") });
    push(world, { ev: said(2048, "m1", ME) });
    push(world, { ev: { ...said(3072, "o2"), message: { id: "o2", text: "hello @mia" } } });
    expect(room(world)).toMatchObject({ unread: 2, mentions: 1 });
    const read = frames(effects(world, { type: "seen", room: ROOM }));
    expect(read).toMatchObject([{ read: { room: ROOM, epoch: "1-aaaaaa", pos: 3072 } }]);
    expect(room(world).unread).toBe(0);
  });

  test("a room with a temporary error is asked for again, the others go on", () => {
    const world = online();
    world.hangUp();
    world.input({ type: "closed", code: 1006 });
    effects(world, { type: "timer", name: "dial" });
    effects(world, { type: "opened", token: "t" });
    const err = { code: "unavailable", reason: "history_behind", message: "behind", temporary: true, retry_after_ms: 500 };
    const id = world.state.nextCommand - 1;
    const after = push(world, { id, ok: { rooms: [{ room: ROOM, epoch: "", pos: 0, recovered: false, err }] } });
    expect(after).toContainEqual(expect.objectContaining({ do: "timer", name: `subscribe ${ROOM}`, min: 500 }));
    expect(light(world.state)).toBe("online");
    expect(banner(world.state)?.text).toContain("history");
    expect(frames(effects(world, { type: "timer", name: `subscribe ${ROOM}` }))).toMatchObject([{ subscribe: { room: ROOM } }]);
  });
});

describe("the connection", () => {
  test("the first frame is connect with token, rooms and positions", () => {
    const world = new World();
    world.input({ type: "start", me: ME });
    world.input({ type: "rooms", rooms: [{ room: ROOM, role: "Member", epoch: "1-aaaaaa", last_pos: 7168, unread: 3 }] });
    expect(frames(effects(world, { type: "opened", token: "secret" }))).toMatchObject([
      { connect: { token: "secret", lines: true, rooms: [{ room: ROOM, epoch: "1-aaaaaa", pos: 7168 }] } },
    ]);
    expect(JSON.stringify(world.state)).not.toContain("secret");
  });

  test("a ping is answered, several objects in a frame are all taken, rubbish is ignored", () => {
    const world = online();
    expect(frames(push(world, {}))).toEqual([{}]);
    const lines = [said(1024, "o1"), said(2048, "o2")].map((ev) => JSON.stringify({ ev })).join("\n");
    effects(world, { type: "frame", text: `${lines}\nnonsense\n[1]\n` });
    expect(texts(world)).toEqual(["text of o1", "text of o2"]);
  });

  test("silence for 40 s ends the connection and a new try follows", () => {
    const world = online();
    expect(push(world, {})).toContainEqual({ do: "timer", name: "silence", min: 40_000, max: 40_000 });
    const after = effects(world, { type: "timer", name: "silence" });
    expect(after).toContainEqual({ do: "close-socket" });
    expect(after).toContainEqual({ do: "timer", name: "dial", min: 0, max: 1000 });
    expect(light(world.state)).toBe("offline");
  });

  test("pauses grow with full jitter to 30 s, and the server's retry_after is kept", () => {
    const world = online();
    const pauses: Effect[] = [];
    for (let i = 0; i < 8; i++) {
      pauses.push(...effects(world, { type: "closed", code: 1006 }).filter((one) => one.do === "timer"));
      effects(world, { type: "timer", name: "dial" });
    }
    expect(pauses.map((one) => (one.do === "timer" ? one.max : 0))).toEqual([1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
    const other = online();
    push(other, { disconnect: { code: 3001, retry_after_ms: 5000 } });
    expect(effects(other, { type: "closed", code: 3001 })).toContainEqual({ do: "timer", name: "dial", min: 5000, max: 6000 });
  });

  test("codes from 3500 on do not reconnect, an expired token is renewed first", () => {
    const revoked = online();
    expect(effects(revoked, { type: "closed", code: 3503 }).filter((one) => one.do === "timer")).toEqual([]);
    expect(light(revoked.state)).toBe("signed-out");
    expect(banner(revoked.state)?.text).toContain("signed out");
    const expired = online();
    expect(effects(expired, { type: "closed", code: 3005 })).toContainEqual({ do: "refresh-token" });
    expect(expired.state.phase).toBe("waiting");
  });

  test("a new token goes over the open socket, auth_expiring asks for one", () => {
    const world = online();
    expect(push(world, { auth_expiring: { in_ms: 60000 } })).toContainEqual({ do: "refresh-token" });
    expect(frames(effects(world, { type: "token", token: "t2" }))).toMatchObject([{ refresh: { token: "t2" } }]);
  });

  test("a command without an answer is over after a while: the send is tried again", () => {
    const world = online();
    const id = commandOf(send(world, "m1"));
    const after = effects(world, { type: "timer", name: `answer ${id}` });
    expect(after).toContainEqual(expect.objectContaining({ do: "timer", name: `resend ${ROOM} m1` }));
    expect(world.state.commands).toEqual({});
  });

  test("signing out forgets everything and stops all timers", () => {
    const world = online();
    expect(effects(world, { type: "stop" })).toEqual([{ do: "cancel-all" }, { do: "close-socket" }]);
    const kept: Partial<State> = { shown: ROOM, nextCommand: world.state.nextCommand };
    expect(world.state).toEqual({ ...initial(), ...kept });
  });

  test("more than 200 rooms: 200 in connect, the others one by one", () => {
    const world = new World();
    world.input({ type: "start", me: ME });
    const rooms = Array.from({ length: 230 }, (_, i) => ({ room: `n/r${i}`, role: "Member" as const, epoch: "1-aaaaaa", last_pos: 0 }));
    world.input({ type: "rooms", rooms });
    const first = frames(effects(world, { type: "opened", token: "t" }))[0] as { id: number; connect: { rooms: object[] } };
    expect(first.connect.rooms).toHaveLength(200);
    const replies = rooms.slice(0, 200).map(({ room }) => ({ room, epoch: "1-aaaaaa", pos: 0, recovered: true }));
    const rest = frames(push(world, { id: first.id, ok: { rooms: replies } }));
    expect(rest.filter((frame) => "subscribe" in frame)).toHaveLength(10);
  });
});

// What the client knows (State), what can happen to it (Input) and what it wants done (Effect).
// Nothing here touches a socket, a clock or the page: `machine.ts` computes, `../net/driver.ts` acts.
import type { Position } from "./position";
import type { Timeline } from "./timeline";
import type { Attachment, Fault, ListedRoom, Role, RoomEvent, User } from "./wire";

/** A message of mine that the log has not confirmed. */
export interface Sending {
  id: string;
  text: string;
  /** When it was written, RFC 3339. */
  time: string;
  state: "sending" | "failed";
  /** The command that carries it now; null: it waits for the connection or for its next try. */
  command: number | null;
  /** It waits for the timer `resend`. */
  resting: boolean;
  tries: number;
  fault: Fault | null;
}

export interface Room {
  address: string;
  name: string;
  topic: string;
  visibility: string;
  role: Role | null;
  /** False: closed to sending. */
  open: boolean;
  /** `asking`: subscribe is on its way; events are ignored until its answer. */
  live: "off" | "asking" | "on";
  /** Everything up to here was seen. */
  cursor: Position | null;
  fault: Fault | null;
  tries: number;
  unread: number;
  mentions: number;
  /** Up to here the server counted `unread`. */
  counted: Position | null;
  /** The last read pointer that was sent. */
  read: Position | null;
  timeline: Timeline;
  /** The newest page is in `timeline`. */
  loaded: boolean;
  hasMore: boolean;
  paging: "no" | "first" | "older";
  /** Counts how often the timeline was dropped: an answer for an earlier one is void. */
  generation: number;
  /** Events about unknown messages while a page is on its way. */
  recent: readonly RoomEvent[];
  outbox: readonly Sending[];
  attachments: Readonly<Record<string, Attachment>>;
}

export type Command =
  | { verb: "connect" }
  | { verb: "refresh" }
  | { verb: "read"; room: string }
  | { verb: "unsubscribe"; room: string }
  | { verb: "subscribe"; room: string }
  | { verb: "send"; room: string; id: string }
  | { verb: "history"; room: string; generation: number; from: Position | null };

/**
 * idle: nobody is signed in. waiting: until the next try. connecting: from the try to the answer to `connect`.
 * stopped: the server said not to come back (`stop`).
 */
export type Phase = "idle" | "waiting" | "connecting" | "online" | "stopped";

export interface State {
  me: User | null;
  phase: Phase;
  /** The browser's idea of being online. */
  network: boolean;
  /** Why the connection or the list of rooms is not there. */
  fault: Fault | null;
  /** The close code that ended it for good. */
  stop: number | null;
  tries: number;
  /** From the server's `disconnect`: not before. */
  retryAfter: number;
  /** The list of rooms: whether it was ever read, and whether it is being read. */
  listed: boolean;
  listing: "no" | "running" | "again";
  listTries: number;
  rooms: Readonly<Record<string, Room>>;
  /** The room on the screen. */
  shown: string | null;
  commands: Readonly<Record<number, Command>>;
  nextCommand: number;
}

export type Input =
  | { type: "start"; me: User }
  | { type: "stop" }
  | { type: "rooms"; rooms: readonly ListedRoom[] }
  | { type: "rooms-failed"; fault: Fault }
  | { type: "opened"; token: string }
  | { type: "frame"; text: string }
  | { type: "closed"; code: number; fault?: Fault }
  | { type: "timer"; name: string }
  | { type: "network"; online: boolean }
  | { type: "token"; token: string }
  | { type: "show"; room: string | null }
  | { type: "send"; room: string; id: string; text: string; time: string }
  | { type: "retry"; room: string; id: string }
  | { type: "older"; room: string }
  | { type: "seen"; room: string }
  | { type: "joined"; room: string }
  | { type: "again" };

export type Effect =
  | { do: "open-socket" }
  | { do: "close-socket" }
  | { do: "frame"; frame: object }
  /** Fires `name` after a random time between `min` and `max` milliseconds; the same name replaces. */
  | { do: "timer"; name: string; min: number; max: number }
  | { do: "cancel"; name: string }
  | { do: "cancel-all" }
  | { do: "list-rooms" }
  | { do: "refresh-token" };

export function initial(): State {
  return {
    me: null,
    phase: "idle",
    network: true,
    fault: null,
    stop: null,
    tries: 0,
    retryAfter: 0,
    listed: false,
    listing: "no",
    listTries: 0,
    rooms: {},
    shown: null,
    commands: {},
    nextCommand: 1,
  };
}

export function emptyRoom(address: string): Room {
  return {
    address,
    name: address,
    topic: "",
    visibility: "Public",
    role: null,
    open: true,
    live: "off",
    cursor: null,
    fault: null,
    tries: 0,
    unread: 0,
    mentions: 0,
    counted: null,
    read: null,
    timeline: [],
    loaded: false,
    hasMore: false,
    paging: "no",
    generation: 0,
    recent: [],
    outbox: [],
    attachments: {},
  };
}

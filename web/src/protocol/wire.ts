// The shapes on the wire (PROTOCOL.md): what the server says, as far as this client reads it.

export interface User {
  id: string;
  username: string;
  display_name: string;
}

export type Role = "Owner" | "Moderator" | "Member" | "ReadOnly";

export interface Fault {
  code: string;
  reason?: string;
  message: string;
  temporary: boolean;
  retry_after_ms?: number;
}

interface MessageRef {
  id: string;
  author: string;
  epoch: string;
  pos: number;
}

export interface Attachment {
  id: string;
  name: string;
  media_type: string;
  bytes: number;
  state: "ready" | "refused" | "processing";
  reason?: string;
}

interface EventBase {
  room: string;
  epoch: string;
  pos: number;
  time: string;
  sender: User | null;
}

export interface MessageSent extends EventBase {
  type: "message";
  message: {
    id: string;
    text?: string;
    reply_to?: string | null;
    reply_to_author?: string | null;
    attachments?: string[];
  };
}

export type RoomEvent =
  | MessageSent
  | (EventBase & { type: "edited"; message: MessageRef & { text: string } })
  | (EventBase & { type: "deleted"; message: MessageRef })
  | (EventBase & { type: "reaction"; message: MessageRef; emoji: string; removed: boolean })
  | (EventBase & { type: "member"; user: User; change: "joined" | "left" | "role"; role: Role | null })
  | (EventBase & { type: "room"; display_name: string; topic: string; open: boolean; visibility?: string })
  | (EventBase & { type: "attachment"; attachment: Attachment });

export interface RoomReply {
  room: string;
  epoch: string;
  pos: number;
  recovered: boolean;
  events?: RoomEvent[];
  more?: boolean;
  err?: Fault;
}

/** A message in a page: its first event and what became of it. */
export interface PageMessage extends MessageSent {
  edited_at?: string | null;
  deleted?: boolean;
  reactions?: { emoji: string; count: number; me: boolean }[];
}

export interface PageGap {
  gap: { epoch: string; from: number; to: number };
}

export interface Page {
  messages: (PageMessage | PageGap)[];
  has_more: boolean;
  epoch: string;
  pos: number;
}

/** An entry of `GET /v1/rooms`. */
export interface ListedRoom {
  room: string;
  display_name?: string | null;
  topic?: string | null;
  visibility?: string;
  role?: Role | null;
  epoch?: string | null;
  last_pos?: number;
  unread?: number;
  mentions?: number;
  open?: boolean;
}

export interface ServerFrame {
  id?: number;
  ok?: unknown;
  err?: Fault;
  ev?: RoomEvent;
  eph?: { room: string; type: string };
  lagged?: { room: string; epoch: string; from: number; to: number };
  reset?: { room: string; epoch: string; pos: number };
  unsubscribed?: { room: string; code: string };
  rooms_changed?: { room: string };
  auth_expiring?: { in_ms: number };
  disconnect?: { code: number; retry_after_ms?: number };
}

// What a message is after all events about it: `deleted` is final, the last edit in log order wins,
// reactions are a set of (user, emoji). The same rules as the services' `contract::fold`.
import { compare, type Position } from "./position";
import type { MessageSent, PageMessage, RoomEvent, User } from "./wire";

export interface Reaction {
  emoji: string;
  count: number;
  me: boolean;
  /** People whose reaction was seen live; a page only gives counts. */
  known: readonly string[];
}

export interface Message {
  kind: "message";
  author: User;
  id: string;
  epoch: string;
  pos: number;
  time: string;
  text: string;
  replyTo: string | null;
  attachments: readonly string[];
  editedAt: string | null;
  deleted: boolean;
  reactions: readonly Reaction[];
  /** Every event about this message up to here is in it. */
  asOf: Position;
}

const NOBODY: User = { id: "", username: "system", display_name: "System" };

/** The message as its own event tells it. */
export function fromEvent(event: MessageSent): Message {
  return {
    kind: "message",
    author: event.sender ?? NOBODY,
    id: event.message.id,
    epoch: event.epoch,
    pos: event.pos,
    time: event.time,
    text: event.message.text ?? "",
    replyTo: event.message.reply_to ?? null,
    attachments: event.message.attachments ?? [],
    editedAt: null,
    deleted: false,
    reactions: [],
    asOf: { epoch: event.epoch, pos: event.pos },
  };
}

/** The message as a page tells it: complete up to the page's position. */
export function fromPage(entry: PageMessage, asOf: Position): Message {
  const deleted = entry.deleted === true;
  return {
    ...fromEvent(entry),
    text: deleted ? "" : (entry.message.text ?? ""),
    editedAt: entry.edited_at ?? null,
    deleted,
    reactions: (entry.reactions ?? []).map((reaction) => ({ ...reaction, known: [] })),
    asOf,
  };
}

/** The message after `event`, or the same object where the event is not news for it. */
export function apply(message: Message, event: RoomEvent, me: string): Message {
  const asOf = { epoch: event.epoch, pos: event.pos };
  if (message.deleted || compare(asOf, message.asOf) <= 0) return message;
  switch (event.type) {
    case "edited":
      return { ...message, text: event.message.text, editedAt: event.time, asOf };
    case "deleted":
      return { ...message, text: "", attachments: [], reactions: [], deleted: true, asOf };
    case "reaction":
      return { ...message, reactions: react(message.reactions, event, me), asOf };
    default:
      return message;
  }
}

function react(
  reactions: readonly Reaction[],
  event: RoomEvent & { type: "reaction" },
  me: string,
): readonly Reaction[] {
  const user = event.sender?.id ?? "";
  const mine = user === me;
  const old = reactions.find((reaction) => reaction.emoji === event.emoji);
  const had = old !== undefined && (old.known.includes(user) || (mine && old.me));
  if (event.removed) {
    if (!old || (mine && !had)) return reactions;
    const rest = { ...old, count: old.count - 1, me: old.me && !mine, known: old.known.filter((one) => one !== user) };
    return reactions.flatMap((one) => (one !== old ? [one] : rest.count > 0 ? [rest] : []));
  }
  if (had) return reactions;
  if (!old) return [...reactions, { emoji: event.emoji, count: 1, me: mine, known: [user] }];
  const more = { ...old, count: old.count + 1, me: old.me || mine, known: [...old.known, user] };
  return reactions.map((one) => (one === old ? more : one));
}

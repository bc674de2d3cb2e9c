// The messages of a room in log order: live events and pages merged into one sorted list without doubles.
import { apply, fromEvent, fromPage, type Message } from "./fold";
import { compare, type Position } from "./position";
import type { MessageSent, Page, RoomEvent } from "./wire";

/** A place where the room's log lost something. */
export interface Gap {
  kind: "gap";
  epoch: string;
  pos: number;
  to: number;
}

export type Item = Message | Gap;
export type Timeline = readonly Item[];

/** Index of the first item that is not before `position`. */
function find(timeline: Timeline, position: Position): number {
  let low = 0;
  let high = timeline.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compare(timeline[middle]!, position) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Puts one item at its place. What stands there already stays, unless the new one knows later events. */
function insert(timeline: Timeline, item: Item): Timeline {
  const index = find(timeline, item);
  const there = timeline[index];
  if (!there || compare(there, item) !== 0) return timeline.toSpliced(index, 0, item);
  if (there.kind === "gap" || item.kind === "gap") return timeline;
  return compare(item.asOf, there.asOf) > 0 ? timeline.with(index, item) : timeline;
}

/** A live `message` event (or the `ok` of an own send) at its place. */
export function add(timeline: Timeline, event: MessageSent): Timeline {
  return insert(timeline, fromEvent(event));
}

/** An event about a message that may be in the list. */
export function update(timeline: Timeline, event: RoomEvent, me: string): Timeline {
  if (event.type !== "edited" && event.type !== "deleted" && event.type !== "reaction") return timeline;
  const index = find(timeline, event.message);
  const there = timeline[index];
  if (there?.kind !== "message" || there.id !== event.message.id || there.author.id !== event.message.author) {
    return timeline;
  }
  const next = apply(there, event, me);
  return next === there ? timeline : timeline.with(index, next);
}

/** A page into the list; then `recent`: events that came while it was on its way, about messages unknown then. */
export function merge(timeline: Timeline, page: Page, recent: readonly RoomEvent[], me: string): Timeline {
  const asOf = { epoch: page.epoch, pos: page.pos };
  let merged = timeline;
  for (const entry of page.messages) {
    if ("gap" in entry) {
      merged = insert(merged, { kind: "gap", epoch: entry.gap.epoch, pos: entry.gap.from, to: entry.gap.to });
    } else {
      merged = insert(merged, fromPage(entry, asOf));
    }
  }
  return recent.reduce((list, event) => update(list, event, me), merged);
}

// Positions in a room's log and their order: (number of the epoch, pos). A pos alone means nothing.

export interface Position {
  epoch: string;
  pos: number;
}

/** The number before the `-` of an epoch (`1-k3f9qa` → 1); 0 where there is none. */
export function ordinal(epoch: string): number {
  const number = Number.parseInt(epoch, 10);
  return Number.isSafeInteger(number) && number > 0 ? number : 0;
}

/** Below 0: a stands before b in the room. */
export function compare(a: Position, b: Position): number {
  return ordinal(a.epoch) - ordinal(b.epoch) || a.pos - b.pos;
}

// One turn of the machine: a copy of the state to change, the effects so far, and the few verbs all parts use.
import type { Command, Effect, Room, State } from "./state";
import type { Fault } from "./wire";

/** An answer that does not come in this time counts as a temporary error. */
export const ANSWER_MS = 15_000;
const LONGEST_PAUSE_MS = 30_000;

export interface Turn {
  state: State;
  effects: Effect[];
}

export function set(turn: Turn, change: Partial<State>): void {
  turn.state = { ...turn.state, ...change };
}

export function setRoom(turn: Turn, address: string, change: Partial<Room>): void {
  const room = turn.state.rooms[address];
  if (room) set(turn, { rooms: { ...turn.state.rooms, [address]: { ...room, ...change } } });
}

/** Sends a command and gives its number; its answer is awaited for a limited time. */
export function command(turn: Turn, what: Command, body: object): number {
  const id = turn.state.nextCommand;
  set(turn, { nextCommand: id + 1, commands: { ...turn.state.commands, [id]: what } });
  turn.effects.push({ do: "frame", frame: { id, [what.verb]: body } });
  turn.effects.push({ do: "timer", name: `answer ${id}`, min: ANSWER_MS, max: ANSWER_MS });
  return id;
}

/** Takes a command off the list of those that await an answer. */
export function settle(turn: Turn, id: number): Command | undefined {
  const { [id]: what, ...rest } = turn.state.commands;
  if (!what) return undefined;
  set(turn, { commands: rest });
  turn.effects.push({ do: "cancel", name: `answer ${id}` });
  return what;
}

/** A pause with full jitter that doubles with each try, never shorter than the server asked for. */
export function pause(turn: Turn, name: string, tries: number, atLeast = 0): void {
  const longest = Math.min(LONGEST_PAUSE_MS, 1000 * 2 ** Math.min(tries, 10));
  turn.effects.push({ do: "timer", name, min: atLeast, max: atLeast + longest });
}

export function fault(code: string, message: string, temporary = true): Fault {
  return { code, message, temporary };
}

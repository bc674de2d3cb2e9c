// What the person is told about the connection: one word for the light, one sentence for the banner.
import type { State } from "./state";
import type { Fault } from "./wire";

export type Light = "online" | "connecting" | "offline" | "signed-out";

export interface Banner {
  kind: "info" | "warning" | "error";
  text: string;
  /** The person can try again by hand. */
  again: boolean;
}

export function light(state: State): Light {
  if (state.phase === "idle" || state.phase === "stopped") return "signed-out";
  if (!state.network && state.phase !== "online") return "offline";
  if (state.phase === "waiting") return "offline";
  return state.phase;
}

/** What is wrong now, if anything. */
export function banner(state: State): Banner | null {
  if (state.phase === "idle") return null;
  if (state.phase === "stopped") return stopped(state.stop);
  if (!state.network && state.phase !== "online") {
    return { kind: "warning", text: "You are offline. Messages are sent when the network is back.", again: false };
  }
  if (state.phase === "waiting") {
    const why = state.fault ? ` ${explain(state.fault)}` : "";
    return { kind: "warning", text: `Connection lost.${why} Trying again …`, again: true };
  }
  if (state.phase === "connecting") {
    const why = state.fault ? ` ${explain(state.fault)}` : "";
    return { kind: "info", text: `Connecting …${why}`, again: !state.listed && state.listing === "no" };
  }
  return roomBanner(state);
}

function roomBanner(state: State): Banner | null {
  const room = state.shown === null ? undefined : state.rooms[state.shown];
  if (!room) return null;
  const waiting = room.outbox.find((one) => one.state === "sending" && one.fault)?.fault;
  if (waiting) return { kind: "warning", text: `Not sent yet: ${explain(waiting)} Trying again …`, again: false };
  if (room.fault?.temporary) {
    return { kind: "warning", text: `This room is not available. ${explain(room.fault)} Trying again …`, again: false };
  }
  if (room.fault) return { kind: "error", text: explain(room.fault), again: false };
  if (!room.open) return { kind: "info", text: "This room is closed: it can be read, not written to.", again: false };
  return null;
}

function stopped(code: number | null): Banner {
  const text: Record<number, string> = {
    3500: "Your sign-in is no longer valid. Please sign in again.",
    3503: "You were signed out: this session was ended here or on another device.",
  };
  const known = code === null ? undefined : text[code];
  return known
    ? { kind: "error", text: known, again: false }
    : { kind: "error", text: `The service refused this client (${code ?? "no code"}). Reload the page.`, again: true };
}

const WORDS: Record<string, string> = {
  history_behind: "The history is too far behind, sending is stopped so that nothing is lost.",
  room_closed: "This room is closed.",
  username_taken: "This name is taken: choose another one.",
  clock: "The clock of this device is wrong: set it and try again.",
  rate_limited: "You are writing faster than this room allows.",
  too_large: "This message is too long.",
  forbidden: "You may not do that here: join the room first, or ask for the right to write.",
  idempotency_conflict: "This message was already sent with another text.",
};

/** An error as a sentence. */
export function explain(fault: Fault): string {
  const known = WORDS[fault.reason ?? ""] ?? WORDS[fault.code];
  if (known) return known;
  const said = fault.message.trim() || fault.code;
  const sentence = said.charAt(0).toUpperCase() + said.slice(1);
  return /[.!?…]$/.test(sentence) ? sentence : `${sentence}.`;
}

// What the components see of the client, and what they may ask of it.
import { Driver } from "../net/driver";
import { faultOf } from "../net/http";
import { Session, type Who } from "../net/session";
import { banner, explain, light, type Banner, type Light } from "../protocol/status";
import { initial, type State } from "../protocol/state";
import { uuid7 } from "../protocol/uuid";

const SEEN_DELAY_MS = 400;

export class App {
  who: Who = $state.raw({ kind: "starting", fault: null });
  state: State = $state.raw(initial());
  /** A failed action of the person, until the next one. */
  problem: string | null = $state(null);
  registration = $state("open");
  readonly #session = new Session((who) => this.#changed(who), (token) => this.#driver.input({ type: "token", token }));
  readonly #driver: Driver = new Driver(this.#session, (state) => this.#moved(state));
  #seen: ReturnType<typeof setTimeout> | undefined;

  begin(): void {
    const network = (): void => this.#driver.input({ type: "network", online: navigator.onLine });
    addEventListener("online", network);
    addEventListener("offline", network);
    addEventListener("hashchange", () => this.#show(fromHash()));
    network();
    this.#show(fromHash());
    void this.#session.begin();
  }

  get light(): Light {
    if (this.who.kind === "starting") return "connecting";
    return this.who.kind === "out" ? "signed-out" : light(this.state);
  }

  get banner(): Banner | null {
    if (this.problem !== null) return { kind: "error", text: this.problem, again: false };
    if (this.who.kind === "starting") {
      return this.who.fault && { kind: "warning", text: `Connecting … ${explain(this.who.fault)}`, again: false };
    }
    if (this.who.kind === "out") return this.who.notice ? { kind: "error", text: this.who.notice, again: false } : null;
    return banner(this.state);
  }

  signIn(username: string, password: string): Promise<boolean> {
    return this.#try(() => this.#session.login(username, password));
  }

  register(username: string, password: string, invite: string): Promise<boolean> {
    return this.#try(() => this.#session.register(username, password, invite));
  }

  signOut(): Promise<boolean> {
    return this.#try(() => this.#session.logout());
  }

  join(room: string): Promise<boolean> {
    return this.#try(() => this.#driver.join(room));
  }

  show(room: string | null): void {
    location.hash = room === null ? "" : `#/${room}`;
    this.#show(room);
  }

  send(room: string, text: string): void {
    const now = Date.now();
    const id = uuid7(now, crypto.getRandomValues(new Uint8Array(10)));
    this.problem = null;
    this.#driver.input({ type: "send", room, id, text, time: new Date(now).toISOString() });
  }

  retry(room: string, id: string): void {
    this.#driver.input({ type: "retry", room, id });
  }

  older(room: string): void {
    this.#driver.input({ type: "older", room });
  }

  /** The newest message is on the screen; told to the server at most every so often. */
  seen(room: string): void {
    this.#seen ??= setTimeout(() => {
      this.#seen = undefined;
      if (this.state.shown === room && document.visibilityState === "visible") this.#driver.input({ type: "seen", room });
    }, SEEN_DELAY_MS);
  }

  again(): void {
    this.#driver.input({ type: "again" });
  }

  #show(room: string | null): void {
    this.problem = null;
    this.#driver.input({ type: "show", room });
  }

  async #try(work: () => Promise<void>): Promise<boolean> {
    this.problem = null;
    try {
      await work();
      return true;
    } catch (error) {
      this.problem = explain(faultOf(error));
      return false;
    }
  }

  #changed(who: Who): void {
    this.who = who;
    this.registration = this.#session.registration;
    if (who.kind === "in") this.#driver.input({ type: "start", me: who.user });
    else this.#driver.input({ type: "stop" });
  }

  #moved(state: State): void {
    this.state = state;
    if (state.phase !== "stopped" || (state.stop !== 3500 && state.stop !== 3503)) return;
    const notice = banner(state)?.text ?? null;
    this.#session.revoked(notice ?? "You were signed out.");
  }
}

function fromHash(): string | null {
  const room = decodeURIComponent(location.hash.replace(/^#\/?/, ""));
  return /^[^/]+\/[^/]+$/.test(room) ? room : null;
}

// Who is signed in. The access token lives in memory only; the refresh token is an HttpOnly cookie of user-service.
// Tabs share that cookie, and a refresh token used twice ends the session: so one tab refreshes at a time.
import type { Fault, User } from "../protocol/wire";
import { ask, faultOf, RequestError } from "./http";

const LOCK = "parlor-refresh";
const EARLY_MS = 75_000;
const SHORTEST_MS = 5_000;
const LONGEST_MS = 30 * 60_000;

interface Config {
  users_url: string;
  registration?: string;
  version?: string;
}

interface Tokens {
  access_token: string;
  expires_in: number;
  user: User;
}

/** starting: not known yet (`fault`: why it takes so long). out: nobody, `notice` says why if it was not asked for. */
export type Who =
  | { kind: "starting"; fault: Fault | null }
  | { kind: "out"; notice: string | null }
  | { kind: "in"; user: User };

export class Session {
  registration = "open";
  #users = "";
  #access: { token: string; until: number } | null = null;
  #user: User | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running: Promise<string | null> | null = null;
  /** Goes up with each sign-in and sign-out: what began before is void. */
  #turn = 0;

  /** `changed`: someone came or went. `renewed`: the same person has a new access token. */
  constructor(
    private readonly changed: (who: Who) => void,
    private readonly renewed: (token: string) => void,
  ) {}

  /** Finds user-service and takes up the session of the cookie, if there is one; tries until it knows. */
  async begin(): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        const config = await ask<Config>("/v1/config");
        this.#users = config.users_url.replace(/\/+$/, "");
        this.registration = (config.registration ?? "open").toLowerCase();
        if ((await this.#refresh()) === null) this.changed({ kind: "out", notice: null });
        return;
      } catch (error) {
        this.changed({ kind: "starting", fault: faultOf(error) });
        await rest(Math.random() * Math.min(15_000, 1000 * 2 ** tries));
      }
    }
  }

  async register(username: string, password: string, invite: string): Promise<void> {
    const body = { username, password, ...(invite ? { invite } : {}) };
    await ask(`${this.#users}/v1/register`, { method: "POST", body, cookies: true });
    await this.login(username, password);
  }

  async login(username: string, password: string): Promise<void> {
    const body = { username, password, device: "web", cookie: true };
    const tokens = await alone(() => ask<Tokens>(`${this.#users}/v1/login`, { method: "POST", body, cookies: true }));
    this.#turn++;
    this.#take(tokens);
  }

  /** Ends the session on the server too; without that the cookie would sign in again, so a failure is thrown. */
  async logout(): Promise<void> {
    const token = await this.token();
    if (token !== null) {
      try {
        await ask(`${this.#users}/v1/logout`, { method: "POST", token, cookies: true });
      } catch (error) {
        if (!(error instanceof RequestError && error.status === 401)) throw error;
      }
    }
    this.#out(null);
  }

  /** An access token that still holds; `null`: nobody is signed in (any more). Throws if it cannot be known now. */
  async token(): Promise<string | null> {
    if (this.#access && this.#access.until - Date.now() > SHORTEST_MS) return this.#access.token;
    return this.renew();
  }

  /** A new access token, however long the old one holds. */
  async renew(): Promise<string | null> {
    const token = await this.#refresh();
    if (token === null && this.#user) this.#out("Your session has ended. Please sign in again.");
    return token;
  }

  /** The server ended the session. */
  revoked(notice: string): void {
    this.#out(notice);
  }

  #refresh(): Promise<string | null> {
    this.#running ??= this.#refreshNow().finally(() => (this.#running = null));
    return this.#running;
  }

  async #refreshNow(): Promise<string | null> {
    const turn = this.#turn;
    try {
      const url = `${this.#users}/v1/refresh`;
      const tokens = await alone(() => ask<Tokens>(url, { method: "POST", body: {}, cookies: true }));
      if (turn !== this.#turn) return this.#access?.token ?? null;
      // Another tab may have signed in as someone else meanwhile: the cookie is theirs.
      if (this.#user && this.#user.id !== tokens.user.id) this.#out(null);
      this.#take(tokens);
      return tokens.access_token;
    } catch (error) {
      const refused = error instanceof RequestError && error.status >= 400 && error.status < 500 && error.status !== 429;
      if (refused) return null;
      throw error;
    }
  }

  #take(tokens: Tokens): void {
    const lasts = Math.max(tokens.expires_in * 1000, 2 * SHORTEST_MS);
    this.#access = { token: tokens.access_token, until: Date.now() + lasts };
    const known = this.#user;
    this.#user = tokens.user;
    this.#later(Math.max(lasts - EARLY_MS - Math.random() * 15_000, lasts / 2));
    if (known) this.renewed(tokens.access_token);
    else this.changed({ kind: "in", user: tokens.user });
  }

  #later(milliseconds: number): void {
    clearTimeout(this.#timer);
    const wait = Math.min(milliseconds, LONGEST_MS);
    this.#timer = setTimeout(() => {
      this.renew().catch(() => this.#later(SHORTEST_MS + Math.random() * SHORTEST_MS));
    }, wait);
  }

  #out(notice: string | null): void {
    this.#turn++;
    clearTimeout(this.#timer);
    this.#access = null;
    this.#user = null;
    this.changed({ kind: "out", notice });
  }
}

/** One tab at a time; where the browser has no locks (plain http on another host) without. */
async function alone<T>(work: () => Promise<T>): Promise<T> {
  if (!("locks" in navigator)) return work();
  return navigator.locks.request(LOCK, { signal: AbortSignal.timeout(20_000) }, work);
}

function rest(milliseconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, milliseconds));
}

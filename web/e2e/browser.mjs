// Two people in two headless browsers, each on another gateway, talk in one room. Needs running services:
//   PARLOR_URL_1, PARLOR_URL_2  addresses of two gateways      PARLOR_ROOM  <namespace>/<name> of a public room
//   PARLOR_XTASK, PARLOR_STATE, PARLOR_PORT_OFFSET  the stack that they are of, for killing a gateway of it (see gateway.mjs)
//   PARLOR_CHROMIUM             the browser, else one in PATH   PARLOR_SCREENSHOTS  a folder: a picture of a failure
// Exit code 0: all is well. Every wait is bounded.
import { randomBytes } from "node:crypto";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";
import * as gateway from "./gateway.mjs";
import { nameless } from "./labels.mjs";

const WAIT_MS = 30_000;
const WHOLE_MS = 240_000;
const EVIL = `<img src=x onerror=alert(1)><script>alert(2)</script> & "quotes"`;

function fail(message) {
  throw new Error(message);
}

function setting(name) {
  return process.env[name] || fail(`${name} is not set: see the first lines of web/e2e/browser.mjs`);
}

function browserPath() {
  const named = process.env.PARLOR_CHROMIUM;
  const folders = (process.env.PATH ?? "").split(delimiter);
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const candidates = named ? [named] : names.flatMap((name) => folders.map((folder) => join(folder, name)));
  for (const path of candidates) {
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // The next one.
    }
  }
  const where = named ? `PARLOR_CHROMIUM=${named} cannot be run` : "no Chromium was found in PATH";
  return fail(`${where}: apt-get install chromium, or set PARLOR_CHROMIUM to a browser`);
}

function report(step) {
  console.log(`${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s  ${step}`);
}

/** One person in a browser of their own. */
class Person {
  constructor(name, url, page) {
    this.name = name;
    this.url = url;
    this.page = page;
    this.wrong = [];
    page.setDefaultTimeout(WAIT_MS);
    page.on("pageerror", (error) => this.wrong.push(`script error: ${error.message}`));
    page.on("dialog", (dialog) => {
      this.wrong.push(`a dialog opened: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("console", (line) => {
      if (/Content Security Policy/i.test(line.text())) this.wrong.push(line.text());
    });
  }

  at(id) {
    return this.page.getByTestId(id);
  }

  /** Waits for `what`; a wait that ends says what was on the page instead. */
  async until(what, work) {
    try {
      return await work();
    } catch (error) {
      const banner = await this.at("banner").textContent({ timeout: 1000 }).catch(() => "none");
      const light = await this.at("connection").getAttribute("data-state", { timeout: 1000 }).catch(() => "none");
      const why = error instanceof Error ? error.message.split("\n")[0] : String(error);
      return fail(`${this.name}: ${what} (connection ${light}, banner ${JSON.stringify(banner)}): ${why}`);
    }
  }

  online() {
    return this.until("is online", () => this.page.waitForSelector('[data-testid="connection"][data-state="online"]'));
  }

  async register(password) {
    await this.until("opens the page", () => this.page.goto(this.url, { waitUntil: "load", timeout: WAIT_MS }));
    await this.until("sees the form", () => this.at("show-register").click());
    await this.labelled("the form");
    await this.at("username").fill(this.name);
    await this.at("password").fill(password);
    await this.at("register").click();
    await this.online();
  }

  async enter(room) {
    await this.until(`finds ${room} in the list`, () => this.at(`room-${room}`).click());
    const field = this.at("compose");
    const join = this.at("join");
    await this.until("may join or write", () => field.or(join).first().waitFor());
    if (await join.isVisible()) await join.click();
    await this.until("may write", () => field.waitFor());
  }

  async say(text) {
    await this.write(text);
    await this.sees(text);
  }

  /** Sends without waiting for the answer. */
  async write(text) {
    await this.at("compose").fill(text);
    await this.at("compose").press("Enter");
  }

  /** Waits until `count` messages with this mark are shown as `state`. */
  has(count, state, mark) {
    const lines = this.page.locator(`[data-testid="message"][data-state="${state}"]`).filter({ hasText: mark });
    const what = `has ${count} of ${mark} as ${state}`;
    return this.until(what, () => until(what, async () => (await lines.count()) === count));
  }

  sees(text) {
    const line = this.page.locator('[data-testid="message"][data-state="sent"]').filter({ hasText: text });
    return this.until(`sees ${JSON.stringify(text)} as sent`, () => line.first().waitFor());
  }

  /** Confirmed messages with this mark in them, as shown: from the top. */
  async shown(mark) {
    const all = await this.page.$$eval('[data-testid="message"][data-state="sent"]', (lines) =>
      lines.map((line) => ({
        id: line.getAttribute("data-id"),
        pos: Number(line.getAttribute("data-pos")),
        text: line.querySelector('[data-part="text"]')?.textContent ?? "",
      })),
    );
    return all.filter((one) => one.text.includes(mark));
  }

  async labelled(where) {
    const bad = await this.page.evaluate(nameless);
    if (bad.length > 0) fail(`${this.name}: in ${where}, without a name for screen readers: ${bad.join("; ")}`);
  }

  check() {
    if (this.wrong.length > 0) fail(`${this.name}: ${this.wrong.join("; ")}`);
  }
}

/** Waits until a condition holds. */
async function until(what, holds) {
  const end = Date.now() + WAIT_MS;
  while (!(await holds())) {
    if (Date.now() > end) fail(`not within ${WAIT_MS / 1000} s: ${what}`);
    await sleep(50);
  }
}

function equal(one, other, what) {
  if (JSON.stringify(one) !== JSON.stringify(other)) {
    fail(`${what}:\n  ${JSON.stringify(one)}\n  ${JSON.stringify(other)}`);
  }
}

async function talk(anna, bert, mark) {
  for (let i = 0; i < 5; i++) {
    await anna.say(`${mark} anna ${i}`);
    await bert.sees(`${mark} anna ${i}`);
    await bert.say(`${mark} bert ${i}`);
    await anna.sees(`${mark} bert ${i}`);
  }
  report("they talk both ways");
  const both = [anna, bert];
  const thrice = async (one) => {
    for (let i = 0; i < 3; i++) await one.say(`${mark} at once ${i} ${one.name}`);
  };
  await Promise.all(both.map(thrice));
  for (const one of both) for (const other of both) await one.sees(`${mark} at once 2 ${other.name}`);
  const order = await anna.shown(mark);
  equal(order, await bert.shown(mark), "the two see another order");
  if (order.length !== 16) fail(`16 messages were sent, ${order.length} are shown`);
  if (order.some((one, i) => i > 0 && one.pos <= order[i - 1].pos)) fail("positions do not grow from top to bottom");
  report("both see the same order, also of what was sent at once");
}

async function textIsText(anna, bert, mark) {
  await anna.say(`${mark} ${EVIL}`);
  await bert.sees(`${mark} ${EVIL}`);
  for (const one of [anna, bert]) {
    const last = (await one.shown(mark)).at(-1);
    equal(last?.text, `${mark} ${EVIL}`, `${one.name}: the text is not shown as it was sent`);
    if ((await one.page.locator('[data-testid="message"] :is(img, script)').count()) > 0) fail("a text became HTML");
  }
  report("markup in a text is shown as text");
}

async function reload(anna, bert, mark) {
  const before = await anna.shown(mark);
  await anna.page.reload({ waitUntil: "load", timeout: WAIT_MS });
  await anna.online();
  await anna.sees(`${mark} ${EVIL}`);
  equal(before, await anna.shown(mark), "a reload shows another history");
  await anna.say(`${mark} after the reload`);
  await bert.sees(`${mark} after the reload`);
  report("a reload stays signed in and shows the history");
}

/** Anna's gateway is killed while both talk. What she writes meanwhile waits, and arrives once, when it is back. */
async function gatewayDies(anna, bert, mark) {
  const stack = gateway.stack();
  if (!stack) return report("left out: no PARLOR_XTASK, so no gateway is killed");
  const during = `${mark} fault`;
  const wrote = new Map([anna, bert].map((one) => [one, 0]));
  let stop = false;
  // Both write without a break, whatever happens to the gateway.
  const talk = async (one) => {
    while (!stop) {
      const count = wrote.get(one);
      await one.write(`${during} ${one.name} ${count}`);
      wrote.set(one, count + 1);
      await sleep(150);
    }
  };
  const bothWrote = (count) => until(`both wrote ${count}`, () => Math.min(...wrote.values()) >= count);
  const fault = async () => {
    await bothWrote(5);
    await gateway.kill(stack, "gateway-1");
    await anna.until("is told that the connection is lost", () => anna.at("banner").waitFor());
    report("gateway-1 is killed, the banner says so");
    const waiting = anna.page.locator('[data-testid="message"][data-state="sending"]').filter({ hasText: during });
    await until("what was written without a gateway is kept as sending", async () => (await waiting.count()) >= 5);
    await gateway.restart(stack, "gateway-1");
    await anna.online();
    await bothWrote(Math.max(...wrote.values()) + 5);
  };
  const talking = Promise.all([anna, bert].map(talk));
  try {
    await Promise.race([talking, fault()]);
  } finally {
    stop = true;
  }
  await talking;
  const all = [...wrote.values()].reduce((sum, count) => sum + count);
  for (const one of [anna, bert]) await one.has(all, "sent", during);
  for (const one of [anna, bert]) await one.has(0, "sending", during);
  const order = await anna.shown(during);
  equal(order, await bert.shown(during), "after the fault the two see another order");
  if (new Set(order.map((one) => one.text)).size !== all) fail("a message is shown twice");
  await anna.until("is told nothing any more", () => anna.at("banner").waitFor({ state: "detached" }));
  await anna.say(`${mark} anna goes on`);
  await bert.sees(`${mark} anna goes on`);
  await bert.say(`${mark} bert goes on`);
  await anna.sees(`${mark} bert goes on`);
  report(`gateway-1 is back: ${all} messages written meanwhile, each there once, in one order`);
}

async function signOut(anna) {
  await anna.at("sign-out").click();
  await anna.until("is signed out", () => anna.at("username").waitFor());
  await anna.page.reload({ waitUntil: "load", timeout: WAIT_MS });
  await anna.until("stays signed out after a reload", () => anna.at("username").waitFor());
  report("signed out, also after a reload");
}

async function everything(browser, people) {
  const urls = [setting("PARLOR_URL_1"), setting("PARLOR_URL_2")];
  const room = setting("PARLOR_ROOM");
  const mark = randomBytes(4).toString("hex");
  for (const [i, name] of [`anna-${mark}`, `bert-${mark}`].entries()) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    people.push(new Person(name, urls[i], await context.newPage()));
  }
  const [anna, bert] = people;
  for (const person of people) {
    await person.register(randomBytes(12).toString("hex"));
    await person.enter(room);
    await person.labelled("the room");
  }
  report("registered, signed in, in the room");
  await talk(anna, bert, mark);
  await textIsText(anna, bert, mark);
  await reload(anna, bert, mark);
  await gatewayDies(anna, bert, mark);
  await signOut(anna);
  for (const person of people) person.check();
}

const started = Date.now();
const people = [];
let browser;
const deadline = setTimeout(() => {
  console.error(`FAILED: not done within ${WHOLE_MS / 1000} s`);
  void Promise.resolve(browser?.close()).finally(() => process.exit(1));
  setTimeout(() => process.exit(1), 5000).unref();
}, WHOLE_MS);
try {
  browser = await chromium.launch({ executablePath: browserPath(), args: ["--no-sandbox"], timeout: WAIT_MS });
  await everything(browser, people);
  console.log("ok: two people talked through two gateways");
} catch (error) {
  console.error(`FAILED: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
  const folder = process.env.PARLOR_SCREENSHOTS;
  for (const person of folder ? people : []) {
    await person.page.screenshot({ path: join(folder, `${person.name}.png`), timeout: 5000 }).catch(() => undefined);
  }
} finally {
  clearTimeout(deadline);
  await browser?.close();
}

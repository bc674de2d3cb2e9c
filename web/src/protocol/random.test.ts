// The client against a server in miniature, thousands of random faults: at rest it holds what the log says.
import { expect, test } from "vitest";
import { generator, ME, OTHER, ROOM, World } from "./model";

const RUNS = 1500;
const ACTS = 120;

function act(world: World, random: (below: number) => number, number: number): void {
  const messages = world.messages();
  const some = messages[random(Math.max(messages.length, 1))];
  const about = some && { id: some.message.id, author: some.sender!.id, epoch: some.epoch, pos: some.pos };
  const who = random(2) === 0 ? ME : OTHER;
  switch (random(18)) {
    case 0:
    case 1:
      return void world.say(OTHER, `o${number}`, `text ${number}`);
    case 2:
      if (about) world.append((base) => ({ ...base, type: "edited", sender: who, message: { ...about, text: `edit ${number}` } }));
      return;
    case 3:
      if (about && random(3) === 0) world.append((base) => ({ ...base, type: "deleted", sender: who, message: about }));
      return;
    case 4: {
      // The log holds no reaction that changes nothing.
      const mine = some?.reactions?.[0];
      if (about && !some.deleted) {
        const removed = who === ME ? (mine?.me ?? false) : mine !== undefined && mine.count > (mine.me ? 1 : 0);
        world.append((base) => ({ ...base, type: "reaction", sender: who, message: about, emoji: "👍", removed }));
      }
      return;
    }
    case 5:
    case 6:
      return world.input({ type: "send", room: ROOM, id: `m${number}`, text: `mine ${number}`, time: "now" });
    case 7:
      return random(4) === 0 ? world.newEpoch() : undefined;
    case 8:
      if (random(3) !== 0) return;
      world.hangUp();
      return world.input({ type: "closed", code: 1006 });
    case 9:
      return world.input({ type: "older", room: ROOM });
    case 10:
      return world.deliver(random(4));
    case 11:
      return world.input({ type: "seen", room: ROOM });
    case 12:
      return world.serve(random(3));
    case 13:
      return world.deliver();
    case 14:
      return world.input({ type: "show", room: random(3) === 0 ? null : ROOM });
    case 15:
      return world.turnWheel(random);
    case 16:
      return world.serve();
    default:
      return world.receive();
  }
}

test("after any faults the client shows every message of the log once, in order, as it reads now", () => {
  for (let seed = 0; seed < RUNS; seed++) {
    const random = generator(seed);
    const world = new World();
    world.input({ type: "show", room: ROOM });
    world.input({ type: "start", me: ME });
    for (let number = 0; number < ACTS; number++) act(world, random, number);
    world.input({ type: "show", room: ROOM });
    world.settle(random);
    for (let pages = 0; pages < 100 && world.state.rooms[ROOM]!.hasMore; pages++) {
      world.input({ type: "older", room: ROOM });
      world.settle(random);
    }
    const room = world.state.rooms[ROOM]!;
    const shown = room.timeline.map((item) =>
      item.kind === "gap"
        ? "gap"
        : { id: item.id, by: item.author.id, pos: item.pos, text: item.text, deleted: item.deleted, reactions: item.reactions.map(({ emoji, count, me }) => ({ emoji, count, me })) },
    );
    const wanted = world.messages().map((one) => ({
      id: one.message.id,
      by: one.sender!.id,
      pos: one.pos,
      text: one.message.text ?? "",
      deleted: one.deleted ?? false,
      reactions: one.reactions ?? [],
    }));
    expect(shown, `seed ${seed}`).toEqual(wanted);
    expect(room.outbox, `seed ${seed}: all that was sent is in the log`).toEqual([]);
    expect(world.state.phase, `seed ${seed}`).toBe("online");
    expect([...world.timers.keys()].filter((name) => /^(give-up|resend|answer)/.test(name)), `seed ${seed}: timers left`).toEqual([]);
  }
});

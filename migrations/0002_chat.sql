-- chat-service: rooms, their logs, and what the historian remembers of them.

-- One row: who we are. Its id stands as an argument of the exchange `parlor.rooms` too.
create table platform (
    singleton boolean primary key default true check (singleton),
    id uuid not null default gen_random_uuid()
);
insert into platform default values;

create table rooms (
    id uuid primary key,
    namespace text not null,
    name text not null,
    -- Kubernetes object uid, or a file's path; generation and hash fence an operator that is behind.
    owner_uid text not null,
    owner_generation bigint not null,
    spec_hash text not null,
    spec jsonb not null,
    display_name text not null,
    topic text not null,
    visibility text not null check (visibility in ('Public', 'Private')),
    class text not null,
    message_bytes integer not null,
    messages_per_second integer not null,
    burst integer not null,
    max_members integer not null,
    retention_seconds bigint not null default 0,
    deletion_policy text not null check (deletion_policy in ('Retain', 'DeleteIfEmpty', 'Delete')),
    -- False: closed to sending; the log says so too, in order.
    open boolean not null default true,
    -- True: its owner let go of it, another may take it.
    released boolean not null default false,
    -- Key of the `room{open:false}` event of the last closing: once stored, everything before it is in history.
    closing_key uuid,
    created_at timestamptz not null default now(),
    unique (namespace, name)
);

-- What DeleteRoom removed, so that asking again answers the same streams.
create table deleted_rooms (
    id uuid primary key,
    namespace text not null,
    name text not null,
    owner_uid text not null,
    streams text[] not null,
    deleted_at timestamptz not null default now()
);
create index deleted_rooms_name on deleted_rooms (namespace, name);

create table logs (
    id bigint generated always as identity primary key,
    room uuid not null references rooms (id) on delete cascade,
    ordinal integer not null check (ordinal > 0),
    epoch text not null,
    stream text not null unique,
    routing_key text not null,
    class text not null,
    replicas integer not null,
    segment_bytes bigint not null,
    -- pending: named, not yet declared; open: in use; closed: `closed` was stored; gone: the stream was deleted by somebody.
    state text not null check (state in ('pending', 'open', 'closed', 'gone')),
    -- Offset of the last stored AMQP message (the guard of the historian), CRC-32 of its body (the anchor of an attach), pos of its last event.
    off bigint not null default -1,
    anchor_crc bigint,
    pos bigint not null default 0,
    -- Whether the log stood open to sending at `off`: which events are void is a function of the log, not of what the room is now.
    sending boolean not null default true,
    -- What the feed to parlor.events has sent.
    feed_pos bigint not null default 0,
    -- Events at or below were removed by retention: a replay from before is not to be had.
    trimmed_pos bigint not null default 0,
    -- When the stream was found to be gone.
    gone_at timestamptz,
    -- Load of the historians is spread by this, not truth.
    partition smallint not null generated always as ((id % 64)::smallint) stored,
    created_at timestamptz not null default now(),
    unique (room, ordinal)
);
-- At most one log of a room is in use, and one is on its way.
create unique index logs_open on logs (room) where state = 'open';
create unique index logs_pending on logs (room) where state = 'pending';
create index logs_partition on logs (partition) where state in ('open', 'pending');

-- Exact replay: every event that counts, as it is sent to clients.
create table events (
    room uuid not null references rooms (id) on delete cascade,
    ordinal integer not null,
    pos bigint not null,
    type text not null,
    -- The EVENT of PROTOCOL, as JSON text.
    event text not null,
    primary key (room, ordinal, pos)
);

-- The fold: each message as it reads now.
create table messages (
    room uuid not null references rooms (id) on delete cascade,
    author uuid not null,
    id uuid not null,
    ordinal integer not null,
    pos bigint not null,
    epoch text not null,
    time text not null,
    author_username text not null,
    author_display_name text not null,
    text text not null,
    reply_to uuid,
    reply_to_author uuid,
    attachments uuid[] not null default '{}',
    -- Usernames mentioned in the text.
    mentions text[] not null default '{}',
    edited_at text,
    deleted boolean not null default false,
    -- [{"emoji","user"}]
    reactions jsonb not null default '[]',
    primary key (room, author, id)
);
create unique index messages_position on messages (room, ordinal, pos);
create index messages_id on messages (room, id);

-- Dedup for ever: narrow, not subject to retention. The system's sender is the nil UUID.
create table message_keys (
    room uuid not null references rooms (id) on delete cascade,
    sender uuid not null,
    key uuid not null,
    ordinal integer not null,
    pos bigint not null,
    time text not null,
    hash text not null,
    stored_at timestamptz not null default now(),
    primary key (room, sender, key)
);
create index message_keys_recent on message_keys (room, stored_at);

-- Loss that nobody can repair, shown in history.
create table gaps (
    room uuid not null references rooms (id) on delete cascade,
    ordinal integer not null,
    from_pos bigint not null,
    to_pos bigint not null,
    reason text not null,
    at timestamptz not null default now(),
    primary key (room, ordinal, from_pos)
);

-- Events that the historian could not store; the offset went on.
create table quarantine (
    id bigint generated always as identity primary key,
    room uuid not null,
    stream text not null,
    off bigint not null,
    error text not null,
    body bytea not null,
    at timestamptz not null default now()
);

create table members (
    room uuid not null references rooms (id) on delete cascade,
    user_id uuid not null,
    username text not null,
    display_name text not null,
    role text not null check (role in ('Owner', 'Moderator', 'Member', 'ReadOnly')),
    -- self: joined; manifest: named in it.
    source text not null check (source in ('self', 'manifest')),
    joined_at timestamptz not null default now(),
    primary key (room, user_id)
);
create index members_user on members (user_id);

-- Members that a manifest names. Bound to a user id at first sight, never to another.
create table room_member_names (
    room uuid not null references rooms (id) on delete cascade,
    username text not null,
    role text not null check (role in ('Owner', 'Moderator', 'Member', 'ReadOnly')),
    user_id uuid,
    -- As it was when the name was bound.
    display_name text,
    primary key (room, username)
);
create index room_member_names_pending on room_member_names (username) where user_id is null;

create table read_pointers (
    user_id uuid not null,
    room uuid not null references rooms (id) on delete cascade,
    ordinal integer not null,
    pos bigint not null,
    primary key (user_id, room)
);
-- For the deletion of a room.
create index read_pointers_room on read_pointers (room);

-- Events whose state changed in this same transaction; a relay publishes each until the historian stores its key.
create table outbox (
    id bigint generated always as identity primary key,
    room uuid not null references rooms (id) on delete cascade,
    -- The event's sender (nil: the system) and key.
    sender uuid not null,
    key uuid not null,
    -- {"sender": User|null, "body": Body}
    event jsonb not null,
    -- Stored position of the room when the row was written.
    after_ordinal integer not null,
    after_pos bigint not null,
    attempts integer not null default 0,
    -- It was read back from the log once: the room's next row may follow, this one stays until the historian has it.
    appended boolean not null default false,
    next_at timestamptz not null default now(),
    created_at timestamptz not null default now(),
    unique (room, sender, key)
);
create index outbox_due on outbox (next_at);
create index outbox_room on outbox (room, id);

-- Who reads which share of the logs: for load, not for truth.
create table partitions (
    partition smallint primary key check (partition between 0 and 63),
    owner text,
    until timestamptz not null default '-infinity'
);
insert into partitions (partition) select generate_series(0, 63);

-- Historians that are alive: each takes its share of the partitions.
create table historians (
    name text primary key,
    until timestamptz not null
);

-- Gateways that are alive: each hands over what it holds of a log that was deleted.
create table gateways (
    name text primary key,
    until timestamptz not null
);
create table salvages (
    log bigint not null references logs (id) on delete cascade,
    gateway text not null,
    done boolean not null default false,
    primary key (log, gateway)
);
